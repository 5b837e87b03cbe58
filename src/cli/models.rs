//! `illumine models`: lists, downloads, verifies and removes models.

use super::args::Models as Args;
use super::environment::{self, Paths};
use super::page::Meter;
use super::servers::ServerModel;
use super::{Exit, Failed, complain, print};
use hub::catalog::{Catalog, Entry};
use hub::fetch::{FetchError, ModelStore, Progress};
use std::io::{IsTerminal, Write, stderr, stdin};
use std::ops::ControlFlow;
use story::sentence::format_bytes;

pub fn run(paths: &Paths, what: &Args) -> Result<Exit, Failed> {
    let catalog = environment::catalog()?;
    let offline = match what {
        Args::Pull { offline, .. } | Args::List { offline, .. } => *offline,
        Args::Info { .. } | Args::Verify { .. } | Args::Rm { .. } => false,
    };
    let store = environment::model_store(paths, offline);
    match what {
        Args::List { json, .. } => {
            let servers = match store.offline {
                true => Vec::new(),
                false => super::servers::find(paths)?,
            };
            list(&catalog, &store, &servers, *json)
        }
        Args::Pull {
            name,
            accept_licence,
            ..
        } => pull(find(&catalog, name.as_deref())?, &store, *accept_licence),
        Args::Info { name } => info(find(&catalog, name.as_deref())?, &store),
        Args::Verify { name } => verify(find(&catalog, name.as_deref())?, &store),
        Args::Rm { name } => remove(find(&catalog, Some(name))?, &store),
    }
}

fn find<'a>(catalog: &'a Catalog, name: Option<&str>) -> Result<&'a Entry, Failed> {
    match name {
        None => Ok(catalog.default_entry()),
        Some(name) => catalog
            .find(name)
            .map_err(|error| Failed::new(Exit::Usage, error)),
    }
}

fn list(
    catalog: &Catalog,
    store: &ModelStore,
    servers: &[ServerModel],
    json: bool,
) -> Result<Exit, Failed> {
    if json {
        let rows = catalog.all().map(|entry| {
            serde_json::json!({
                "name": entry.name, "title": entry.title, "default": entry.default,
                "architecture": entry.architecture, "parameters": entry.parameters,
                "quantization": entry.quantization, "context": entry.context,
                "bytes": entry.bytes, "sha256": entry.sha256, "licence": entry.licence,
                "memory_gb": entry.memory_gb, "tried": entry.tried,
                "path": store.local_path(entry),
            })
        });
        let rows = rows.chain(servers.iter().map(ServerModel::json));
        return print(&format!("{}\n", serde_json::Value::Array(rows.collect())));
    }
    let mut text = format!(
        "  {:<20} {:>8}  {:>6}  {:<10} {}\n",
        "NAME", "SIZE", "FOR", "FAMILY", "MODEL"
    );
    for entry in catalog.all() {
        let here = match (store.local_path(entry).is_some(), entry.default) {
            (true, _) => "✓",
            (false, true) => "*",
            (false, false) => " ",
        };
        text += &format!(
            "{here} {:<20} {:>8}  {:>6}  {:<10} {} {}, {}{}\n",
            entry.name,
            entry.bytes.map_or("?".into(), format_bytes),
            format!("{} GB", entry.memory_gb),
            entry.architecture,
            entry.title,
            entry.quantization,
            entry.licence,
            if entry.tried { "" } else { " (untried)" },
        );
    }
    text +=
        "✓ downloaded, * default (downloaded at the first start); FOR is the suggested memory\n";
    text += &super::servers::table(servers);
    print(&text)
}

fn pull(entry: &Entry, store: &ModelStore, accept: bool) -> Result<Exit, Failed> {
    if store.local_path(entry).is_none() {
        entry.remarks().iter().for_each(|remark| complain(remark));
        if entry.must_accept && !store.licence_accepted(entry) && (accept || confirm_licence(entry))
        {
            store.accept_licence(entry).map_err(failed)?;
        }
    }
    let path = with_progress(|watch| store.ensure(entry, watch))?;
    print(&format!("{} is in {}\n", entry.name, path.display()))
}

/// Asks at the terminal whether the writer accepts the licence. Returns false without a terminal,
/// since scripts use a flag instead.
fn confirm_licence(entry: &Entry) -> bool {
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return false;
    }
    let _ = write!(stderr(), "Do you accept the {}? [y/N] ", entry.licence);
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer).is_ok();
    read && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

fn info(entry: &Entry, store: &ModelStore) -> Result<Exit, Failed> {
    let here = store.local_path(entry);
    let here = here.map_or("none".to_string(), |path| path.display().to_string());
    let mut text = format!(
        "{}\n  name          {}\n  architecture  {}\n  parameters    {}\n  quantization  {}\n  context       {} tokens\n  size          {}\n  sha256        {}\n  licence       {}{}\n  suits         {} GB\n  chat          {}\n  file          {here}\n",
        entry.title,
        entry.name,
        entry.architecture,
        entry.parameters,
        entry.quantization,
        entry.context,
        entry.bytes.map_or("unknown".into(), format_bytes),
        entry.sha256.as_deref().unwrap_or("unknown"),
        entry.licence,
        entry
            .licence_url
            .as_deref()
            .map(|url| format!(" ({url})"))
            .unwrap_or_default(),
        entry.memory_gb,
        if entry.chat {
            "yes"
        } else {
            "no (continues prose)"
        },
    );
    for remark in entry.remarks() {
        text += &format!("  note          {remark}\n");
    }
    print(&text)
}

fn verify(entry: &Entry, store: &ModelStore) -> Result<Exit, Failed> {
    let found = with_progress(|watch| store.verify(entry, watch))?;
    let verdict = match found.compared {
        true => "matches",
        false => "was recorded; there was none to compare it with",
    };
    print(&format!(
        "{}: the checksum {verdict} (sha256 {})\n",
        entry.name, found.sha256
    ))
}

fn remove(entry: &Entry, store: &ModelStore) -> Result<Exit, Failed> {
    let removed = store.remove(entry).map_err(failed)?;
    let shared = match removed.shared {
        true => "; it was in the cache shared with other programs",
        false => "",
    };
    print(&match removed.bytes {
        0 => format!("{} is not downloaded\n", entry.name),
        bytes => format!(
            "Removed {}, freeing {}{shared}\n",
            entry.name,
            format_bytes(bytes)
        ),
    })
}

/// Runs a long task and prints its progress to standard error.
pub(super) fn with_progress<T>(
    work: impl FnOnce(&mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Result<T, FetchError>,
) -> Result<T, Failed> {
    let mut meter = Meter::new();
    let done = work(&mut |news: &Progress| {
        meter.bytes(&news.what, news.done, news.total);
        ControlFlow::Continue(())
    });
    meter.clear();
    done.map_err(failed)
}

fn failed(error: FetchError) -> Failed {
    Failed::new(Exit::Model, error)
}

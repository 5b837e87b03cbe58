//! `illumine sessions`: lists, searches, checks and renames sessions.

use super::args::Sessions as Args;
use super::environment::Paths;
use super::{Exit, Failed, complain, exchange, print, record, safety};
use base::search::Needle;
use illumine::store::export::bare_text;
use illumine::store::{Recovered, Sessions, StoreError, shell_word};
use std::path::PathBuf;
use story::sentence::{count_noun, excerpt_around};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub fn run(paths: &Paths, what: &Args) -> Result<Exit, Failed> {
    let at = |folder: &Option<PathBuf>| Sessions::new(folder.as_ref().unwrap_or(&paths.sessions));
    match what {
        Args::List { sessions, json } => list(&at(sessions), *json),
        Args::Show {
            name,
            all,
            sessions,
        } => show(&at(sessions), name, *all),
        Args::Grep { words, sessions } => grep(&at(sessions), words),
        Args::Rename { name, to, sessions } => rename(&at(sessions), name, to),
        Args::Export(args) => exchange::export(paths, args),
        Args::Import(args) => exchange::import(paths, args),
        Args::Record(args) => record::run(&at(&args.sessions), args),
        Args::Check {
            name: Some(name),
            salvage: true,
            sessions,
        } => safety::salvage(&at(sessions), name),
        Args::Check { name, sessions, .. } => check(&at(sessions), name.as_deref()),
        Args::Conflicts {
            name,
            copy,
            to,
            sessions,
        } => safety::conflicts(&at(sessions), name, *copy, to.as_deref()),
        Args::Restore {
            name,
            date,
            to,
            sessions,
        } => safety::restore(&at(sessions), name, date.as_deref(), to.as_deref()),
    }
}

fn list(sessions: &Sessions, json: bool) -> Result<Exit, Failed> {
    let listed = sessions.list()?;
    let changed = |at| {
        OffsetDateTime::from(at)
            .format(&Rfc3339)
            .unwrap_or_default()
    };
    if json {
        let rows = listed.iter().map(|one| {
            serde_json::json!({"name": one.name, "bytes": one.bytes, "changed": changed(one.changed), "conflicting_copies": one.copies})
        });
        return print(&format!("{}\n", serde_json::Value::Array(rows.collect())));
    }
    let rows = listed.iter().map(|one| {
        let changed = changed(one.changed);
        let changed = changed.get(..16).unwrap_or(&changed).replace('T', " ");
        let copies = match one.copies {
            0 => String::new(),
            _ => format!(
                "  (conflicting copies: illumine sessions conflicts {})",
                shell_word(&one.name)
            ),
        };
        format!("{changed}  {:>9}  {}{copies}\n", one.bytes, one.name)
    });
    print(&rows.collect::<String>())
}

fn show(sessions: &Sessions, name: &str, all: bool) -> Result<Exit, Failed> {
    let found = sessions.read(name)?;
    let mut text = String::new();
    if all {
        for node in found.story.nodes() {
            let line = serde_json::to_string(node);
            let line = line.map_err(|error| Failed::new(Exit::Engine, error))?;
            text.push_str(&line);
            text.push('\n');
        }
    } else {
        text += &bare_text(&found.story);
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    if let Some(doubt) = found.read_only_reason {
        complain(&format!("The story is shown up to the point where {doubt}"));
    }
    print(&text)
}

/// Searches all sessions. As with grep, the exit code is 0 if anything matched and 1 otherwise.
fn grep(sessions: &Sessions, words: &str) -> Result<Exit, Failed> {
    let wanted = Needle::new(words);
    let mut hits = 0;
    for name in sessions.names()? {
        let found = sessions.read(&name)?;
        for node in found.story.nodes() {
            let Some(around) = excerpt_around(&node.text, &wanted, 80) else {
                continue;
            };
            hits += 1;
            print(&format!("{name} #{}: {around}\n", node.id))?;
        }
    }
    match hits {
        0 => Ok(Exit::Engine),
        _ => Ok(Exit::Well),
    }
}

fn rename(sessions: &Sessions, name: &str, to: &str) -> Result<Exit, Failed> {
    let (mut journal, _) = sessions.open(name)?;
    journal.rename(to)?;
    print(&format!("Renamed {name} to {to}\n"))
}

/// Prints the state of each session. Returns an error code if any session is damaged.
fn check(sessions: &Sessions, name: Option<&str>) -> Result<Exit, Failed> {
    let names = match name {
        Some(name) => vec![name.to_string()],
        None => sessions.names()?,
    };
    let mut sound = true;
    for name in names {
        let found = sessions.read(&name)?;
        let aside = sessions.set_aside(&name)?;
        let faults = sessions.picture_faults(&name, &found.story)?;
        sound &= found.read_only_reason.is_none() && faults.is_empty() && found.records > 0;
        let mut text = verdict(&name, &found, &aside, &faults)?;
        for copy in sessions.conflicting_copies(&name)? {
            let file = safety::copy_name(&copy.path);
            text.push_str(&format!(
                "\n  conflicting copy: {file}; illumine sessions conflicts {} compares it",
                shell_word(&name)
            ));
        }
        print(&format!("{text}\n"))?;
    }
    match sound {
        true => Ok(Exit::Well),
        false => Ok(Exit::Session),
    }
}

fn verdict(
    name: &str,
    found: &Recovered,
    aside: &[PathBuf],
    faults: &[String],
) -> Result<String, StoreError> {
    let story = &found.story;
    let counts = format!(
        "{}, {}, {} of them in the current story",
        count_noun(found.records, "record"),
        count_noun(story.nodes().len(), "passage"),
        story.path().len()
    );
    let word = shell_word(name);
    let mut text = match (&found.read_only_reason, found.torn) {
        (None, _) if !faults.is_empty() => format!("{name}: damaged, {counts}"),
        (Some(why), _) if found.damaged => format!(
            "{name}: damaged, {why}; up to that point {counts}; illumine sessions check --salvage {word} copies the sound records to a new session"
        ),
        (Some(why), _) => format!("{name}: damaged, {why}; up to that point {counts}"),
        (None, _) if found.records == 0 => format!(
            "{name}: damaged, its journal is empty; illumine sessions restore {word} lists its backups"
        ),
        (None, 0) => format!("{name}: OK, {counts}"),
        (None, torn) if found.zeros => format!(
            "{name}: OK, {counts}; {torn} bytes of zeros at the end, left by a power cut, will be moved to a separate file"
        ),
        (None, torn) => format!(
            "{name}: OK, {counts}; an incomplete record of {torn} bytes at the end, left by a crash, will be moved to a separate file"
        ),
    };
    for fault in faults {
        text.push_str(&format!("\n  {fault}"));
    }
    for path in aside {
        text.push_str(&format!("\n  incomplete record: {}", path.display()));
    }
    Ok(text)
}

//! The two sides of a comparison, as the user names them.

use super::super::super::args::{Common, Replay as Args};
use super::super::super::{Failed, backends};
use super::super::usage;
use super::checkout;
use base::untrusted::clean_line;
use illumine::engine::ModelLoader;
use remote::is_address;
use std::path::{Path, PathBuf};
use story::{Mode, SettingOverrides, sampling};

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Side {
    /// The current scripts, with a model or settings that override theirs.
    Settings(Box<SettingOverrides>),
    /// The current scripts as they are.
    Worktree,
    /// The scripts as they were at a commit.
    Commit(String),
    /// The report of an earlier run.
    Report(PathBuf),
}

/// Parses the name of a side. A prefix decides what the name means. Without a prefix, the kinds of
/// sides are tried in the order that docs/replay.md states.
pub(super) fn parse(side: &str, args: &Args, loader: &ModelLoader) -> Result<Side, Failed> {
    match side.split_once(':') {
        Some(("model", name)) => {
            return settings(&with_name(name)?, args);
        }
        Some(("set", list)) => return settings(list, args),
        Some(("commit", name)) => return Ok(Side::Commit(name.to_string())),
        Some(("report", path)) => return Ok(Side::Report(path.into())),
        _ => {}
    }
    if [".", "worktree"].contains(&side) {
        return Ok(Side::Worktree);
    }
    if is_report(Path::new(side)) {
        return Ok(Side::Report(side.into()));
    }
    if is_address(side) || side.contains('=') || is_model(side, loader) {
        return settings(side, args);
    }
    if checkout::exists(&args.files, side) {
        return Ok(Side::Commit(side.to_string()));
    }
    match (&args.common.backend, loader.catalog.resolve(side)) {
        (None, Err(_)) if is_revision(side) => Ok(Side::Commit(side.to_string())),
        (None, Err(error)) => Err(usage(format!(
            "{} is neither a report, a setting such as seed=1, a model nor a revision: {}",
            clean_line(side),
            clean_line(&error.to_string())
        ))),
        _ => settings(side, args),
    }
}

/// Whether a name has a form that only git revisions have, for example `HEAD~1`.
fn is_revision(name: &str) -> bool {
    name.starts_with("HEAD") || name.contains(['~', '^']) || name.contains("@{")
}

fn is_report(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    ending == "jsonl" || ending == "ndjson"
}

fn is_model(name: &str, loader: &ModelLoader) -> bool {
    name == "echo" || loader.backends.find(name).is_some() || loader.catalog.resolve(name).is_ok()
}

/// Puts `model=` in front of a list that begins with the name of a model. Returns an error if the
/// list is empty.
fn with_name(list: &str) -> Result<String, Failed> {
    match list.is_empty() {
        true => Err(usage(
            "model: takes the name of a model, for example model:qwen3-0.6b",
        )),
        false => Ok(format!("model={list}")),
    }
}

/// Parses a list of settings, each with its value. The list may begin with the name of a model.
fn settings(list: &str, args: &Args) -> Result<Side, Failed> {
    let mut found = SettingOverrides::default();
    for (at, part) in list.split(',').enumerate() {
        let named = at == 0 && (is_address(part) || !part.contains('='));
        let pair = match named {
            true => Some(("model", part)),
            false => part.split_once('='),
        };
        let (name, value) = pair
            .map(|(name, value)| (name.trim(), value.trim()))
            .ok_or_else(|| {
                usage(
                    "--compare takes models, or settings such as seed=1 or temperature=0.8,seed=2",
                )
            })?;
        match name {
            "model" => found.model = model(value, args)?,
            "mode" => {
                let mode = Mode::parse(value).ok_or_else(|| usage("A mode is prose or chat"))?;
                found.mode = Some(mode);
            }
            "system" => found.system = Some(value.to_string()),
            _ => {
                let known = sampling::find(name).map_err(usage)?;
                found
                    .sampling
                    .push((known.name.to_string(), value.to_string()));
            }
        }
    }
    Ok(Side::Settings(Box::new(found)))
}

/// Parses the name or address of a model. If `--backend` is given, a name refers to a model on that
/// server.
fn model(name: &str, args: &Args) -> Result<Option<String>, Failed> {
    let common = Common {
        backend: args.common.backend.clone().filter(|_| !is_address(name)),
        model: Some(name.to_string()),
        ..Common::default()
    };
    backends::model_of(&common)
}

//! Starts the full-screen editor, by default in the most recent session.

use super::args::Common;
use super::config;
use super::environment::{self, Paths};
use super::{Exit, Failed, complain, enter, start_model, studio};
use illumine::store::StoreError;
use illumine::studio::{Outcome, Refusal, Studio};
use illumine::tui::{self, ExitReason, Options};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

/// The maximum number of history lines that are loaded.
const KEPT: usize = 1000;

pub fn run(paths: &Paths, common: &Common, session: Option<&str>) -> Result<Exit, Failed> {
    let (mut studio, events) = studio(paths, common)?;
    let notice = match session {
        Some(_) => enter(&mut studio, session)?,
        None if common.private => None,
        None => resume(&mut studio)?,
    };
    start_model(&mut studio);
    let options = Options {
        first_command: None,
        notice,
        history: load_history(&paths.lines),
        colour: environment::colour(),
        all_colours: environment::all_colours(),
        graphics: environment::graphics(),
        keys: config::keys(&paths.config)?,
        editor: environment::editor(),
        read_ahead: config::read_ahead(&paths.config)?,
    };
    let ended = tui::run(studio, events, options);
    let ended = ended.map_err(|error| Failed::new(Exit::Engine, format!("{error:#}")))?;
    save_history(&paths.lines, &ended.history);
    ended.remarks.iter().for_each(|remark| complain(remark));
    Ok(match ended.why {
        _ if ended.unsaved => Exit::Session,
        ExitReason::Quit => Exit::Well,
        ExitReason::Interrupted => Exit::Interrupted,
        ExitReason::Signal(number) => Exit::Signal(u8::try_from(number).unwrap_or_default()),
    })
}

/// Opens the most recent session, or starts a new one if the most recent session is open in another
/// illumine process.
fn resume(studio: &mut Studio) -> Result<Option<String>, Failed> {
    let names = studio.sessions().names()?;
    let Some(last) = names.first() else {
        return Ok(None);
    };
    match studio.open(last) {
        Ok(Outcome::Moved(said)) => Ok(Some(said)),
        Err(Refusal::Store(busy @ StoreError::Busy(_))) => {
            Ok(Some(format!("{busy}. Starting a new story instead")))
        }
        Ok(_) => Ok(None),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Loads the input history. Each line of the file is a JSON string, since an input may contain line
/// breaks.
fn load_history(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let lines: Vec<String> = lines.collect();
    lines[lines.len().saturating_sub(KEPT)..].to_vec()
}

/// Saves the input history; a failure is ignored.
fn save_history(path: &Path, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    if let Some(folder) = path.parent() {
        let _ = fs::create_dir_all(folder);
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let Ok(mut file) = options.open(path) else {
        return;
    };
    let lines = lines
        .iter()
        .filter_map(|line| serde_json::to_string(line).ok());
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    let _ = file.write_all(text.as_bytes());
}

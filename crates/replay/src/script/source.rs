//! Reads a script file and divides it into lines. The file must be text, and its size is limited.

use crate::files;
use crate::position::{Position, ScriptError};
use crate::script::HEADER;
use base::decode::{decode, unix_lines};
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;

/// The maximum size of a script file in bytes.
const LARGEST: u64 = 16 << 20;

/// A line of a script, joined with its continuation lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceLine {
    pub(super) at: Position,
    pub(super) text: String,
}

/// A script in JSON, for use by other programs. Each element of `lines` is a line of the text
/// format.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonScript {
    #[serde(rename = "illumine-replay")]
    version: u64,
    #[serde(default)]
    lines: Vec<String>,
    #[serde(default)]
    cases: Vec<JsonCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonCase {
    name: String,
    lines: Vec<String>,
}

/// Reads the lines of a file, without its header. `at` is the position of the `include` line that
/// names the file, or None for the script itself.
pub(super) fn read(path: &Path, at: Option<&Position>) -> Result<Vec<SourceLine>, ScriptError> {
    let file: Arc<str> = path.to_string_lossy().into();
    let start = Position {
        file,
        line: 1,
        column: 1,
    };
    // A file that cannot be read is an error where it is included.
    let bytes = files::read(path, LARGEST);
    let bytes = bytes.map_err(|why| ScriptError::new(at.unwrap_or(&start), why))?;
    let text = decode(bytes);
    let text = text.map_err(|error| ScriptError::new(&start, format!("The file {error}")))?;
    let text = unix_lines(&text);
    match text.trim_start().starts_with('{') {
        true => from_json(&text, &start),
        false => from_lines(&text, &start),
    }
}

fn from_lines(text: &str, start: &Position) -> Result<Vec<SourceLine>, ScriptError> {
    let mut lines = text.split('\n').enumerate();
    let header = lines.by_ref().find(|(_, line)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    let (at, header) = header.unwrap_or((0, ""));
    check_header(header.trim(), &line_start(start, at))?;
    let mut found: Vec<SourceLine> = Vec::new();
    let mut continues = false;
    for (at, line) in lines {
        match found.last_mut().filter(|_| continues) {
            Some(last) => {
                last.text.push('\n');
                last.text.push_str(line);
            }
            None => found.push(SourceLine {
                at: line_start(start, at),
                text: line.to_string(),
            }),
        }
        continues = take_backslash(&mut found);
    }
    Ok(found)
}

/// Removes the backslash at the end of the last line if this line is typed text or a command.
/// Returns whether a backslash was removed, in which case the next line continues the last one.
fn take_backslash(found: &mut [SourceLine]) -> bool {
    let Some(last) = found.last_mut() else {
        return false;
    };
    let typed = last.text.starts_with(['>', '/']);
    match last.text.strip_suffix('\\').filter(|_| typed) {
        Some(text) => {
            last.text.truncate(text.trim_end_matches(' ').len());
            true
        }
        None => false,
    }
}

fn line_start(start: &Position, index: usize) -> Position {
    Position {
        line: index + 1,
        ..start.clone()
    }
}

fn check_header(header: &str, at: &Position) -> Result<(), ScriptError> {
    if header == HEADER {
        return Ok(());
    }
    let version = header.strip_prefix("illumine-replay ");
    let number = version.and_then(|version| version.trim().parse::<u64>().ok());
    let why = match number {
        Some(version) => newer(version),
        None => format!("The file is not a replay script; its first line must be {HEADER}"),
    };
    Err(ScriptError::new(at, why))
}

fn newer(version: u64) -> String {
    format!(
        "The script has version {version} of the format, but this version of illumine knows only version 1; update illumine"
    )
}

/// Parses a script in JSON. In error positions, the lines of the script are numbered from 1, in the
/// order in which they run.
fn from_json(text: &str, start: &Position) -> Result<Vec<SourceLine>, ScriptError> {
    let script: JsonScript = serde_json::from_str(text).map_err(|error| {
        let at = Position {
            line: error.line(),
            column: error.column(),
            ..start.clone()
        };
        let why = error.to_string();
        let why = why
            .rsplit_once(" at line")
            .map_or(why.as_str(), |(why, _)| why);
        ScriptError::new(
            &at,
            format!("The file is not a replay script in JSON: {why}"),
        )
    })?;
    if script.version != 1 {
        return Err(ScriptError::new(start, newer(script.version)));
    }
    let cases = script.cases.into_iter();
    let cases = cases.flat_map(|case| {
        let title = format!("case {}", case.name.replace('\n', " "));
        std::iter::once(title).chain(case.lines)
    });
    let lines = script.lines.into_iter().chain(cases).enumerate();
    let lines = lines.map(|(at, text)| SourceLine {
        at: line_start(start, at),
        text,
    });
    Ok(lines.collect())
}

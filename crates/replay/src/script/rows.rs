//! The `rows` line, which runs a case once for each row of a CSV or JSON Lines file.

use super::gather::PlacedLine;
use super::source::SourceLine;
use crate::files;
use crate::position::{Position, ScriptError};
use crate::words::Rest;
use base::decode::decode;
use serde_json::{Map, Value};
use std::path::Path;
use std::rc::Rc;

/// The maximum number of cases that the `matrix` and `rows` lines of one case may produce.
pub(super) const MOST_CASES: usize = 100_000;
/// The maximum size of a file in bytes.
const LARGEST: u64 = 256 << 20;
/// The maximum length of a line in a file, in bytes.
const LONGEST: u64 = 4 << 20;

/// One value of a `matrix` line, or one row of a file named in a `rows` line.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// The part of the case's name that identifies the choice, such as `seed=3`.
    pub(super) label: String,
    /// The lines that replace the `matrix` or `rows` line if this choice is used.
    pub(super) lines: Vec<PlacedLine>,
}

/// The error message for too many cases.
pub(super) fn too_many() -> String {
    format!("The values add up to more than {MOST_CASES} cases; divide them")
}

/// Parses `rows FILE`. Each row of the CSV or JSON Lines file is one choice, which defines
/// variables.
pub(super) fn rows(rest: &Rest, folder: &Rc<Path>) -> Result<Vec<Choice>, ScriptError> {
    let refuse = |why: String| ScriptError::new(&rest.at, why);
    let words = rest.raw_words()?;
    let [name] = words.as_slice() else {
        return Err(refuse(
            "rows takes the name of a CSV or JSON Lines file".to_string(),
        ));
    };
    let path = folder.join(&name.text);
    let bytes = files::read_lines(&path, LARGEST, LONGEST).map_err(refuse)?;
    let text = decode(bytes).map_err(|error| refuse(format!("{} {error}", name.text)))?;
    let lines = path
        .extension()
        .is_some_and(|ending| ending == "jsonl" || ending == "json");
    let rows = match lines {
        true => json_rows(&text),
        false => csv_rows(&text),
    };
    let rows = rows.map_err(|why| refuse(format!("{}: {why}", name.text)))?;
    if rows.is_empty() {
        return Err(refuse(format!("{} has no rows", name.text)));
    }
    if rows.len() > MOST_CASES {
        return Err(refuse(too_many()));
    }
    let row = |(at, row): (usize, Vec<(String, String)>)| Choice {
        label: format!("row {}", at + 1),
        lines: row
            .iter()
            .map(|(name, value)| {
                let value = Value::from(value.replace("{{", "\\{{"));
                placed(format!("let {name} = {value}"), &rest.at, folder)
            })
            .collect(),
    };
    Ok(rows.into_iter().enumerate().map(row).collect())
}

/// A line that takes the place of a `matrix` or `rows` line whose values begin at `at`.
pub(super) fn placed(text: String, at: &Position, folder: &Rc<Path>) -> PlacedLine {
    let at = at.clone();
    PlacedLine {
        line: SourceLine { at, text },
        folder: Rc::clone(folder),
    }
}

/// The name and value of each column of a row.
type Row = Vec<(String, String)>;

/// Returns the rows of a CSV file. Stops reading once there are too many rows.
fn csv_rows(text: &str) -> Result<Vec<Row>, String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|error| error.to_string())?.clone();
    let row = |record: csv::Result<csv::StringRecord>| {
        let record = record.map_err(|error| error.to_string())?;
        let cells = headers.iter().zip(&record);
        Ok(cells
            .map(|(name, cell)| (name.trim().to_string(), cell.to_string()))
            .collect())
    };
    reader.records().take(MOST_CASES + 1).map(row).collect()
}

/// Returns the rows of a JSON Lines file. Stops reading once there are too many rows.
fn json_rows(text: &str) -> Result<Vec<Row>, String> {
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let row = |(at, line): (usize, &str)| {
        let object: Map<String, Value> = serde_json::from_str(line)
            .map_err(|error| format!("line {} is not a JSON object: {error}", at + 1))?;
        let cell = |value: Value| match value {
            Value::String(text) => text,
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let cells = object.into_iter();
        Ok(cells.map(|(name, value)| (name, cell(value))).collect())
    };
    lines.take(MOST_CASES + 1).map(row).collect()
}

//! The lines `matrix` and `rows`, with which a case runs once for each combination of values.

use super::conditions::pinned_model;
use super::gather::{PlacedLine, included};
use super::source::SourceLine;
use crate::files;
use crate::position::{Position, ScriptError};
use crate::words::{Rest, Variables, Word};
use base::decode::decode;
use base::hash::fnv1a;
use serde_json::{Map, Value};
use std::path::Path;
use std::rc::Rc;

/// The maximum number of cases that the `matrix` and `rows` lines of one case may produce.
const MOST_CASES: usize = 100_000;
/// The maximum size in bytes of a file named in a `rows` line.
const LARGEST: u64 = 256 << 20;
/// The maximum number of characters of a value in a case's name. A longer value is shortened.
const LONGEST: usize = 40;

/// One value of a `matrix` line, or one row of a file named in a `rows` line.
#[derive(Clone, Debug)]
struct Choice {
    /// The part of the case's name that identifies the choice, such as `seed=3`.
    label: String,
    /// The lines that replace the `matrix` or `rows` line in this choice.
    lines: Vec<PlacedLine>,
}

/// A `matrix` or `rows` line, and its choices.
struct Dimension {
    /// The index of the line among the lines of the case.
    line: usize,
    choices: Vec<Choice>,
}

/// A case's lines with one combination of the values of its `matrix` and `rows` lines.
#[derive(Debug, Default)]
pub(super) struct Combination {
    /// The part of the case's name that identifies the combination; empty if the case has only one
    /// combination.
    pub(super) label: String,
    pub(super) lines: Vec<PlacedLine>,
}

impl Combination {
    /// Returns the label in a form that can be appended to a golden's name.
    pub(super) fn suffix(&self) -> String {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_=.".contains(c);
        let slug: String = self
            .label
            .chars()
            .map(|c| if fits(c) { c } else { '-' })
            .collect();
        let slug = slug.replace('=', "-");
        match self.label.is_empty() {
            true => String::new(),
            // Labels that look alike as names of files remain different.
            false => format!(".{:.30}-{:04x}", slug, fnv1a(&self.label) & 0xffff),
        }
    }
}

/// Returns every combination of the values of a case's `matrix` and `rows` lines. `given` contains
/// the variables from the command line.
pub(super) fn combinations(
    lines: &[PlacedLine],
    given: &Variables,
) -> Result<Vec<Combination>, ScriptError> {
    let mut dimensions = Vec::new();
    let mut count = 1_usize;
    for (line, placed) in lines.iter().enumerate() {
        let rest = Rest::new(&placed.line.text, placed.line.at.clone());
        let (word, after) = rest.split();
        let choices = match word {
            "matrix" => values(&after, &placed.folder, given)?,
            "rows" => rows(&after, &placed.folder)?,
            _ => continue,
        };
        count = count.saturating_mul(choices.len());
        if count > MOST_CASES {
            let why = format!("The values add up to more than {MOST_CASES} cases; divide them");
            return Err(ScriptError::new(&rest.at, why));
        }
        dimensions.push(Dimension { line, choices });
    }
    Ok((0..count)
        .map(|n| combination(lines, &dimensions, n))
        .collect())
}

/// Returns the combination with the index `number`. The values of the last line change fastest.
fn combination(lines: &[PlacedLine], dimensions: &[Dimension], number: usize) -> Combination {
    let mut left = number;
    let mut chosen: Vec<&Choice> = dimensions
        .iter()
        .rev()
        .map(|dimension| {
            let choice = &dimension.choices[left % dimension.choices.len()];
            left /= dimension.choices.len();
            choice
        })
        .collect();
    chosen.reverse();
    let labels: Vec<&str> = chosen.iter().map(|choice| choice.label.as_str()).collect();
    let mut combined = Combination {
        label: labels.join(", "),
        lines: Vec::new(),
    };
    for (at, placed) in lines.iter().enumerate() {
        match dimensions.iter().position(|dimension| dimension.line == at) {
            None => combined.lines.push(placed.clone()),
            Some(dimension) => combined.lines.extend_from_slice(&chosen[dimension].lines),
        }
    }
    combined
}

/// Parses the values of a `matrix` line, such as `matrix set NAME VALUE …`, `matrix let NAME VALUE
/// …`, `matrix model VALUE …` or `matrix include FILE …`.
fn values(rest: &Rest, folder: &Rc<Path>, given: &Variables) -> Result<Vec<Choice>, ScriptError> {
    let (word, after) = rest.split();
    let (name, start, values) = match word {
        "set" | "let" => {
            let (name, values) = after.split();
            let equals = if word == "let" { " =" } else { "" };
            (name, format!("{word} {name}{equals}"), values)
        }
        "backend" | "device" | "include" | "mode" | "model" | "system" | "threads" => {
            (word, word.to_string(), after)
        }
        _ => ("", String::new(), after),
    };
    let words = values.raw_words()?;
    if name.is_empty() || words.is_empty() {
        let why = "matrix takes set NAME, let NAME, model, backend, device, threads, mode, system or include, and then values, for example matrix set seed 1 2 3";
        return Err(ScriptError::new(&rest.at, why));
    }
    let choice = |word: Word| {
        let (label, lines) = match name {
            "include" => {
                let lines = included(&folder.join(&word.text), &word.at, given)?;
                (Path::new(&word.text).with_extension(""), lines)
            }
            _ => {
                let line = format!("{start} {}", Value::from(word.text.as_str()));
                let shown = match name {
                    "model" => pinned_model(&word.text).0,
                    _ => &word.text,
                };
                (shown.into(), vec![placed(line, &rest.at, folder)])
            }
        };
        Ok(Choice {
            label: format!("{name}={}", shortened(&label.to_string_lossy())),
            lines,
        })
    };
    words.into_iter().map(choice).collect()
}

/// Parses `rows FILE`. Each row of the CSV or JSON Lines file is one choice, which defines
/// variables.
fn rows(rest: &Rest, folder: &Rc<Path>) -> Result<Vec<Choice>, ScriptError> {
    let refuse = |why: String| ScriptError::new(&rest.at, why);
    let words = rest.raw_words()?;
    let [name] = words.as_slice() else {
        return Err(refuse(
            "rows takes the name of a CSV or JSON Lines file".to_string(),
        ));
    };
    let path = folder.join(&name.text);
    let bytes = files::read(&path, LARGEST).map_err(refuse)?;
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
fn placed(text: String, at: &Position, folder: &Rc<Path>) -> PlacedLine {
    let at = at.clone();
    PlacedLine {
        line: SourceLine { at, text },
        folder: Rc::clone(folder),
    }
}

/// The name and value of each column of a row.
type Row = Vec<(String, String)>;

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
    reader.records().map(row).collect()
}

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
    lines.map(row).collect()
}

fn shortened(value: &str) -> String {
    story::sentence::excerpt(value, LONGEST)
}

//! The lines `matrix` and `rows`, which make a case run once for each combination of values.

use super::conditions::pinned_model;
use super::gather::{PlacedLine, included};
use super::rows::{Choice, MOST_CASES, placed, rows, too_many};
use crate::position::ScriptError;
use crate::words::{Rest, Variables, Word};
use base::hash::fnv1a;
use serde_json::Value;
use std::path::Path;
use std::rc::Rc;

/// The maximum number of characters of a value in a case's name. A longer value is shortened.
const LONGEST: usize = 40;

/// A `matrix` or `rows` line, and its choices.
struct Dimension {
    /// The index of the line among the lines of the case.
    line: usize,
    choices: Vec<Choice>,
}

/// A case's lines after its `matrix` and `rows` lines were replaced with one combination of their
/// choices.
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

/// Returns every combination of the values of a case's `matrix` and `rows` lines. Each combination
/// is built when it is needed, because all of them together may be large. `given` contains the
/// variables from the command line.
pub(super) fn combinations(
    lines: &[PlacedLine],
    given: &Variables,
) -> Result<impl Iterator<Item = Combination>, ScriptError> {
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
            return Err(ScriptError::new(&rest.at, too_many()));
        }
        dimensions.push(Dimension { line, choices });
    }
    Ok((0..count).map(move |n| combination(lines, &dimensions, n)))
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

fn shortened(value: &str) -> String {
    story::sentence::excerpt(value, LONGEST)
}

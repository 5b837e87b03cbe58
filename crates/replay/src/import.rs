//! Imports tests written for other programs as scripts: promptfoo's configurations, and samples of
//! OpenAI's evals.
//!
//! An importer parses a file into cases, and [`write`] writes the cases as a script. Parts that
//! have no equivalent in a script are listed, so that nothing is lost silently.

mod evals;
mod promptfoo;
mod write;

use base::decode::decode;
use base::untrusted::clean_line;
use std::fmt;
use std::path::Path;

/// The maximum size of a file to import, in bytes.
const LARGEST: u64 = 64 << 20;
/// The maximum number of cases in an imported script.
const MOST_CASES: usize = 100_000;

/// A script made from another program's tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub script: String,
    pub cases: usize,
    pub expectations: usize,
    /// The parts that could not be imported.
    pub omitted: Vec<Omission>,
}

/// A part of a test file that could not be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Omission {
    /// Where the part is in the file, for example "test 3".
    pub place: String,
    /// What the part is, for example the type of an assertion.
    pub what: String,
    /// The reason why the part was not imported, worded as the end of a sentence.
    pub why: String,
}

impl fmt::Display for Omission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Omission { place, what, why } = self;
        let line = format!("{place}: {what} is not imported: {why}");
        f.write_str(&clean_line(&line))
    }
}

/// The cases of an imported file, before they are written as a script.
#[derive(Debug, Default)]
struct Cases {
    /// Comments and settings that apply to all cases, as lines of the script.
    head: Vec<String>,
    cases: Vec<CaseLines>,
    omitted: Vec<Omission>,
}

/// A case of an imported file, before it is written to the script.
#[derive(Debug, Default)]
struct CaseLines {
    name: String,
    settings: Vec<String>,
    /// The text that the script types.
    prompt: String,
    /// The expectations, as lines of the script without the word `expect`.
    expectations: Vec<String>,
}

/// Imports a file. A file whose name ends with `.jsonl` contains samples of OpenAI's evals; any
/// other file is a promptfoo configuration.
pub fn import(path: &Path) -> Result<Imported, String> {
    let name = clean_line(&path.to_string_lossy());
    let text = read(path)?;
    let samples = path.extension().is_some_and(|ending| ending == "jsonl");
    let cases = match samples {
        true => evals::parse(&text),
        false => promptfoo::parse(&text, path.parent().unwrap_or(Path::new(""))),
    };
    let cases = cases.map_err(|why| format!("{name}: {why}"))?;
    if cases.cases.is_empty() {
        let all: Vec<String> = cases.omitted.iter().map(Omission::to_string).collect();
        return Err(format!("{name} has no case to import; {}", all.join("; ")));
    }
    Ok(write::script(&cases, &name))
}

/// Reads a text file.
fn read(path: &Path) -> Result<String, String> {
    let bytes = crate::files::read(path, LARGEST)?;
    let name = clean_line(&path.to_string_lossy());
    let text = decode(bytes).map_err(|error| format!("{name} {error}"))?;
    Ok(text.to_string())
}

#[cfg(test)]
mod tests;

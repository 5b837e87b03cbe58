//! Writes the results: one JSON line per case, appended when the case ends.

use super::row::key;
use crate::cli::{Exit, Failed, output};
use base::hash::fnv1a;
use base::untrusted::clean_line;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use story::Status;

/// The result of one case.
#[derive(Serialize)]
pub struct ResultRow<'a> {
    pub id: &'a Value,
    pub line: u32,
    #[serde(flatten)]
    pub outcome: Outcome<'a>,
    /// The duration of the last request, in seconds.
    pub seconds: f64,
    pub attempts: u32,
    pub model: &'a str,
    pub seed: u64,
    pub ended: String,
}

#[derive(Serialize)]
#[serde(untagged)]
pub enum Outcome<'a> {
    Written {
        text: &'a str,
        finish: Status,
        tokens: usize,
        usage: Usage,
    },
    Failed {
        error: &'a str,
    },
}

/// Token counts, with the field names of the OpenAI API.
#[derive(Serialize)]
pub struct Usage {
    pub prompt_tokens: usize,
    pub completion_tokens: usize,
    pub cached_tokens: usize,
}

/// The fields of a result that resuming and merging need.
#[derive(Debug, Deserialize)]
pub struct Known {
    pub id: Value,
    #[serde(default)]
    pub line: u64,
    #[serde(default)]
    pub ended: String,
    finish: Option<Value>,
    error: Option<Value>,
}

impl Known {
    /// Parses a line. Returns None if the line is not a result.
    pub fn parse(line: &[u8]) -> Option<Known> {
        let known: Known = serde_json::from_slice(line).ok()?;
        matches!(known.id, Value::String(_) | Value::Number(_)).then_some(known)
    }

    pub fn key(&self) -> String {
        key(&self.id)
    }

    /// Whether the case was written successfully, so that a resumed run skips it.
    pub fn is_complete(&self) -> bool {
        self.error.is_none() && self.finish.is_some()
    }
}

/// Where the results are written: to a file or to standard output.
pub enum Results {
    File(File),
    Standard,
}

impl Results {
    /// Opens the file of results at `path`, removes an unfinished last line, and returns the hashes
    /// of the ids whose cases are complete. Without a path, the results go to standard output.
    pub fn open(path: Option<&Path>) -> Result<(Results, HashSet<u64>), Failed> {
        let Some(path) = path else {
            return Ok((Results::Standard, HashSet::new()));
        };
        let shown = clean_line(&path.display().to_string());
        let failed = |error: std::io::Error| {
            let why = format!(
                "Cannot write the results to {shown} ({error}); give another file to --output"
            );
            Failed::new(Exit::Engine, why)
        };
        let mut options = OpenOptions::new();
        let opened = options.read(true).append(true).create(true).open(path);
        let file = opened.map_err(failed)?;
        if file.try_lock().is_err() {
            let why = format!(
                "Another run is writing to {shown}; wait for it, or give another file to --output"
            );
            return Err(Failed::new(Exit::Usage, why));
        }
        let done = resume(&file).map_err(failed)?;
        Ok((Results::File(file), done))
    }

    /// Appends a row. Returns false if no program reads standard output any more.
    pub fn write(&mut self, row: &ResultRow) -> Result<bool, Failed> {
        let failed = |error: &dyn std::fmt::Display| {
            let why = format!(
                "Cannot write a result ({error}); the run has stopped; run the same command again to resume"
            );
            Failed::new(Exit::Engine, why)
        };
        let mut line = serde_json::to_vec(row).map_err(|error| failed(&error))?;
        line.push(b'\n');
        match self {
            Results::Standard => output::write(&line),
            Results::File(file) => match file.write_all(&line) {
                Ok(()) => Ok(true),
                Err(error) => Err(failed(&error)),
            },
        }
    }

    /// Syncs all rows to disk.
    pub fn finish(&mut self) {
        if let Results::File(file) = self {
            // Errors are ignored: the rows are written, and only a power failure could lose them.
            let _ = file.sync_data();
        }
    }
}

fn resume(mut file: &File) -> std::io::Result<HashSet<u64>> {
    file.seek(SeekFrom::Start(0))?;
    let mut lines = BufReader::with_capacity(1 << 18, file);
    let (mut done, mut whole, mut line) = (HashSet::new(), 0u64, Vec::new());
    loop {
        line.clear();
        let read = lines.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            if read > 0 {
                // This row was incomplete when the last run was killed.
                file.set_len(whole)?;
            }
            return Ok(done);
        }
        whole += read as u64;
        if let Some(known) = Known::parse(&line).filter(Known::is_complete) {
            done.insert(fnv1a(&known.key()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn complete_rows_are_done_and_a_torn_one_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let rows = "{\"id\":\"a\",\"text\":\"x\",\"finish\":\"length\"}\n{\"id\":\"b\",\"error\":\"no\"}\nrubbish\n{\"id\":3,\"text\":\"\",\"finish\":\"complete\"}\n";
        fs::write(&path, format!("{rows}{{\"id\":\"c\",\"text\":\"y\",\"fin")).unwrap();
        let (mut results, done) = Results::open(Some(&path)).unwrap();
        assert_eq!(done, HashSet::from([fnv1a("a"), fnv1a("3")]));
        assert!(Results::open(Some(&path)).is_err(), "it is in use");
        let row = ResultRow {
            id: &Value::from("d"),
            line: 4,
            outcome: Outcome::Failed { error: "gone" },
            seconds: 0.5,
            attempts: 4,
            model: "m",
            seed: 1,
            ended: "2026-01-01T00:00:00Z".to_string(),
        };
        assert!(results.write(&row).unwrap());
        let now = fs::read_to_string(&path).unwrap();
        let (old, new) = now.split_at(rows.len());
        assert_eq!(old, rows);
        assert_eq!(
            new,
            "{\"id\":\"d\",\"line\":4,\"error\":\"gone\",\"seconds\":0.5,\"attempts\":4,\"model\":\"m\",\"seed\":1,\"ended\":\"2026-01-01T00:00:00Z\"}\n"
        );
    }
}

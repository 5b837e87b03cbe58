//! Writes a cassette while a replay runs.

use super::{Header, Line, RecordedModel, Take, VERSION};
use base::untrusted::clean_line;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A cassette that is being recorded. It is written under a temporary name and renamed when it is
/// finished. Until then, an older cassette of the same name stays in place.
pub struct Tape {
    path: PathBuf,
    part: PathBuf,
    state: Mutex<State>,
}

struct State {
    file: Option<BufWriter<File>>,
    /// The requested names of the models that have been written so far.
    models: Vec<String>,
    answers: usize,
    /// The error that prevented a line from being written, if there was one.
    failed: Option<io::Error>,
}

impl Tape {
    /// Starts a cassette. Returns an error if `path` is an existing file that is not a cassette.
    pub fn create(path: &Path, build: &str) -> Result<Tape, String> {
        if path.exists() && !is_cassette(path) {
            return Err(format!(
                "{} is not a cassette and is not overwritten; choose another name",
                clean_line(&path.to_string_lossy())
            ));
        }
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".part");
        let part = path.with_file_name(name);
        let file = File::create(&part).map_err(|error| not_written(path, &error))?;
        let tape = Tape {
            path: path.to_path_buf(),
            part,
            state: Mutex::new(State {
                file: Some(BufWriter::new(file)),
                models: Vec::new(),
                answers: 0,
                failed: None,
            }),
        };
        let build = build.to_string();
        let version = VERSION;
        tape.change(|state| state.write(&Header { version, build }));
        Ok(tape)
    }

    /// Writes a loaded model to the cassette, unless a model with the same requested name was
    /// already written.
    pub fn model(&self, model: RecordedModel) {
        self.change(|state| {
            if !state.models.contains(&model.requested) {
                state.models.push(model.requested.clone());
                state.write(&Line::Model(model));
            }
        });
    }

    /// Adds an answer to the cassette.
    pub fn answer(&self, take: Take) {
        self.change(|state| {
            state.answers += 1;
            state.write(&Line::Answer(take));
        });
    }

    /// Completes the cassette, renames it to its final name, and returns the number of its answers.
    pub fn finish(&self) -> Result<usize, String> {
        let mut answers = 0;
        let mut result = Ok(());
        self.change(|state| {
            answers = state.answers;
            result = match (state.failed.take(), state.file.take()) {
                (Some(error), _) => Err(error),
                (None, Some(mut file)) => file.flush(),
                (None, None) => Ok(()),
            };
        });
        let placed = result.and_then(|()| fs::rename(&self.part, &self.path));
        placed.map_err(|error| not_written(&self.path, &error))?;
        Ok(answers)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Tape {
    /// Removes the temporary file of a cassette that was not finished.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.part);
    }
}

impl State {
    fn write(&mut self, line: &impl serde::Serialize) {
        let Some(file) = self.file.as_mut().filter(|_| self.failed.is_none()) else {
            return;
        };
        let json = serde_json::to_vec(line).map_err(io::Error::from);
        let written = json.and_then(|mut json| {
            json.push(b'\n');
            file.write_all(&json)
        });
        self.failed = written.err();
    }
}

fn is_cassette(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut start));
    read.is_ok() && (start.is_empty() || start.starts_with(b"{\"illumine-cassette\":"))
}

fn not_written(path: &Path, error: &io::Error) -> String {
    let name = clean_line(&path.to_string_lossy());
    format!("Cannot write the cassette {name}: {error}")
}

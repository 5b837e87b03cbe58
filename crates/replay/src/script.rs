//! Scripts: cases of lines and expectations, parsed before anything runs.

mod digest;
mod gather;
mod matrix;
mod parse;
mod source;

use crate::expect::{Bound, Expectation};
use crate::position::{Position, ScriptError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use story::SettingOverrides;

/// The first line of every script.
pub const HEADER: &str = "illumine-replay 1";

/// The cases of one file.
#[derive(Debug)]
pub struct Script {
    pub path: PathBuf,
    pub cases: Vec<Case>,
}

/// A case: it starts with an empty story and these settings.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    pub at: Position,
    pub settings: SettingOverrides,
    /// How many times the case runs; None if only once.
    pub repeat: Option<Repeat>,
    /// The score from which it passes, whatever fails.
    pub threshold: Option<f64>,
    pub steps: Vec<Step>,
}

/// How many times a case runs, each time with another seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repeat {
    pub times: u32,
    /// The expected share of runs that pass.
    pub pass_rate: Bound,
}

impl Case {
    /// The number of expectations in the case.
    pub fn expectations(&self) -> usize {
        let is = |step: &&Step| matches!(step, Step::Expect(_));
        self.steps.iter().filter(is).count()
    }
}

/// A step of a case.
#[derive(Debug)]
pub enum Step {
    /// A line as a writer types it: text or a command.
    Line {
        at: Position,
        text: String,
    },
    Expect(Expectation),
}

/// Loads a script and the files that it includes. `given` are variables from the command line,
/// which override those of the script. Returns every error that it finds.
pub fn load(path: &Path, given: &BTreeMap<String, String>) -> Result<Script, Vec<ScriptError>> {
    parse::Parser::new(given).load(path)
}

#[cfg(test)]
mod tests;

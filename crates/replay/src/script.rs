//! Scripts, which consist of cases. All lines and expectations of a script are parsed before any of
//! them runs.

mod conditions;
mod digest;
mod gather;
mod matrix;
mod parse;
mod rows;
mod settings;
mod source;

pub use conditions::{Answers, Conditions};

use crate::expect::{Bound, Expectation};
use crate::position::{Position, ScriptError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use story::SettingOverrides;

/// The first line of every script.
pub const HEADER: &str = "illumine-replay 1";

/// A script file, parsed into its cases.
#[derive(Debug)]
pub struct Script {
    pub path: PathBuf,
    pub cases: Vec<Case>,
}

/// A case: its settings, and the steps that are run from an empty story.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    pub at: Position,
    pub settings: SettingOverrides,
    pub conditions: Conditions,
    /// How often the case is repeated; None if it runs once.
    pub repeat: Option<Repeat>,
    /// The case passes if its score is at least this value, even if expectations fail. None if
    /// every expectation must pass.
    pub threshold: Option<f64>,
    pub steps: Vec<Step>,
}

/// How a case is repeated. Each of its runs has a different seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repeat {
    pub times: u32,
    /// The comparison that the share of passed runs must satisfy.
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

/// Loads a script and the files that it includes. `given` contains the variables from the command
/// line, which override the script's own. Returns all the errors that were found.
pub fn load(path: &Path, given: &BTreeMap<String, String>) -> Result<Script, Vec<ScriptError>> {
    parse::Parser::new(given).load(path)
}

#[cfg(test)]
mod conditions_tests;
#[cfg(test)]
mod tests;

//! The report of a replay, which can be written as text, as JSON Lines or as JUnit XML.

mod junit;
mod text;

pub use junit::junit;
pub use text::{case_text, summary_text};

use crate::expect::Bound;
use crate::measure::variety::wilson_interval;
use serde::Serialize;

/// How the texts of a replay were produced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunMode {
    /// The model generated every passage anew.
    #[default]
    Recompute,
}

impl RunMode {
    pub fn name(self) -> &'static str {
        match self {
            RunMode::Recompute => "recompute",
        }
    }
}

/// The report of one case that has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CaseReport {
    /// The path of the script as the user wrote it.
    pub file: String,
    pub case: String,
    pub line: usize,
    pub verdict: Verdict,
    /// How many runs of a repeated case passed; None if the case is not repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<Runs>,
    /// The number of expectations that were checked.
    pub checked: usize,
    /// The expectations that failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
    /// The line that could not run, and the reason; None if all lines ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Remarks, for example that a golden was written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// The whole story of a failed case, so that the report preserves its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub story: Option<String>,
    /// The number of tokens that the model generated in this case.
    pub tokens: usize,
    /// The duration of the case in seconds; None in a stable report, which contains no durations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// The shell command that runs only this case.
    pub rerun: String,
}

/// The results of a repeated case.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Runs {
    pub runs: u32,
    pub passed: u32,
    /// The share of runs that passed.
    pub pass_rate: f64,
    /// The lower end of the pass rate's 95 % confidence interval (Wilson).
    pub low: f64,
    /// The upper end of the pass rate's 95 % confidence interval (Wilson).
    pub high: f64,
    /// The comparison that the script expects the pass rate to satisfy.
    pub expected: String,
}

impl Runs {
    pub fn new(passed: u32, runs: u32, expected: Bound) -> Runs {
        let (low, high) = wilson_interval(passed, runs);
        Runs {
            runs,
            passed,
            pass_rate: f64::from(passed) / f64::from(runs),
            low,
            high,
            expected: expected.to_string(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    #[default]
    Passed,
    /// An expectation failed.
    Failed,
    /// A line could not run.
    Error,
}

/// The report of an expectation that failed, or of a line that could not run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Failure {
    /// The file and line number, as `file:line`.
    pub at: String,
    /// The line of the script as written.
    pub source: String,
    /// What went wrong, in one sentence.
    pub why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
    /// The expected and the actual text merged into one text, in which the words that differ are
    /// marked: `[-expected-]{+actual+}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
}

impl Failure {
    /// The name and content of each text that explains the failure.
    fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let texts = [
            ("expected", &self.expected),
            ("actual", &self.actual),
            ("changes", &self.difference),
        ];
        let texts = texts.into_iter();
        texts.filter_map(|(name, text)| Some((name, text.as_deref()?)))
    }
}

/// The report of a whole replay: the totals of all cases.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RunReport {
    pub mode: RunMode,
    /// The name and version of the program.
    pub build: String,
    /// The models that wrote the texts, each with its checksum and backend.
    pub models: Vec<String>,
    /// Whether running the replay again produces the same texts.
    pub reproducible: bool,
    pub passed: usize,
    pub failed: usize,
    pub errors: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

impl RunReport {
    /// Adds a case with this verdict to the totals.
    pub fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed => self.failed += 1,
            Verdict::Error => self.errors += 1,
        }
    }

    /// The number of cases that have ended.
    pub fn cases(&self) -> usize {
        self.passed + self.failed + self.errors
    }
}

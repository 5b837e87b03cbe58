//! Reports of a run: as text, as JSON Lines, as JUnit XML, and in the formats of Inspect and
//! lm-evaluation-harness.

mod inspect;
mod junit;
mod samples;
mod score;
mod text;

pub use inspect::eval_log;
pub use junit::junit;
pub use samples::sample_line;
pub use score::Checked;
pub use text::{case_text, summary_text};

use crate::expect::Bound;
use crate::measure::variety::wilson_interval;
use serde::Serialize;

/// How the texts of a run came about.
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

/// One case that has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CaseReport {
    /// The script as the user named it.
    pub file: String,
    pub case: String,
    pub line: usize,
    pub verdict: Verdict,
    /// The runs of a repeated case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<Runs>,
    /// The number of expectations that were checked.
    pub checked: usize,
    /// Every expectation that was checked, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expectations: Vec<Checked>,
    /// The weighted mean of their scores; of all runs, if the case is repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The score from which the case passes, even if expectations failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// The expectations that failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
    /// Why a line could not run, and where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Remarks, such as goldens that were written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// The text of a failed case, so that nothing of it is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub story: Option<String>,
    /// The number of generated tokens.
    pub tokens: usize,
    /// None in a stable report, as are all other times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// The command that runs this case alone.
    pub rerun: String,
}

/// The runs of a repeated case.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Runs {
    pub runs: u32,
    pub passed: u32,
    /// The share of runs that passed, with the ends of its 95 % confidence interval (Wilson).
    pub pass_rate: f64,
    pub low: f64,
    pub high: f64,
    /// What the script expects of the share.
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

/// An expectation that failed, or a line that could not run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Failure {
    /// The file and line.
    pub at: String,
    /// The line as written.
    pub source: String,
    /// One sentence.
    pub why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
    /// Both texts with the words that differ marked: `[-expected-]{+actual+}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
}

impl Failure {
    /// The texts that explain it, with their names.
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

/// A whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RunReport {
    pub mode: RunMode,
    /// The program and its version.
    pub build: String,
    /// The models that wrote, each with its checksum and backend.
    pub models: Vec<String>,
    /// Whether the same run gives the same text again.
    pub reproducible: bool,
    pub passed: usize,
    pub failed: usize,
    pub errors: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

impl RunReport {
    /// Counts a case.
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

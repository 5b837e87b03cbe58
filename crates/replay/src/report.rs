//! The report of a replay, which can be written as text, as JSON Lines or as JUnit XML.

mod html;
mod inspect;
mod junit;
pub(crate) mod page;
mod samples;
mod score;
mod tap;
mod text;

pub use html::{html_case, html_end, html_script, html_start};
pub use inspect::write_eval_log;
pub use junit::junit;
pub use samples::sample_line;
pub use score::Checked;
pub use tap::{tap_bail, tap_case, tap_plan};
pub use text::{case_text, counts_text, summary_text};

use crate::expect::{Bound, NewPicture};
use crate::measure::variety::wilson_interval;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How the texts of a replay were produced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunMode {
    /// The model generated every passage anew.
    #[default]
    Recompute,
    /// The passages come from a cassette, and the model computed how likely they are.
    Verify,
    /// The answers come from a cassette; no model was used.
    Cassette,
    /// The cases have different modes.
    Mixed,
}

impl RunMode {
    pub fn name(self) -> &'static str {
        match self {
            RunMode::Recompute => "recompute",
            RunMode::Verify => "verify",
            RunMode::Cassette => "cassette",
            RunMode::Mixed => "mixed",
        }
    }
}

/// A case of a run, with its report if the case was run.
#[derive(Clone, Debug)]
pub enum Entry {
    Ran(Box<CaseReport>),
    /// The run was stopped before this case.
    NotRun {
        file: String,
        case: String,
    },
}

impl Entry {
    /// The path of the script, as the user entered it.
    pub fn file(&self) -> &str {
        match self {
            Entry::Ran(case) => &case.file,
            Entry::NotRun { file, .. } => file,
        }
    }
}

/// One case that has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CaseReport {
    /// The path of the script as the user wrote it.
    pub file: String,
    pub case: String,
    pub line: usize,
    pub verdict: Verdict,
    /// The mode of the case, if the cases of the run have different modes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<RunMode>,
    /// How many runs of a repeated case passed; None if the case is not repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<Runs>,
    /// The number of expectations that were checked.
    pub checked: usize,
    /// The expectations that were checked, in the order of the script.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expectations: Vec<Checked>,
    /// The weighted mean of the expectations' scores. If the case is repeated, this is the mean
    /// over all of its runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The case passes if its score is at least this value, even if expectations failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
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
    /// The text of the case as messages, for comparisons. The text that the model wrote has the
    /// role of the assistant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// The settings with which the case started, as a list that `--compare` accepts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub settings: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The number of tokens that the model generated in this case.
    pub tokens: usize,
    /// The duration of the case in seconds; None in a stable report, which contains no durations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// The model that wrote the texts of the case, with its checksum and backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whether running the case again may produce another text.
    #[serde(skip_serializing_if = "is_false")]
    pub varies: bool,
    /// The digest of everything that the result depends on; see [`crate::script::Case::digest`].
    pub digest: String,
    /// The command that runs this case alone.
    pub rerun: String,
    /// What was typed and what the story says at the end, for reports that contain both.
    #[serde(skip)]
    pub texts: Texts,
    /// The bytes of each picture that the case drew.
    #[serde(skip)]
    pub pictures: Vec<Arc<[u8]>>,
}

/// A message: a text with the role of its author.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub role: Role,
    pub content: String,
}

/// The role of a message's author, as in OpenAI's chats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    #[default]
    User,
    Assistant,
}

impl CaseReport {
    /// Whether the case started in chat mode.
    pub fn is_chat(&self) -> bool {
        self.settings.split(',').any(|part| part == "mode=chat")
    }

    /// Returns the text of the case without the system message. Returns None if the report was
    /// written by an old version of illumine that did not save the texts of passed cases.
    pub fn text(&self) -> Option<String> {
        let gap = if self.is_chat() { "\n\n" } else { "" };
        let told = self.messages.iter().filter(|it| it.role != Role::System);
        let told: Vec<&str> = told.map(|it| it.content.as_str()).collect();
        match self.settings.is_empty() {
            true => self.story.clone(),
            false => Some(told.join(gap)),
        }
    }
}

/// The texts of a case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Texts {
    /// The lines that were typed, each on a line of its own.
    pub typed: String,
    pub story: String,
}

impl CaseReport {
    /// The lines that were typed, or the name of the case if they are not known.
    fn input(&self) -> &str {
        match self.texts.typed.as_str() {
            "" => &self.case,
            typed => typed,
        }
    }

    /// The story at the end of the case; empty if it is not known.
    fn output(&self) -> &str {
        match (self.texts.story.as_str(), &self.story) {
            ("", Some(story)) => story,
            (story, _) => story,
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &usize) -> bool {
    *value == 0
}

/// The runs of a repeated case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// The name of the golden that differs or is missing, or of the picture file that is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub golden: Option<String>,
    /// The drawn picture, if the picture file that it was compared with is missing or differs from
    /// it.
    #[serde(skip)]
    pub picture: Option<NewPicture>,
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
    /// The path of the cassette that was played, verified or recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cassette: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// The program and its version; empty in a stable report.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub build: String,
    /// The models that wrote the texts, each with its checksum and backend.
    pub models: Vec<String>,
    /// Whether running the replay again produces the same texts.
    pub reproducible: bool,
    pub passed: usize,
    pub failed: usize,
    pub errors: usize,
    /// The number of cases that did not run because the run was stopped.
    #[serde(skip_serializing_if = "is_zero")]
    pub not_run: usize,
    /// How many times a request to a model server was retried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// How well a model's log-probabilities agree with those in a cassette.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verified {
    /// The number of tokens whose log-probabilities were compared.
    pub tokens: usize,
    /// The number of tokens without a recorded log-probability.
    pub unscored: usize,
    /// The mean of the absolute differences between the log-probabilities.
    pub mean_difference: f64,
    /// The largest absolute difference for a single token.
    pub largest_difference: f64,
    pub tolerance: f64,
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

    /// The number of cases that have ended. Cases that did not run are not counted.
    pub fn cases(&self) -> usize {
        self.passed + self.failed + self.errors
    }
}

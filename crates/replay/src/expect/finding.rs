//! The result of checking an expectation, with an explanation if the check failed.

use super::NewPicture;
use story::diff::{diff_words, format_marked};

/// The result of checking one expectation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Finding {
    pub passed: bool,
    /// The score, from 0 to 1. If the checked quantity is itself a grade, such as ROUGE, the score
    /// is that grade or 1 minus that grade. Any other check scores 1 if it passed and 0 if it
    /// failed.
    pub score: f64,
    /// The number that was compared.
    pub measured: Option<f64>,
    /// What is wrong, in one sentence; empty if the expectation is met.
    pub why: String,
    /// The text that the checked text was compared with. Set only if a comparison with a single
    /// text failed.
    pub expected: Option<String>,
    /// The text that was checked; None if it does not help to explain a failure.
    pub actual: Option<String>,
    /// The expected and the actual text merged into one text, in which the words that differ are
    /// marked.
    pub difference: Option<String>,
    /// The drawn picture, if the picture file that it was compared with is missing or differs from
    /// it.
    pub picture: Option<NewPicture>,
    /// A remark about an expectation that passed, for example that a golden was written.
    pub remark: Option<String>,
}

impl Finding {
    pub(super) fn passed() -> Finding {
        Finding {
            passed: true,
            score: 1.0,
            ..Finding::default()
        }
    }

    pub(super) fn failed(why: impl Into<String>) -> Finding {
        Finding {
            why: why.into(),
            ..Finding::default()
        }
    }

    /// Adds the actual text to the finding.
    pub(super) fn of(self, actual: &str) -> Finding {
        Finding {
            actual: Some(actual.to_string()),
            ..self
        }
    }

    /// Adds the expected text, the actual text and the difference between them to the finding.
    pub(super) fn between(self, expected: &str, actual: &str) -> Finding {
        Finding {
            expected: Some(expected.to_string()),
            difference: Some(format_marked(&diff_words(expected, actual))),
            ..self.of(actual)
        }
    }
}

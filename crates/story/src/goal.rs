//! How far a passage is to be written.

use serde::{Deserialize, Serialize};

/// How far to write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LengthGoal {
    /// To exactly `max_tokens`.
    #[default]
    Exact,
    /// To the end of the sentence nearest to `max_tokens`.
    Near,
    Sentence,
    Paragraph,
    /// Until these words have been written.
    Until(String),
}

impl LengthGoal {
    pub fn is_exact(&self) -> bool {
        *self == LengthGoal::Exact
    }
}

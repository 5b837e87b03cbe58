//! When the generation of a passage stops.

use serde::{Deserialize, Serialize};

/// How long a passage should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LengthGoal {
    /// Exactly `max_tokens`.
    #[default]
    Exact,
    /// Up to a sentence end near `max_tokens`.
    Near,
    Sentence,
    Paragraph,
    /// Up to this phrase.
    Until(String),
}

impl LengthGoal {
    pub fn is_exact(&self) -> bool {
        *self == LengthGoal::Exact
    }
}

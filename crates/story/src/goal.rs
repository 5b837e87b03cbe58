//! The length at which the generation of a passage stops.

use serde::{Deserialize, Serialize};

/// How long a passage should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LengthGoal {
    /// Stop after exactly `max_tokens` tokens.
    #[default]
    Exact,
    /// Stop at the end of a sentence near `max_tokens`.
    Near,
    Sentence,
    Paragraph,
    /// Stop after this phrase.
    Until(String),
}

impl LengthGoal {
    pub fn is_exact(&self) -> bool {
        *self == LengthGoal::Exact
    }
}

//! How likely a model finds a passage that was written earlier.

use crate::Status;

/// A passage that was written earlier.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WrittenPassage {
    pub text: String,
    /// Its tokens; empty if they are unknown.
    pub ids: Vec<u32>,
    /// The number of bytes before `text` that the tokens also spell.
    pub healed: usize,
    /// How it ended.
    pub status: Status,
    /// Whether a banned phrase was removed from it, so that the samplers saw other logits.
    pub rewound: bool,
}

/// How likely a model finds each token of a passage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PassageScore {
    /// The number of tokens before the passage; 0 if unknown.
    pub prompt_tokens: usize,
    /// The number of bytes before the passage that the first token also spells.
    pub lead: usize,
    pub tokens: Vec<TokenScore>,
    /// The end of the model's turn, if it ended the passage.
    pub end: Option<TokenScore>,
}

/// How likely a model finds one token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenScore {
    /// The length of its text in bytes.
    pub bytes: usize,
    /// The natural logarithm of its probability before the samplers.
    pub log_probability: f64,
    /// Whether the samplers could choose it; None if this is unknown.
    pub admissible: Option<bool>,
    /// The most likely token at this position, if it is another one.
    pub likelier: Option<String>,
}

//! The probabilities that a model assigns to the tokens of a passage that was written earlier.

use crate::Status;

/// A passage that was written earlier.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WrittenPassage {
    pub text: String,
    /// The token ids of the passage; empty if they are unknown.
    pub ids: Vec<u32>,
    /// Because of token healing, the tokens spell this many bytes of the preceding text again.
    pub healed: usize,
    /// How the passage ended.
    pub status: Status,
    /// Whether a banned phrase was removed from the passage, which changed the logits that the
    /// samplers saw.
    pub rewound: bool,
}

/// The probabilities that a model assigns to the tokens of a passage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PassageScore {
    /// The number of tokens in the prompt before the passage; 0 if unknown.
    pub prompt_tokens: usize,
    /// The number of bytes at the start of the first token that belong to the text before the
    /// passage.
    pub lead: usize,
    pub tokens: Vec<TokenScore>,
    /// The score of the token that ends the model's turn; None if the passage ended in another way.
    pub end: Option<TokenScore>,
}

/// The probability that a model assigns to one token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenScore {
    /// The length of the token's text, in bytes.
    pub bytes: usize,
    /// The natural logarithm of the token's probability before the samplers are applied.
    pub log_probability: f64,
    /// Whether the samplers could choose the token; None if this is unknown.
    pub admissible: Option<bool>,
    /// The text of the most likely token at this position; None if the scored token is the most
    /// likely one.
    pub likelier: Option<String>,
}

//! A prompt as tokens. `build_prompt.rs` builds prompts from contexts.

use super::heal::Healing;
use llm::ModelError;
use story::message::{PassageStats, Truncation};

/// The tokens of a prompt, and a record of the parts that were dropped to make the prompt fit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    pub ids: Vec<u32>,
    pub cut: Truncation,
    /// The tokens at the end of the prompt that token healing may remove. The first new tokens must
    /// spell the text of the removed tokens again.
    pub healing: Healing,
}

impl Prompt {
    /// Returns the statistics of a passage before its first token.
    pub fn stats(&self) -> PassageStats {
        PassageStats {
            prompt_tokens: self.ids.len(),
            dropped: self.cut.dropped,
            begins: self.cut.begins,
            ..PassageStats::default()
        }
    }
}

/// The reason why a prompt could not be built.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(
        "The prompt has {tokens} tokens but the model's context is {context}; shorten it, or drop its beginning with --crop"
    )]
    Overflow { tokens: usize, context: usize },
    #[error(
        "The last message has {tokens} tokens but the model's context is {context}; shorten it, or use a model with a longer context"
    )]
    Message { tokens: usize, context: usize },
    #[error(
        "Memory, lore and author's note together have {tokens} tokens but the model's context is {context}; shorten them, or use a model with a longer context"
    )]
    Beside { tokens: usize, context: usize },
}

//! The engine's input for one passage.

pub use super::goal::LengthGoal;
use super::{Context, NodeId, Sampling};
use sampler::Ban;

/// A request for one passage.
#[derive(Clone, Debug, PartialEq)]
pub struct TextRequest {
    pub node: NodeId,
    pub context: Context,
    pub sampling: Sampling,
    /// The seed of this passage, already derived from the session's seed.
    pub seed: u64,
    pub overflow: Overflow,
    pub goal: LengthGoal,
    /// Banned phrases.
    pub bans: Vec<Ban>,
    /// Whether to use token healing: generation backs up over the last token of a person's text, so
    /// that an unfinished word can be completed.
    pub heal: bool,
    /// Tokens that the passage must start with.
    pub begin: Vec<u32>,
    /// The options of semantic retrieval; None if retrieval is off.
    pub retrieval: Option<Retrieval>,
}

/// The options of semantic retrieval. Retrieval inserts old passages that no longer fit the
/// context, and entries of `lore`, if their embeddings are near the embedding of the story's end.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrieval {
    /// The maximum number of retrieved items.
    pub most: usize,
    pub lore: Vec<UnmatchedLore>,
}

/// A lore entry that may be retrieved, but whose keys do not occur in the story.
#[derive(Clone, Debug, PartialEq)]
pub struct UnmatchedLore {
    pub title: String,
    pub text: String,
    /// The token budget of the entry's lorebook.
    pub budget: Option<usize>,
}

/// What to do if the context is too long for the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Drop the oldest tokens, and report how many were dropped.
    #[default]
    Crop,
    /// Fail with an error.
    Refuse,
}

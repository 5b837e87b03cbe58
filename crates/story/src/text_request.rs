//! What the engine needs to write one passage.

use super::ban::Ban;
pub use super::goal::LengthGoal;
use super::{Context, NodeId, Sampling};

#[derive(Clone, Debug, PartialEq)]
pub struct TextRequest {
    pub node: NodeId,
    pub context: Context,
    pub sampling: Sampling,
    /// The seed of this passage alone, already derived.
    pub seed: u64,
    pub overflow: Overflow,
    pub goal: LengthGoal,
    /// Phrases that are not to be written.
    pub bans: Vec<Ban>,
    /// Read the last word of people's text as the beginning of one, so that it may go on.
    pub heal: bool,
    /// Tokens that the passage begins with, whatever the model would draw.
    pub begin: Vec<u32>,
    /// What is to be found by its meaning; none where nothing is looked for.
    pub retrieval: Option<Retrieval>,
}

/// What may be read again when it means something like the story's end: the passages that no
/// longer fit, and these entries of lore.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrieval {
    /// At most so many in all.
    pub most: usize,
    pub lore: Vec<UnmatchedLore>,
}

/// An entry of lore that could be read, but that nothing in the story named.
#[derive(Clone, Debug, PartialEq)]
pub struct UnmatchedLore {
    pub title: String,
    pub text: String,
    /// Tokens that the lore of its book may take.
    pub budget: Option<usize>,
}

/// What to do with a context that the model cannot hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Leave the oldest tokens out and say how many.
    #[default]
    Crop,
    /// Fail with a sentence.
    Refuse,
}

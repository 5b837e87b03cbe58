//! Branches are alternative continuations of one story. All branches share the KV cache up to the
//! point where they diverge; each branch stores the state of its own tokens.

use kernels::attention::KvBlocks;

/// A continuation of the tokens that were in the KV cache when the branch was created. Branches are
/// supported only on CPUs.
pub struct Branch {
    /// The number of tokens at the start of the KV cache that the branch shares.
    pub(crate) shared: usize,
    /// The number of tokens that the branch adds.
    pub(crate) len: usize,
    /// The state of the branch's own tokens, layer by layer.
    pub(crate) layers: Vec<BranchState>,
}

/// The state of a branch's own tokens in one layer.
pub(crate) enum BranchState {
    Attention(KvBlocks),
    /// The rows that a convolution layer stores, `[tokens, channels]`.
    Convolution(Vec<f32>),
}

/// The positions of the tokens of one forward pass.
pub(crate) enum Positions<'a> {
    /// Consecutive positions. The number is the position of the first token.
    Sequence(usize),
    /// One token per branch, at the end of the branch.
    Branches(&'a mut [Branch]),
}

impl Branch {
    /// The position of the branch's next token.
    pub fn position(&self) -> usize {
        self.shared + self.len
    }
}

impl Positions<'_> {
    /// Returns the position of the token with index `index` in the forward pass.
    pub(crate) fn of(&self, index: usize) -> usize {
        match self {
            Positions::Sequence(position) => position + index,
            Positions::Branches(branches) => branches[index].position(),
        }
    }
}

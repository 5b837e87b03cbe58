//! Branches are alternative continuations of one story. All branches share the KV cache up to the
//! point where they diverge; each branch stores the state of its own tokens.

use kernels::attention::KvBlocks;

/// A sequence of tokens that continues the first tokens in the KV cache. Branches are supported
/// only on CPUs.
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
    /// Positions at the ends of branches. The values are the branches and the place of each token.
    Branches(&'a mut [Branch], &'a [Place]),
}

/// The branch and the position of one token in a forward pass that evaluates several branches.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// The index of the branch.
    pub(crate) branch: usize,
    pub(crate) position: usize,
}

impl Branch {
    /// The position of the branch's next token.
    pub fn position(&self) -> usize {
        self.shared + self.len
    }

    /// Removes the tokens at the position `keep` and after it. Shared tokens cannot be removed.
    /// Returns whether the branch now ends at `keep`.
    pub fn rewind(&mut self, keep: usize) -> bool {
        self.len = self.len.min(keep.saturating_sub(self.shared));
        self.position() == keep
    }

    /// The number of tokens at the start of the KV cache that the branch shares.
    pub fn shared(&self) -> usize {
        self.shared
    }
}

impl Positions<'_> {
    /// Returns the position of the token with index `index` in the forward pass.
    pub(crate) fn of(&self, index: usize) -> usize {
        match self {
            Positions::Sequence(position) => position + index,
            Positions::Branches(_, places) => places[index].position,
        }
    }
}

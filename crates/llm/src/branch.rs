//! Branches: continuations of one story. They share the KV cache up to the point where they
//! diverge; each stores the state of its own tokens.

use kernels::attention::KvBlocks;

/// A continuation of the KV cache as it was when the branch was created; CPUs only.
pub struct Branch {
    /// How many tokens at the start of the KV cache the branch shares.
    pub(crate) shared: usize,
    /// How many tokens the branch adds.
    pub(crate) len: usize,
    /// The state of the branch's own tokens, layer by layer.
    pub(crate) layers: Vec<BranchState>,
}

/// The state of a branch's own tokens in one layer.
pub(crate) enum BranchState {
    Attention(KvBlocks),
    /// Rows of a convolution, `[tokens, channels]`.
    Convolution(Vec<f32>),
}

/// The positions of the tokens of one forward pass.
pub(crate) enum Positions<'a> {
    /// Consecutive positions, starting with this one.
    Sequence(usize),
    /// One token at the end of each branch.
    Branches(&'a mut [Branch]),
}

impl Branch {
    /// The position of the branch's next token.
    pub fn position(&self) -> usize {
        self.shared + self.len
    }
}

impl Positions<'_> {
    /// The position of token `index` of the forward pass.
    pub(crate) fn of(&self, index: usize) -> usize {
        match self {
            Positions::Sequence(position) => position + index,
            Positions::Branches(branches) => branches[index].position(),
        }
    }
}

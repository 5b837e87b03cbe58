//! Ways on from one place in a story: each remembers its own tokens, all share what was before.

use kernels::attention::KvBlocks;

/// A way on from what the cache held when it was made. On a CPU only.
pub struct Branch {
    /// Tokens of the cache that it goes on from.
    pub(super) shared: usize,
    /// Its own tokens after those.
    pub(super) len: usize,
    /// What each layer remembers of them.
    pub(super) layers: Vec<BranchState>,
}

pub enum BranchState {
    Attention(KvBlocks),
    /// Rows of a convolution, `[tokens, channels]`.
    Convolution(Vec<f32>),
}

/// Where the tokens that are read stand.
pub enum Positions<'a> {
    /// One after another; the first at this position.
    Sequence(usize),
    /// One at the end of each branch.
    Branches(&'a mut [Branch]),
}

impl Branch {
    /// Tokens before its next one.
    pub fn position(&self) -> usize {
        self.shared + self.len
    }
}

impl Positions<'_> {
    /// Where token `index` of those that are read stands.
    pub fn position(&self, index: usize) -> usize {
        match self {
            Positions::Sequence(position) => position + index,
            Positions::Branches(branches) => branches[index].position(),
        }
    }
}

//! The interface of text models, the choice of the device on which a model computes, and the
//! selection of logits.

use crate::branch::Branch;
use crate::error::ModelError;
use candle_core::Device;
use kernels::attention::KvType;
use kernels::linear::KernelFamily;

/// Which rows of logits a forward pass returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logits {
    /// No row. The tokens are only evaluated into the KV cache.
    Skip,
    /// Only the row of the last token.
    Last,
    /// The rows of all tokens.
    All,
    /// Only the row of the last token, in which only the k highest logits are exact. If copying
    /// fewer logits from the device is faster, the remaining logits are set to `-inf`.
    TopK(usize),
}

/// The device on which a model computes, and the settings of the computation.
#[derive(Clone, Debug)]
pub struct Placement {
    pub device: Device,
    /// The number of threads, if the device is a CPU.
    pub threads: usize,
    /// The type in which keys and values are stored, if the device is a CPU.
    pub kv: KvType,
    /// The kernel family, if the device is a CPU. `None` selects the best family that the processor
    /// supports.
    pub family: Option<KernelFamily>,
    /// Whether to use candle's tensor operations on a CPU too, instead of illumine's kernels. Tests
    /// set this to compare the kernels with candle.
    pub force_candle: bool,
}

impl Placement {
    /// Returns the default settings for the given device and number of threads.
    pub fn new(device: Device, threads: usize) -> Placement {
        Placement {
            device,
            threads,
            kv: KvType::default(),
            family: None,
            force_candle: false,
        }
    }
}

/// A language model with its KV cache. It takes tokens and returns logits.
pub trait TextModel {
    /// The maximum number of tokens in the KV cache.
    fn context(&self) -> usize;

    fn vocabulary(&self) -> usize;

    /// The name of the kernel family that the model uses, since the family may affect results.
    /// Empty if the model's results do not depend on a kernel family.
    fn kernel_family(&self) -> String {
        String::new()
    }

    /// The number of tokens in the KV cache.
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes every token after the first `keep` tokens from the KV cache. A model that cannot cut
    /// its cache at exactly that token removes more tokens; [`TextModel::len`] returns the number
    /// of tokens that remain.
    fn rewind(&mut self, keep: usize);

    /// Evaluates `tokens` as a continuation of the tokens in the KV cache. Returns the logits,
    /// which are `[rows, vocabulary]`, as a flat list. If `stop` returns true, returns `None` and
    /// leaves the KV cache unchanged.
    fn forward(
        &mut self,
        tokens: &[u32],
        logits: Logits,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, ModelError>;

    /// Returns the part of the KV cache that belongs to the tokens `from..to`, as bytes for
    /// [`TextModel::restore`], or `None` if the cache cannot be saved. `model` identifies the model
    /// by its SHA-256. The format is documented in `transformer/snapshot.rs`. The bytes do not
    /// contain the token ids, which the caller must save too.
    fn save(&self, _from: usize, _to: usize, _model: &str) -> Option<Vec<u8>> {
        None
    }

    /// Loads saved tokens into the KV cache, which must contain all tokens before the first saved
    /// position. Tokens from that position on are replaced. If loading fails, the cache is
    /// unchanged.
    fn restore(&mut self, _bytes: &[u8], _model: &str) -> Result<(), ModelError> {
        Err(ModelError::Snapshot("this model cannot load one"))
    }

    /// Whether evaluating tokens in a batch and evaluating them one by one give bit-identical
    /// logits.
    fn is_batch_invariant(&self) -> bool {
        false
    }

    /// Creates a branch that continues the first `shared` tokens in the KV cache. Returns `None` if
    /// the cache has fewer tokens, or if the model cannot evaluate several branches together.
    fn branch(&self, _shared: usize) -> Option<Branch> {
        None
    }

    /// Evaluates one or more new tokens at the end of each branch. The KV cache must still contain
    /// the tokens that the branches share. Returns the logits of each branch's last token, as a
    /// flat list of shape `[branches, vocabulary]`. They are bit-identical to those that
    /// [`TextModel::forward`] would return. If `stop` returns true, returns `None` and leaves the
    /// branches unchanged.
    fn forward_branches(
        &mut self,
        _branches: &mut [Branch],
        _tokens: &[&[u32]],
        _stop: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        Ok(None)
    }

    /// Copies the branch's own tokens into the KV cache, after the tokens that the branch shares.
    fn adopt(&mut self, _branch: &Branch) {}
}

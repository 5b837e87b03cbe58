//! The interface of text models, their placement, and the selection of logits.

use crate::branch::Branch;
use crate::error::ModelError;
use candle_core::Device;
use kernels::attention::KvType;
use kernels::linear::KernelFamily;

/// Which rows of logits a forward pass returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logits {
    /// No rows: the tokens are only evaluated into the KV cache.
    Skip,
    /// The row of the last token.
    Last,
    /// The rows of all tokens.
    All,
    /// The row of the last token, if only its k highest logits are needed. A device from which it
    /// is faster to copy few logits sets the others to `-inf`.
    TopK(usize),
}

/// Where and how a model computes.
#[derive(Clone, Debug)]
pub struct Placement {
    pub device: Device,
    /// The number of threads on a CPU.
    pub threads: usize,
    /// How keys and values are stored on a CPU.
    pub kv: KvType,
    /// The kernel family on a CPU; `None` chooses the best.
    pub family: Option<KernelFamily>,
    /// Whether to use candle's tensor operations even on a CPU, as on a GPU: tests compare the
    /// kernels with them.
    pub force_candle: bool,
}

impl Placement {
    /// The default placement on a device.
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

/// A language model with its KV cache: tokens in, logits out.
pub trait TextModel {
    /// How many tokens the KV cache can hold.
    fn context(&self) -> usize;

    fn vocabulary(&self) -> usize;

    /// The kernel family in use, which may affect results; empty if there is only one.
    fn kernel_family(&self) -> String {
        String::new()
    }

    /// The number of tokens in the KV cache.
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets every token after the first `keep`. A model that cannot cut its cache exactly there
    /// forgets more: [`TextModel::len`] returns how many are left.
    fn rewind(&mut self, keep: usize);

    /// Evaluates `tokens` after those in the KV cache. Returns logits, `[rows, vocabulary]` flat,
    /// or `None` if `stop` requested a stop: the KV cache is then unchanged.
    fn forward(
        &mut self,
        tokens: &[u32],
        logits: Logits,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, ModelError>;

    /// The part of the KV cache that belongs to tokens `from..to`, as bytes for
    /// [`TextModel::restore`]; `model` names the model (its SHA-256). `None` if the cache cannot be
    /// saved. `transformer/snapshot.rs` documents the format; the caller saves the token ids.
    fn save(&self, _from: usize, _to: usize, _model: &str) -> Option<Vec<u8>> {
        None
    }

    /// Loads saved tokens into the KV cache, which must reach up to their first position;
    /// everything from there on is replaced. On an error the cache is unchanged.
    fn restore(&mut self, _bytes: &[u8], _model: &str) -> Result<(), ModelError> {
        Err(ModelError::Snapshot("this model cannot load one"))
    }

    /// Whether evaluating tokens in a batch gives logits bit-identical to evaluating them one by
    /// one.
    fn is_batch_invariant(&self) -> bool {
        false
    }

    /// A new branch after the tokens in the KV cache; `None` if the model cannot evaluate several
    /// branches side by side.
    fn branch(&self) -> Option<Branch> {
        None
    }

    /// Evaluates one token at the end of each branch; the KV cache must still hold the tokens that
    /// the branches share. Returns logits, `[branches, vocabulary]` flat, bit-identical to those of
    /// [`TextModel::forward`] for each branch alone, or `None` if `stop` requested a stop: the
    /// branches are then unchanged.
    fn forward_branches(
        &mut self,
        _branches: &mut [Branch],
        _tokens: &[u32],
        _stop: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        Ok(None)
    }

    /// Moves a branch's own tokens into the KV cache, after those that it shares.
    fn adopt(&mut self, _branch: &Branch) {}
}

//! Text models: GGUF files, tokenizers, chat templates, Transformers with a KV cache, and the
//! sentence encoder.
//!
//! Files in, numbers out. Nothing here knows a session, a terminal or a thread of work; a model
//! is made on the thread that uses it and never leaves it.

pub mod device;
pub mod gguf;
pub mod sentence_encoder;
pub mod template;
pub mod tokenizer;
pub mod transformer;

pub use tokenizer::Tokenizer;

use candle_core::Device;
use gguf::Gguf;
use kernels::attention::KvType;
use kernels::linear::KernelFamily;
use std::sync::Arc;
pub use transformer::Branch;
use transformer::Transformer;

/// Which rows of logits to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logits {
    Skip,
    Last,
    All,
    /// The last, of which only so many of the best count: where that spares a copy from a device,
    /// the others are `-inf`.
    TopK(usize),
}

/// Where a model computes, and how.
#[derive(Clone, Debug)]
pub struct Placement {
    pub device: Device,
    /// Threads on a CPU.
    pub threads: usize,
    /// How keys and values are kept on a CPU.
    pub kv: KvType,
    /// The kernels on a CPU; the best ones where none are named.
    pub family: Option<KernelFamily>,
    /// Plain tensor operations also on a CPU, as a GPU has them: what tests compare with.
    pub force_candle: bool,
}

impl Placement {
    /// On a device, as is usual.
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

/// Writes tokens: a Transformer with its KV cache.
pub trait TextModel {
    /// How many tokens it can hold.
    fn context(&self) -> usize;

    fn vocabulary(&self) -> usize;

    /// Which kernels compute, where there is a choice: results may depend on it.
    fn kernel_family(&self) -> String {
        String::new()
    }

    /// How many tokens the KV cache holds.
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything after the first `keep` tokens, or more where it cannot keep so many:
    /// [`TextModel::len`] tells how many are left.
    fn rewind(&mut self, keep: usize);

    /// Reads `tokens` after what the cache holds. Returns logits, `[rows, vocabulary]` flat, or
    /// None when `stop` said so: the cache then holds what it held before.
    fn forward(
        &mut self,
        tokens: &[u32],
        logits: Logits,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, ModelError>;

    /// What the cache holds of the tokens `from..to`, as bytes that [`TextModel::restore`] takes
    /// back for the model of this name (its SHA-256); None where that cannot be done. The format
    /// is that of `transformer/snapshot.rs`; it names no tokens, those are the caller's to keep.
    fn save(&self, _from: usize, _to: usize, _model: &str) -> Option<Vec<u8>> {
        None
    }

    /// Puts saved tokens back behind those that the cache holds, which must reach up to where they
    /// begin; what it holds beyond that is forgotten. An error leaves the cache as it was.
    fn restore(&mut self, _bytes: &[u8], _model: &str) -> Result<(), ModelError> {
        Err(ModelError::Snapshot("this model keeps none"))
    }

    /// Whether a batch of tokens gives, to the bit, what one after another does.
    fn is_batch_invariant(&self) -> bool {
        false
    }

    /// A way on from what the cache holds, of which several can be followed at once; None where
    /// the model cannot do that.
    fn branch(&self) -> Option<Branch> {
        None
    }

    /// Reads a token at the end of each branch, whose shared tokens the cache must still hold.
    /// Returns logits, `[branches, vocabulary]` flat, the same to the bit as [`TextModel::forward`]
    /// gives for each branch alone; None when `stop` said so: the branches then are as before.
    fn forward_branches(
        &mut self,
        _branches: &mut [Branch],
        _tokens: &[u32],
        _stop: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        Ok(None)
    }

    /// Puts a branch's own tokens into the cache, after those that it shares.
    fn adopt(&mut self, _branch: &Branch) {}
}

/// Reads the text model in a GGUF file onto a device.
pub fn load_text(gguf: Arc<Gguf>, placement: &Placement) -> Result<Box<dyn TextModel>, ModelError> {
    check_supported(&gguf)?;
    Ok(Box::new(Transformer::load(gguf, placement)?))
}

/// Whether the file's architecture is one that can be loaded.
pub fn check_supported(gguf: &Gguf) -> Result<(), ModelError> {
    let architecture = gguf.text("general.architecture").unwrap_or_default();
    match transformer::config::FAMILIES.contains(&architecture.as_ref()) {
        true => Ok(()),
        false => Err(ModelError::Architecture(base::untrusted::clean_key(
            &architecture,
        ))),
    }
}

/// What can go wrong with a model; each a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    Gguf(#[from] gguf::GgufError),
    #[error(
        "The model architecture \"{0}\" is not supported; `illumine models list` lists supported models"
    )]
    Architecture(String),
    #[error(
        "The vocabulary type \"{0}\" is not supported; `illumine models list` lists supported models"
    )]
    Vocabulary(String),
    #[error("Cannot use the model's tokenizer ({0}); download another file of the model")]
    Tokenize(String),
    #[error("Cannot use the model's chat template ({0}); switch to plain text with /mode prose")]
    Template(String),
    #[error("The model has no chat template; switch to plain text with /mode prose")]
    NoTemplate,
    #[error("The model's context of {0} tokens is full")]
    ContextFull(usize),
    #[error("Cannot use the saved KV cache ({0}); the story is evaluated again")]
    Snapshot(&'static str),
    #[error(
        "Cannot load the text encoder ({0}); check its file with `illumine models verify all-minilm-l6-v2`"
    )]
    Encoder(String),
    #[error("{0}")]
    Device(String),
    #[error("The model failed to run: {0}")]
    Compute(String),
}

impl From<candle_core::Error> for ModelError {
    fn from(error: candle_core::Error) -> ModelError {
        let error = error.to_string();
        ModelError::Compute(base::untrusted::clean_line(&error))
    }
}

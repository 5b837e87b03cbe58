//! The errors that can occur when a model is loaded or run.

use crate::gguf::GgufError;
use kernels::linear::LinearError;

/// An error that occurred when a model was loaded or run. The message is one sentence with advice.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(
        "The model architecture \"{0}\" is not supported; `illumine models list` lists supported models"
    )]
    Architecture(String),
    #[error(
        "illumine does not support a part of the model ({0}), so its text would be wrong; `illumine models list` lists supported models"
    )]
    Unsupported(String),
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

impl From<LinearError> for ModelError {
    fn from(error: LinearError) -> ModelError {
        ModelError::Compute(error.to_string())
    }
}

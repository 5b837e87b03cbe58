//! What can go wrong with a model.

use crate::gguf::GgufError;
use kernels::linear::LinearError;

/// What can go wrong with a model; each a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(
        "This model's architecture (\"{0}\") is not supported; `illumine models list` names models that are"
    )]
    Architecture(String),
    #[error(
        "This model's vocabulary (\"{0}\") is of a kind that is not supported; `illumine models list` names models that are"
    )]
    Vocabulary(String),
    #[error("The model's tokenizer cannot be used ({0}); fetch another file of the model")]
    Tokenize(String),
    #[error(
        "The model's chat template cannot be used ({0}); /mode prose writes on from the text itself"
    )]
    Template(String),
    #[error("The model brings no chat template; /mode prose writes on from the text itself")]
    NoTemplate,
    #[error("The model's context of {0} tokens is full")]
    ContextFull(usize),
    #[error("What was kept of the story's reading cannot be used ({0}); the story is read again")]
    Snapshot(&'static str),
    #[error(
        "The sentence encoder cannot be read ({0}); `illumine models verify all-minilm-l6-v2` checks its file"
    )]
    Encoder(String),
    #[error("{0}")]
    Device(String),
    #[error("The model could not be computed: {0}")]
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

//! Trains the image model: datasets, losses, phases, checkpoints and evaluation metrics.
//!
//! Four phases train the weights of the token design. `reconstruct` trains the encoder and the
//! generator to reconstruct pictures; `tokens` trains the token Transformer on the frozen encoder's
//! tokens; `paint` trains the generator against the discriminator while the encoder is frozen;
//! `refine` trains a refiner and the generator on sampled tokens, against a critic. A fifth phase,
//! `direct`, trains all networks of the one-pass design. Each phase can resume from its checkpoint.
//!
//! This crate does not use sessions, terminals or command lines. Long operations report to an
//! [`Observer`](base::progress::Observer), which may cancel them.

pub mod adam;
pub mod batches;
pub mod checkpoint;
pub mod data;
pub mod discriminator;
pub mod efficientnet;
pub mod export;
pub mod features;
pub mod job;
pub mod losses;
pub mod measures;
pub mod one_pass;
mod orthogonal;
pub mod paint;
pub mod perceptual;
pub mod phase;
pub mod picture_tokenizer;
pub mod pretrained;
mod pth;
pub mod quantize;
pub mod reconstruct;
pub mod refine;
pub mod run;
pub mod step;
mod token_pool;
pub mod token_table;
pub mod tokens;
pub mod trained;
pub mod variables;

use base::progress::Cancelled;
use phase::PhaseKind;
use std::path::PathBuf;

/// A training error. Its message is one sentence with advice.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error(transparent)]
    Data(#[from] data::DataError),
    #[error("Cannot read or write {0}: {1}")]
    Disk(PathBuf, String),
    #[error("{0} is not an illumine checkpoint ({1}); choose another folder, or delete it")]
    Checkpoint(PathBuf, String),
    #[error(
        "{0} was trained with a different {1}; choose another folder, or use the original value"
    )]
    DifferentRun(PathBuf, &'static str),
    #[error("Cannot start from {0} ({1}); pass a folder of exported weights with --from")]
    Pretrained(PathBuf, String),
    #[error("The phase refine needs EfficientNet-lite1; set --perceptual above 0")]
    NoPerceptualNetwork,
    #[error("{0} does not exist yet; train that phase first: illumine train gan {1}")]
    MissingPhase(PathBuf, PhaseKind),
    #[error(
        "The loss was not a number at step {0}; the last checkpoint is intact. Try a lower --learning-rate"
    )]
    Diverged(u64),
    #[error(
        "The dataset's pictures are {0} pixels wide but the model's are {1}; rebuild the dataset with `illumine train data --size {1}`"
    )]
    Size(u32, usize),
    #[error("Training failed: {0}")]
    Compute(String),
    #[error(
        "Cannot load the feature network ({0}); check its file with `illumine models verify efficientnet-lite0` (or -lite1)"
    )]
    Features(String),
    #[error(transparent)]
    Model(#[from] llm::ModelError),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    #[error(transparent)]
    Image(#[from] imagegen::ImageError),
}

impl From<candle_core::Error> for TrainError {
    fn from(error: candle_core::Error) -> TrainError {
        let error = error.to_string();
        TrainError::Compute(base::untrusted::clean_line(&error))
    }
}

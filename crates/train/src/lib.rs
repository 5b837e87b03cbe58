//! Training the illuminator: the data set, losses, the loop, its checkpoints and its sheets.
//!
//! Four phases, each a run that resumes from its checkpoint, make weights of the composed design:
//! `reconstruct` trains encoder and generator together on reconstruction; `tokens` trains the token
//! Transformer on the frozen encoder's tokens; `paint` trains the generator against the
//! discriminator, the encoder frozen; `refine` trains a refiner and the generator on what is
//! composed, against a critic. A fifth, `direct`, makes those of the direct design alone.
//!
//! Knows the networks and no session, no terminal and no command line; what takes long tells a
//! watcher how far it is and asks it whether to go on.

pub mod adam;
pub mod batches;
pub mod checkpoint;
pub mod data;
pub mod efficientnet;
pub mod export;
pub mod features;
pub mod job;
pub mod judge;
pub mod losses;
pub mod measures;
pub mod one_pass;
mod orthogonal;
pub mod paint;
pub mod perceptual;
mod pool;
mod pth;
pub mod quantize;
pub mod reconstruct;
pub mod refine;
pub mod run;
pub mod start;
pub mod table;
pub mod tokenize;
pub mod tokens;
pub mod variables;

use std::path::PathBuf;

/// What can go wrong in training; each a sentence that says what happened and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error(transparent)]
    Data(#[from] data::DataError),
    #[error("{0} cannot be read or written: {1}")]
    Disk(PathBuf, String),
    #[error("{0} is no checkpoint of illumine's ({1}); name another folder, or delete it")]
    Checkpoint(PathBuf, String),
    #[error(
        "{0} is a checkpoint of another {1}; name another folder, or give what it was made with"
    )]
    Other(PathBuf, &'static str),
    #[error("{0} cannot be begun with ({1}); give --from a folder of weights that draws")]
    Weights(PathBuf, String),
    #[error(
        "The phase refine looks through EfficientNet-lite1; give --perceptual a weight above 0"
    )]
    Blind,
    #[error("{0} is not there yet; train that phase first: illumine train gan {1}")]
    Before(PathBuf, &'static str),
    #[error(
        "At step {0} the loss was no number; nothing after the last checkpoint is kept. A lower --rate may help"
    )]
    Diverged(u64),
    #[error(
        "The data set's pictures are {0} pixels wide, the model's {1}; `illumine train data --size` makes others"
    )]
    Size(u32, usize),
    #[error("Training could not be computed: {0}")]
    Compute(String),
    #[error(
        "A network that looks at pictures cannot be read ({0}); `illumine models verify efficientnet-lite0` (or -lite1) checks its file"
    )]
    Features(String),
    #[error(transparent)]
    Model(#[from] llm::ModelError),
    #[error(transparent)]
    Image(#[from] imagegen::ImageError),
}

impl From<candle_core::Error> for TrainError {
    fn from(error: candle_core::Error) -> TrainError {
        let error = error.to_string();
        TrainError::Compute(base::untrusted::clean_line(&error))
    }
}

//! The errors that can occur when a GGUF file is opened or read.

use super::TensorType;
use std::path::PathBuf;

/// The reason why a file cannot be used. The message is one sentence with advice.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    #[error(
        "Cannot open {path}: {source}; check the path, or choose a name from `illumine models list`"
    )]
    Open {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "{0} is not a GGUF file; give a file in GGUF format, or a name from `illumine models list`"
    )]
    NotGguf(PathBuf),
    #[error("{path} is not a GGUF file but {what}; {next}")]
    Foreign {
        path: PathBuf,
        what: &'static str,
        next: &'static str,
    },
    #[error(
        "{0} is a GGUF file for big-endian processors; convert it with gguf-py's gguf_convert_endian.py, or download another file of the model"
    )]
    BigEndian(PathBuf),
    #[error(
        "{path} is part {number} of {count} of a model; merge the parts into one file with llama-gguf-split --merge {first} OUTPUT.gguf"
    )]
    Part {
        path: PathBuf,
        number: u64,
        count: u64,
        first: String,
    },
    #[error(
        "{path} is GGUF version {version}, which is not supported; convert it to version 2 or 3"
    )]
    Version { path: PathBuf, version: u32 },
    #[error("{path} is damaged or truncated ({what}); download it again")]
    Damaged { path: PathBuf, what: String },
    #[error(
        "{path} has a tensor in the unsupported format {format}; use a file quantized as one of {}",
        TensorType::supported()
    )]
    Format { path: PathBuf, format: String },
    #[error(
        "{path} has no usable `{key}`, which this model family needs; download another file of the model"
    )]
    Missing { path: PathBuf, key: String },
}

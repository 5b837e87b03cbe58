//! Text models: GGUF files, tokenizers, chat templates, Transformers with a KV cache, and the
//! sentence encoder.
//!
//! Files in, numbers out. There are no sessions, terminals or worker threads here; a model is
//! created on the thread that uses it and stays there.

mod branch;
pub mod device;
mod error;
pub mod families;
pub mod gguf;
pub mod sentence_encoder;
pub mod template;
mod text_model;
pub mod tokenizer;
pub mod transformer;

pub use branch::Branch;
pub use error::ModelError;
pub use text_model::{Logits, Placement, TextModel};
pub use tokenizer::Tokenizer;

use gguf::Gguf;
use std::sync::Arc;
use transformer::Transformer;

/// Loads the text model of a GGUF file onto a device.
pub fn load_text(gguf: Arc<Gguf>, placement: &Placement) -> Result<Box<dyn TextModel>, ModelError> {
    check_supported(&gguf)?;
    Ok(Box::new(Transformer::load(gguf, placement)?))
}

/// Returns an error if the file's architecture or the format of a weight is not supported.
pub fn check_supported(gguf: &Gguf) -> Result<(), ModelError> {
    let architecture = gguf.text("general.architecture").unwrap_or_default();
    if families::find(&architecture).is_none() {
        let architecture = base::untrusted::clean_key(&architecture);
        return Err(ModelError::Architecture(architecture));
    }
    Ok(gguf.check_formats()?)
}

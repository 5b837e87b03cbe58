//! Pictures of a story: their provenance, and requests for them.
//!
//! A picture is a passage without words, and is not part of the story's text: a child of the
//! passage that it illustrates. [`crate::tree`] places pictures; the store has their files.

mod request;

pub use crate::node::picture::{
    Derivation, LerpTarget, Picture, PictureProvenance, describe_concepts,
};
pub use request::{
    DrawnPicture, Layer, PictureRequest, PictureTask, PromptOrPicture, PromptSource, SourcePicture,
    StyleChoice,
};

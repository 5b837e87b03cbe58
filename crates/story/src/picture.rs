//! The pictures of a story: their provenance, and requests for new pictures.
//!
//! A picture is a passage without text. It is a child of the passage that it illustrates, and is
//! not part of the story's text. [`crate::tree`] determines where pictures belong in the story; the
//! store manages their files.

mod request;

pub use crate::node::picture::{
    Derivation, LerpTarget, Picture, PictureProvenance, describe_concepts,
};
pub use request::{
    DrawnPicture, Layer, PictureRequest, PictureTask, PromptOrPicture, PromptSource, SourcePicture,
    StyleChoice,
};

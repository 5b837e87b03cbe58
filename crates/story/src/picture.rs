//! A picture of a story: how it was made and how one is asked for.
//!
//! A picture is a passage without words, aside of the story: a child of the passage that it
//! illustrates. Where pictures stand is [`crate::tree`]'s; the files are the store's.

mod request;

pub use crate::node::picture::{
    Derivation, LerpTarget, Picture, PictureProvenance, describe_concepts,
};
pub use request::{
    DrawnPicture, Layer, PictureRequest, PictureTask, PromptOrPicture, PromptSource, SourcePicture,
    StyleChoice,
};

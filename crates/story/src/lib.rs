//! The story, and all messages between threads: plain data and pure functions.
//!
//! This crate does no I/O, and uses no threads, tensors or terminals.

pub mod card;
pub mod command;
pub mod context;
pub mod diff;
pub mod edit;
pub mod frame;
pub mod goal;
pub mod import;
pub mod lore;
pub mod message;
pub mod node;
pub mod picture;
pub mod places;
pub mod record;
pub mod sampling;
pub mod sentence;
pub mod settings;
pub mod text_request;
pub mod tree;
pub mod voice;

pub use command::Command;
pub use context::Context;
pub use message::{Event, ModelInfo, Reply, Request, RequestId};
pub use node::{
    Author, ModelIdentity, Node, NodeId, Passage, Place, Provenance, SharedRequest, Status,
};
pub use picture::Picture;
pub use record::Record;
pub use sampling::Sampling;
pub use settings::{Mode, SettingOverrides, Settings};
pub use tree::Story;

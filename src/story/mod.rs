//! The story and everything that crosses between threads: plain data and pure functions.
//!
//! Nothing here does I/O, starts a thread, holds a tensor or knows a terminal.

pub mod ban;
pub mod card;
pub mod command;
pub mod context;
pub mod diff;
pub mod edit;
pub mod frame;
pub mod hash;
pub mod import;
pub mod lore;
pub mod message;
pub mod nearest;
pub mod node;
pub mod picture;
pub mod places;
pub mod progress;
pub mod record;
pub mod sampling;
pub mod sentence;
pub mod settings;
pub mod tree;
pub mod untrusted;
pub mod voice;

pub use command::Command;
pub use context::Context;
pub use message::{About, Event, Reply, Request, RequestId};
pub use node::{Author, Maker, Node, NodeId, Passage, Place, Provenance, Status};
pub use picture::Picture;
pub use record::Record;
pub use sampling::Sampling;
pub use settings::{Asked, Mode, Settings};
pub use tree::Story;

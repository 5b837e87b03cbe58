//! The settings of the samplers, with their defaults.
//!
//! Plain data that is sent to the worker thread and stored with each passage, so that the passage
//! can be reproduced. It is independent of models, tokens and the samplers, which are in the
//! `sampler` crate. [`SETTINGS`] lists the names that a writer may type and the values that each
//! accepts.

mod rows;
mod setting;
mod table;

pub use rows::SETTINGS;
pub use sampler::{DRY_BREAKERS, Sampling};
pub use setting::{Setting, SettingError};
pub use table::{find, reset, set};

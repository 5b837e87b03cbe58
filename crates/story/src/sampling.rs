//! The settings of the samplers, with their defaults.
//!
//! They are plain data, sent to the worker thread and stored with each passage so that it can be
//! reproduced. They are independent of models, tokens and the samplers, which are in the `sampler`
//! crate. [`SETTINGS`] lists the names that a writer may type and the values that each accepts.

mod rows;
mod setting;
mod table;

pub use rows::SETTINGS;
pub use sampler::{DRY_BREAKERS, Sampling};
pub use setting::{Setting, SettingError};
pub use table::{find, reset, set};

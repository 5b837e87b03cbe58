//! The settings of the samplers, with their defaults.
//!
//! The settings are plain data. They are sent to the worker thread, and stored with each passage so
//! that the passage can be reproduced. They do not depend on models, tokens or samplers; the
//! samplers are in the `sampler` crate. [`SETTINGS`] lists the names that a writer may type and the
//! values that each setting accepts.

mod rows;
mod setting;
mod table;

pub use rows::SETTINGS;
pub use sampler::{DRY_BREAKERS, Sampling};
pub use setting::{Setting, SettingError};
pub use table::{find, reset, set};

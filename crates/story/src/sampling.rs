//! How the next word is chosen: every setting of the samplers, with its default.
//!
//! Plain data that crosses the thread and is kept with each passage, so that a passage can be
//! made again. It knows neither models nor tokens nor how a setting is carried out: that is
//! the `sampler` crate. Which names a writer may type, and what each takes, is in [`SETTINGS`].

mod rows;
mod setting;
mod table;

pub use rows::SETTINGS;
pub use sampler::{DRY_BREAKERS, Sampling};
pub use setting::{Setting, SettingError};
pub use table::{find, reset, set};

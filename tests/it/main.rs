//! One binary, one module a behaviour.

mod bad_input;
mod reference;
mod support;
mod write;

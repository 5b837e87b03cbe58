//! One binary, one module a behaviour.

mod bad_input;
mod disk;
mod reference;
mod repl;
mod signals;
mod support;
mod terminal;
mod write;

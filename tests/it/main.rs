//! One binary, one module a behaviour.

// Helpers of tests stand outside of test functions here, so clippy.toml does not reach them.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used
)]

mod architecture;
mod bad_input;
mod direct;
mod disk;
mod drafting;
mod draw_command;
mod encoder;
mod engine;
mod families;
mod faults;
mod gallery;
mod illuminator;
mod interop;
mod kill;
mod loaded;
mod log;
mod mixed;
mod newcomer;
mod own_pictures;
mod pictures;
mod prompts;
mod recall;
mod reference;
mod refining;
mod repl;
mod signals;
mod support;
mod terminal;
mod training;
mod tree;
mod vocabulary;
mod write;

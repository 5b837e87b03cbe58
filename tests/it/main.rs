//! The integration tests: one test program, with a module for each behaviour.

// Test helpers here are outside test functions, so clippy.toml's exceptions do not cover them.
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
mod bad_scripts;
mod cassette;
#[cfg(feature = "train")]
mod direct;
mod disk;
mod drafting;
mod draw_command;
mod each;
mod encoder;
mod engine;
#[cfg(feature = "train")]
mod examples;
mod faults;
#[cfg(feature = "train")]
mod gallery;
mod illuminator;
mod interop;
mod kill;
mod loaded;
mod log;
#[cfg(feature = "train")]
mod newcomer;
mod output;
#[cfg(feature = "train")]
mod own_pictures;
mod pictures;
mod prompts;
mod reference;
#[cfg(feature = "train")]
mod refining;
mod repl;
mod replay;
mod replay_batch;
mod replay_compare;
mod replay_jobs;
mod retrieval;
mod safety;
mod servers;
mod signals;
mod support;
mod terminal;
#[cfg(feature = "train")]
mod training;
mod tree;
mod write;

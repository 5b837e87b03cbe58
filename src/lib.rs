//! illumine writes and illustrates stories in the terminal.
//!
//! The modules are declared in the order of the layers. Blank lines separate the declarations, so
//! that rustfmt keeps this order. A module may use only itself and the modules declared before it.
//! `tests/it/architecture.rs` fails if a module uses a later one.

// Tests may read the environment; the library takes its inputs as arguments (clippy.toml).
#![cfg_attr(test, allow(clippy::disallowed_methods))]

#[cfg(not(unix))]
compile_error!(
    "illumine runs on Linux and macOS: the editor and the echo of typed keys use Unix sockets and \
     termios. On Windows, build it inside WSL."
);

pub mod engine;

pub mod store;

pub mod studio;

pub mod bench;

pub mod editor;

pub mod line;

pub mod tui;

//! illumine writes and illustrates stories in the terminal.
//!
//! The modules are in layer order, separated by blank lines so that rustfmt keeps the order. A
//! module may use only itself and the modules above it; `tests/it/architecture.rs` fails if one
//! uses a module below.

// Tests may look around; the library takes what it needs as arguments (clippy.toml).
#![cfg_attr(test, allow(clippy::disallowed_methods))]

#[cfg(not(unix))]
compile_error!(
    "illumine runs on Linux and macOS: the editor and the echo of typed keys use Unix sockets and \
     termios. On Windows, build it inside WSL."
);

pub use ::story;

#[cfg(feature = "train")]
pub use ::train;

/// What used to be one module; each name leads to its crate.
pub mod model {
    pub use ::sampler;
    pub use hub::{catalog, fetch, npm};
    pub use imagegen as gan;
    pub use imagegen::{ImageError, upscaler};
    pub use kernels::linear;
    pub use llm::sentence_encoder as encoder;
    pub use llm::*;
    #[cfg(feature = "train")]
    pub use train::{efficientnet, features};
}

pub mod engine;

pub mod store;

pub mod studio;

pub mod bench;

pub mod editor;

pub mod line;

pub mod tui;

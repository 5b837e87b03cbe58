//! Text models, held to other implementations on small random weights. Nothing is fetched.

// Helpers of tests stand outside of test functions here, so clippy.toml does not reach them.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod families;
mod formats;
mod mixed;
mod support;
mod vocabulary;

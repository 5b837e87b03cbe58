//! Compares text models with other implementations, on small models with random weights. The tests
//! download nothing.

#![allow(
    clippy::print_stdout,
    reason = "the distance between two results helps to judge a failure"
)]
// Test helpers are outside of test functions here, so clippy.toml does not cover them.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod families;
mod formats;
mod mixed;
mod support;
mod vocabulary;

//! Text models, held to other implementations on small random weights. Nothing is fetched.

#![allow(
    clippy::print_stdout,
    reason = "how far apart two results are helps to judge a failure"
)]
// Helpers of tests stand outside of test functions here, so clippy.toml does not reach them.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod families;
mod formats;
mod mixed;
mod support;
mod vocabulary;

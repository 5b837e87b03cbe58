//! The program: parses the arguments, reads the configuration, starts the engine and the studio,
//! and runs one front end. Turns errors into exit codes.
//!
//! Only this binary crate may print, or read the environment or the clock.

// The program may do what libraries must not: see clippy.toml.
#![allow(
    clippy::disallowed_methods,
    clippy::exit,
    clippy::print_stderr,
    clippy::print_stdout
)]

mod cli;

use base::memory_budget::Allocator;
use std::process::ExitCode;

/// The global allocator, which limits the memory that chat templates may use.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    cli::keep_quiet_about_workers();
    let read = cli::args::read();
    let exit = match read.and_then(|cli| cli.map_or(Ok(cli::Exit::Well), cli::run)) {
        Ok(exit) => exit,
        Err(failed) => {
            cli::complain(&failed.why);
            failed.exit
        }
    };
    ExitCode::from(exit.code())
}

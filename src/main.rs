//! Arguments → configuration → engine and studio → one front end; errors → exit code.
//!
//! The only place that prints, reads the environment or asks for the time.

mod cli;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::args::Cli::parse();
    let exit = match cli::run(cli) {
        Ok(exit) => exit,
        Err(failed) => {
            cli::complain(&failed.why);
            failed.exit
        }
    };
    ExitCode::from(exit.code())
}

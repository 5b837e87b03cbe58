//! Arguments → configuration → engine and studio → one front end; errors → exit code.
//!
//! The only place that prints, reads the environment or asks for the time.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    keep_quiet_about_workers();
    let exit = match cli::args::read().and_then(cli::run) {
        Ok(exit) => exit,
        Err(failed) => {
            cli::complain(&failed.why);
            failed.exit
        }
    };
    ExitCode::from(exit.code())
}

/// A panic of another thread is answered with an event, in a sentence: its own lines would only
/// stand in the middle of a story.
fn keep_quiet_about_workers() {
    let (main, said) = (std::thread::current().id(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() == main {
            said(info);
        }
    }));
}

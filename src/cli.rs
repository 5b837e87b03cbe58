//! The command line. It has one module per subcommand, and functions that the subcommands share.

pub mod args;
mod backends;
mod bench;
mod cold;
mod config;
#[cfg(all(test, feature = "train"))]
mod docs;
mod draw;
mod duration;
mod each;
mod echo;
mod environment;
mod eval;
mod exchange;
mod exit;
mod follow;
#[cfg(feature = "train")]
mod gallery;
mod inline;
mod log;
mod models;
mod opening;
mod output;
mod page;
#[cfg(feature = "train")]
mod pictures;
mod piped;
mod prompts;
mod record;
mod repl;
mod replay;
mod safety;
mod screen;
mod servers;
mod sessions;
mod shard;
mod signals;
#[cfg(feature = "train")]
mod train;
#[cfg(feature = "train")]
mod training;
#[cfg(feature = "train")]
mod training_reporter;
mod variables;
mod write;

use args::{Cli, Command, Common};
use clap::CommandFactory;
use environment::Paths;
pub use exit::{Exit, Failed};
use illumine::engine::Engine;
use illumine::studio::{Setup, Studio};
use output::print;
pub use signals::keep_quiet_about_workers;
use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::sync::mpsc::{Receiver, channel};
use story::Reply;

/// Runs the command that the user gave, with logging.
pub fn run(cli: Cli) -> Result<Exit, Failed> {
    log::begin(&cli.log, cli.name())?;
    let result = dispatch(cli);
    log::end(&result);
    result
}

fn dispatch(cli: Cli) -> Result<Exit, Failed> {
    let paths = Paths::find()?;
    match cli.command {
        None if stdin().is_terminal() && stdout().is_terminal() => {
            screen::run(&paths, &cli.common, cli.session.as_deref())
        }
        None => repl::run(&paths, &cli.common, cli.session.as_deref()),
        Some(Command::Repl { session, common }) => repl::run(&paths, &common, session.as_deref()),
        Some(Command::Write(args)) if each::is_asked(&args) => each::run(&paths, &args),
        Some(Command::Write(args)) => write::run(&paths, &args),
        Some(Command::Draw(args)) => draw::run(&paths, &args),
        #[cfg(feature = "train")]
        Some(Command::Train { what }) => train::run(&paths, &what),
        #[cfg(not(feature = "train"))]
        Some(Command::Train(_)) => Err(no_trainer()),
        Some(Command::Models { what }) => models::run(&paths, &what),
        Some(Command::Sessions { what }) => sessions::run(&paths, &what),
        Some(Command::Prompts { what }) => prompts::run(&paths, &what),
        Some(Command::Eval { what }) => eval::run(&paths, &what),
        Some(Command::Replay(args)) => replay::run(&paths, &args),
        Some(Command::Bench(args)) => bench::run(&paths, &args),
        Some(Command::Paths) => print(&paths_text(&paths)),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "illumine", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    }
}

/// Starts the engine on its own thread, and creates a studio that uses the engine. No model is
/// loaded yet. Returns the studio and the channel that receives the engine's replies.
fn studio(paths: &Paths, common: &Common) -> Result<(Studio, Receiver<Reply>), Failed> {
    studio_with(paths, common, environment::setup(paths, common)?)
}

/// Like `studio`, but uses a setup that the caller supplies.
fn studio_with(
    paths: &Paths,
    common: &Common,
    setup: Setup,
) -> Result<(Studio, Receiver<Reply>), Failed> {
    let (sender, events) = channel();
    let engine = Engine::start(environment::loader(paths, common)?, sender);
    Ok((Studio::new(engine, setup), events))
}

/// Opens the session with the given name, or creates it, and starts to load the model.
fn enter(studio: &mut Studio, session: Option<&str>) -> Result<Option<String>, Failed> {
    let said = match session.map(|name| studio.open_or_begin(name)).transpose()? {
        Some(illumine::studio::Outcome::Moved(said)) => Some(said),
        _ => None,
    };
    start_model(studio);
    Ok(said)
}

/// Starts to load the model, unless opening the session has already done so.
fn start_model(studio: &mut Studio) {
    if !studio.busy() {
        studio.load_model();
    }
}

fn paths_text(paths: &Paths) -> String {
    format!(
        "sessions  {}\nmodels    {}\nhistory   {}\nconfig    {}\nprompts   {}\n",
        paths.sessions.display(),
        paths.models.display(),
        paths.history.display(),
        paths.config.display(),
        paths.prompts.display()
    )
}

/// Returns the error for a trainer command in a build without the trainer.
#[cfg(not(feature = "train"))]
fn no_trainer() -> Failed {
    Failed::new(
        Exit::Usage,
        "This build has no trainer; build with --features train",
    )
}

/// Prints an error message to standard error, on one line.
pub fn complain(why: &str) {
    note(&format!("illumine: {}", base::untrusted::clean_line(why)));
}

/// Prints a line to standard error. A failure is ignored, since there may be no reader.
fn note(line: &str) {
    let _ = writeln!(stderr().lock(), "{line}");
}

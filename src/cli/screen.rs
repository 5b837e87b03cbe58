//! The full-screen front end.
use super::args::Common;
use super::environment::Paths;
use super::{Exit, Failed, repl};

pub fn run(paths: &Paths, common: &Common, session: Option<&str>) -> Result<Exit, Failed> {
    repl::run(paths, common, session)
}

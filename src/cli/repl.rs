//! `illumine repl`: reads lines with rustyline from a person at a terminal, or plain lines from a
//! pipe.

use super::args::Common;
use super::environment::{self, Paths};
use super::page::{TerminalPage, TypedAhead};
use super::piped::PipedInput;
use super::signals;
use super::{Exit, Failed, enter, note, print, studio};
use illumine::line::{self, Input, Page, RunEnd};
use illumine::studio::Studio;
use illumine::studio::complete::{self, Candidate};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Context, Editor, Helper, Highlighter, Hinter, Validator};
use std::io::{IsTerminal, stdin, stdout};
use std::path::Path;

pub fn run(paths: &Paths, common: &Common, session: Option<&str>) -> Result<Exit, Failed> {
    let (mut studio, events) = studio(paths, common)?;
    let known = session.is_some_and(|name| studio.sessions().exists(name));
    let said = enter(&mut studio, session)?;
    let person = stdin().is_terminal();
    let watch = signals::listen(studio.stopper());
    let mut page = TerminalPage::new(watch, environment::colour(), true);
    if person && stdout().is_terminal() {
        greet(&studio, said)?;
    } else if let Some(said) = said.filter(|_| known) {
        page.notice(&said);
    }
    let closing = if person {
        let mut typist = InteractiveInput::new(paths, page.begun())?;
        let closing = line::run(
            &mut studio,
            &events,
            |studio, goes_on| typist.next(studio, goes_on),
            &mut page,
        );
        typist.remember(&paths.history);
        closing
    } else {
        let mut lines = PipedInput::new(Box::new(stdin().lock()), "standard input");
        line::run(&mut studio, &events, |_, _| lines.next(), &mut page)
    };
    page.outcome()?;
    Ok(exit(closing, person))
}

/// Chooses the exit code. Most errors set it only for scripts, since a person has already seen the
/// message.
fn exit(closing: RunEnd, person: bool) -> Exit {
    match closing.fault {
        _ if closing.interrupted => Exit::Interrupted,
        Some(trouble) if !person => trouble.into(),
        // Losing unsaved text is an error even if a person has seen it.
        _ if closing.unsaved => Exit::Session,
        _ => Exit::Well,
    }
}

fn greet(studio: &Studio, said: Option<String>) -> Result<Exit, Failed> {
    print(
        "Type some text and press Enter: the model continues. /help lists commands, Ctrl+C stops, Ctrl+D quits.\n",
    )?;
    match said {
        Some(said) => print(&format!("{said}\n{}\n", line::transcript(studio))),
        None => Ok(Exit::Well),
    }
}

/// The input of a person at a terminal.
struct InteractiveInput {
    editor: Editor<ReplCompleter, DefaultHistory>,
    begun: TypedAhead,
}

/// Completion for the Tab key.
#[derive(Helper, Highlighter, Hinter, Validator)]
struct ReplCompleter(complete::Completer);

impl InteractiveInput {
    fn new(paths: &Paths, begun: TypedAhead) -> Result<InteractiveInput, Failed> {
        let editor = Editor::new().map_err(|error| Failed::new(Exit::Usage, error))?;
        let mut typist = InteractiveInput { editor, begun };
        // The history may not exist yet.
        let _ = typist.editor.load_history(&paths.history);
        Ok(typist)
    }

    /// Reads the next line. `goes_on` says whether the line continues a line that ended with a
    /// backslash.
    fn next(&mut self, studio: &Studio, goes_on: bool) -> Input {
        let completer = ReplCompleter(studio.completer());
        self.editor.set_helper(Some(completer));
        let prompt = if goes_on { "… " } else { "> " };
        let mut interrupts = 0;
        loop {
            let begun = self.begun.take();
            match self.editor.readline_with_initial(prompt, (&begun, "")) {
                Ok(line) => {
                    if !line.trim().is_empty() && !studio.is_private() {
                        let _ = self.editor.add_history_entry(line.as_str());
                    }
                    return Input::Line(line);
                }
                Err(ReadlineError::Interrupted) if interrupts == 0 => {
                    interrupts += 1;
                    note("Press Ctrl+C again or Ctrl+D to quit; everything is saved");
                }
                Err(ReadlineError::Interrupted) => return Input::Interrupted,
                Err(_) => return Input::End,
            }
        }
    }

    fn remember(&mut self, path: &Path) {
        if let Some(dir) = path.parent() {
            let _ = std::fs::create_dir_all(dir);
        }
        let _ = self.editor.save_history(path);
    }
}

impl Completer for ReplCompleter {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        Ok(match self.0.candidates(&line[..at]) {
            Some(found) => (found.from, found.found.into_iter().map(pair).collect()),
            None => (at, Vec::new()),
        })
    }
}

fn pair(candidate: Candidate) -> Pair {
    let space = if candidate.more { " " } else { "" };
    Pair {
        display: candidate.word.trim_end().to_string(),
        replacement: candidate.word + space,
    }
}

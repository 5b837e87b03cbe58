//! The line front end: lines in, transcript out. The REPL, a pipe and a replay are this one loop.
//!
//! Knows commands and events; knows neither a terminal's control codes nor where lines come from.

use crate::story::message::Fault;
use crate::story::{Author, Event, Status, command};
use crate::studio::{Notice, Outcome, Refusal, Studio, Work};
use std::sync::mpsc::Receiver;

/// Where the transcript goes. Text is the story's and is shown exactly; all else is about it.
pub trait Page {
    /// A piece of the story, as it comes.
    fn text(&mut self, text: &str) -> Result<(), Gone>;
    /// A passage has ended.
    fn end(&mut self) -> Result<(), Gone>;
    /// An answer to a command.
    fn said(&mut self, text: &str) -> Result<(), Gone>;
    /// Something that was not asked for.
    fn notice(&mut self, text: &str);
    /// What the engine is doing.
    fn working(&mut self, work: &Work);
}

/// Nobody reads any more: a closed pipe, a hung-up terminal.
#[derive(Debug, PartialEq, Eq)]
pub struct Gone;

/// What came instead of a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Input {
    Line(String),
    /// A line that cannot be used, and why.
    Unusable(String),
    /// Ctrl+C on an empty line, twice.
    Interrupted,
    End,
}

/// How a conversation ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closing {
    /// The first thing that went wrong; it decides the exit code.
    pub fault: Option<Trouble>,
    pub interrupted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A command or line that could not be done.
    Refused,
    /// Something could not be written to disk.
    Store,
    Engine(Fault),
}

/// Reads lines until they end, and does what each says.
pub fn run(
    studio: &mut Studio,
    events: &Receiver<Event>,
    mut next: impl FnMut(&Studio) -> Input,
    page: &mut dyn Page,
) -> Closing {
    let mut closing = Closing::default();
    loop {
        let line = match next(studio) {
            Input::Line(line) => line,
            Input::Unusable(why) => {
                page.notice(&why);
                closing.blame(Trouble::Refused);
                continue;
            }
            Input::Interrupted => {
                closing.interrupted = true;
                return closing;
            }
            Input::End => return closing,
        };
        match one(studio, events, &line, page) {
            Ok(Flow::On(trouble)) => trouble
                .into_iter()
                .for_each(|trouble| closing.blame(trouble)),
            Ok(Flow::Quit) | Err(Gone) => return closing,
        }
    }
}

impl Closing {
    fn blame(&mut self, trouble: Trouble) {
        self.fault.get_or_insert(trouble);
    }
}

enum Flow {
    On(Option<Trouble>),
    Quit,
}

fn one(
    studio: &mut Studio,
    events: &Receiver<Event>,
    line: &str,
    page: &mut dyn Page,
) -> Result<Flow, Gone> {
    let outcome = match command::parse(line) {
        Ok(command) => studio.run(command),
        Err(error) => Err(error.into()),
    };
    let trouble = match outcome {
        Ok(Outcome::Quit) => return Ok(Flow::Quit),
        Ok(Outcome::Started(_)) => settle(studio, events, page)?,
        Ok(Outcome::Said(text)) | Ok(Outcome::Moved(text)) => {
            page.said(&text)?;
            settle(studio, events, page)?
        }
        Err(refusal) => {
            page.notice(&refusal.to_string());
            Some(blame(&refusal))
        }
    };
    Ok(Flow::On(trouble))
}

fn blame(refusal: &Refusal) -> Trouble {
    match refusal {
        Refusal::Store(_) => Trouble::Store,
        _ => Trouble::Refused,
    }
}

/// Takes the engine's news until it rests. Returns the first thing that went wrong.
pub fn settle(
    studio: &mut Studio,
    events: &Receiver<Event>,
    page: &mut dyn Page,
) -> Result<Option<Trouble>, Gone> {
    let mut trouble = None;
    while studio.busy() {
        let Ok(event) = events.recv() else {
            let lost = studio.engine_lost();
            trouble = trouble.or(tell(lost, page)?);
            break;
        };
        match take(studio, event, page) {
            Ok(found) => trouble = trouble.or(found),
            Err(Gone) => return Err(keep(studio, events)),
        }
    }
    page.working(&Work::Nothing);
    Ok(trouble)
}

/// Nobody reads: no more is wanted, and what has been written so far is kept.
fn keep(studio: &mut Studio, events: &Receiver<Event>) -> Gone {
    studio.stop();
    while studio.busy() {
        let Ok(event) = events.recv() else {
            studio.engine_lost();
            break;
        };
        studio.absorb(event);
        // There is nobody to tell, either.
        let _ = studio.flush();
    }
    Gone
}

fn take(studio: &mut Studio, event: Event, page: &mut dyn Page) -> Result<Option<Trouble>, Gone> {
    if let Event::Piece { text, .. } = &event {
        page.working(&Work::Writing);
        if let Err(gone) = page.text(text) {
            studio.absorb(event);
            return Err(gone);
        }
    }
    let notice = studio.absorb(event);
    page.working(studio.work());
    let trouble = tell(notice, page)?;
    if let Err(refusal) = studio.flush() {
        studio.stop();
        page.notice(&refusal.to_string());
        return Ok(trouble.or(Some(blame(&refusal))));
    }
    Ok(trouble)
}

fn tell(notice: Option<Notice>, page: &mut dyn Page) -> Result<Option<Trouble>, Gone> {
    match notice {
        None => Ok(None),
        Some(Notice::Info(text) | Notice::Warning(text)) => {
            page.notice(&text);
            Ok(None)
        }
        Some(Notice::Error(text, fault)) => {
            page.end()?;
            page.notice(&text);
            Ok(Some(Trouble::Engine(fault)))
        }
        Some(Notice::Ended(_, status)) => {
            page.end()?;
            if let Some(text) = remark(status) {
                page.notice(text);
            }
            Ok(None)
        }
    }
}

/// What a reader should know about how a passage ended.
fn remark(status: Status) -> Option<&'static str> {
    match status {
        Status::Stopped => Some("Stopped; what was written is kept, and an empty line goes on"),
        Status::ContextFull => {
            Some("The model's context is full; an empty line goes on from its later part")
        }
        _ => None,
    }
}

/// The words of the story so far, each author's apart, for showing a session that is opened.
pub fn transcript(studio: &Studio) -> String {
    let mut text = String::new();
    let mut last = None;
    for node in studio.story().path() {
        let apart = node.turn && last.is_some_and(|last| last != node.author);
        if apart && !text.ends_with('\n') {
            text.push('\n');
        }
        if node.turn && node.author != Author::Model {
            text.push_str("> ");
        }
        text.push_str(&node.text);
        last = Some(node.author);
    }
    text
}

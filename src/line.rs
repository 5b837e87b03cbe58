//! The line-based front end, which reads lines and writes a transcript. The REPL and piped input
//! share this code.
//!
//! Runs commands and handles events. Does not depend on terminal control codes or on the source of
//! the lines.

use crate::studio::{Listed, Notice, Outcome, PictureSource, Refusal, Studio, Work, left_out};
use std::sync::mpsc::Receiver;
use story::message::FailureKind;
use story::{Author, Command, Node, NodeId, Reply, Status, command, diff};

/// The destination of the transcript. Only story text is guaranteed to be shown unchanged.
pub trait Page {
    /// Shows a piece of the story as it arrives.
    fn text(&mut self, text: &str) -> Result<(), OutputClosed>;
    /// Ends a passage.
    fn end(&mut self) -> Result<(), OutputClosed>;
    /// Shows the answer to a command.
    fn message(&mut self, text: &str) -> Result<(), OutputClosed>;
    /// Writes the bytes of a file unchanged.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), OutputClosed>;
    /// Shows a notice.
    fn notice(&mut self, text: &str);
    /// Shows pictures, which are given as files, and a description. The first picture is the one
    /// now in the story.
    fn pictures(&mut self, files: &[PictureSource], said: &str) -> Result<(), OutputClosed>;
    /// Shows what the engine is currently doing.
    fn working(&mut self, work: &Work);
    /// Shows a suggested line for the writer to edit or send.
    fn suggested(&mut self, line: &str) -> Result<(), OutputClosed> {
        self.message(line)
    }
    /// Receives a number that [`Studio::measure`] requested.
    fn measured(&mut self, _number: f64) {}
    /// Lets the writer edit a text. Returns None if no editor is available.
    fn edit(&mut self, _text: &str) -> Option<Result<String, String>> {
        None
    }
}

/// The error when nothing more can be shown: the output was closed at the other end, or writing
/// failed. After a failed write, the page stores the cause.
#[derive(Debug, PartialEq, Eq)]
pub struct OutputClosed;

/// One input from the writer or a script.
#[derive(Debug, PartialEq, Eq)]
pub enum Input {
    Line(String),
    /// A line that cannot be used; the text says why.
    Unusable(String),
    /// The writer pressed Ctrl+C twice on an empty line.
    Interrupted,
    End,
}

/// How the loop over the input lines ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunEnd {
    /// The cause of the first error, which determines the exit code; None if there was no error.
    pub fault: Option<FailureCause>,
    pub interrupted: bool,
    /// Whether the last part of the story could not be saved.
    pub unsaved: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCause {
    /// A command or a line was refused.
    Refused,
    /// A record could not be written to disk.
    Store,
    Engine(FailureKind),
}

/// The maximum length of an input line, in bytes.
pub const LONGEST: usize = 4 << 20;

/// Waits until the model is loaded, runs lines until the input ends, and saves the story. `next`
/// returns the next line. Its argument is true if the requested line continues a line that ended
/// with a backslash; the backslash stands for a line break in the writer's text.
pub fn run(
    studio: &mut Studio,
    events: &Receiver<Reply>,
    next: impl FnMut(&Studio, bool) -> Input,
    page: &mut dyn Page,
) -> RunEnd {
    let mut closing = run_lines(studio, events, next, page);
    if let Err(refusal) = studio.finish() {
        page.notice(&refusal.to_string());
        closing.add_cause(cause_of(&refusal));
        closing.unsaved = true;
    }
    show_remarks(studio, page);
    closing
}

fn run_lines(
    studio: &mut Studio,
    events: &Receiver<Reply>,
    mut next: impl FnMut(&Studio, bool) -> Input,
    page: &mut dyn Page,
) -> RunEnd {
    let mut closing = RunEnd::default();
    // If the reader is already gone, the first line of output will fail too.
    if let Ok(Some(trouble)) = settle(studio, events, page) {
        closing.add_cause(trouble);
    }
    // The lines of a text that continues, because the last one ended with a backslash.
    let mut begun: Option<String> = None;
    loop {
        let line = match (next(studio, begun.is_some()), begun.take()) {
            (Input::Line(line), before) => {
                let mut whole = before.unwrap_or_default() + &line;
                if whole.ends_with('\\') && whole.len() < LONGEST {
                    whole.pop();
                    whole.truncate(whole.trim_end_matches(' ').len());
                    whole.push('\n');
                    begun = Some(whole);
                    continue;
                }
                whole
            }
            (Input::Unusable(why), before) => {
                page.notice(&why);
                closing.add_cause(FailureCause::Refused);
                begun = before;
                continue;
            }
            (Input::Interrupted, _) => {
                closing.interrupted = true;
                return closing;
            }
            // An unfinished text is not lost.
            (Input::End, Some(before)) => before,
            (Input::End, None) => return closing,
        };
        match run_line(studio, events, &line, page) {
            Ok(Flow::On(trouble)) => trouble
                .into_iter()
                .for_each(|trouble| closing.add_cause(trouble)),
            Ok(Flow::Quit) | Err(OutputClosed) => return closing,
        }
    }
}

impl RunEnd {
    fn add_cause(&mut self, trouble: FailureCause) {
        self.fault.get_or_insert(trouble);
    }
}

/// What to do after a line has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Run the next line. If the line that has just run failed, the cause is given.
    On(Option<FailureCause>),
    Quit,
}

/// Runs one line and waits until the engine is idle. [`run`] calls this function for each line. A
/// replay calls it directly, because it checks the story between lines.
pub fn run_line(
    studio: &mut Studio,
    events: &Receiver<Reply>,
    line: &str,
    page: &mut dyn Page,
) -> Result<Flow, OutputClosed> {
    let outcome = match command::parse(line) {
        Ok(command) => studio.run(command),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(Outcome::Edit(node, text)) => {
            let outcome = edited(studio, node, &text, page);
            show_outcome(studio, events, outcome, page)
        }
        outcome => show_outcome(studio, events, outcome, page),
    }
}

/// Lets the writer edit a passage, and runs the command that stores the edited text.
fn edited(
    studio: &mut Studio,
    node: NodeId,
    text: &str,
    page: &mut dyn Page,
) -> Result<Outcome, Refusal> {
    match page.edit(text) {
        Some(Ok(new)) => studio.run(Command::Edit(Some(format!("#{node}")), Some(new))),
        Some(Err(why)) => Err(Refusal::Cannot(why)),
        None => {
            let how = format!("No editor is available here; type /edit {node} TEXT");
            Err(Refusal::Cannot(how))
        }
    }
}

fn show_outcome(
    studio: &mut Studio,
    events: &Receiver<Reply>,
    outcome: Result<Outcome, Refusal>,
    page: &mut dyn Page,
) -> Result<Flow, OutputClosed> {
    let said = match outcome {
        Ok(Outcome::Quit) => return Ok(Flow::Quit),
        Ok(Outcome::Started(_) | Outcome::Asked) => None,
        Ok(Outcome::Said(text) | Outcome::Moved(text)) => Some(text),
        Ok(Outcome::Edit(_, text)) => Some(text),
        Ok(Outcome::List(title, listed)) => Some(format_list(&title, &listed)),
        Ok(Outcome::Bytes(bytes)) => {
            page.bytes(&bytes)?;
            None
        }
        Ok(Outcome::Diff(stretches)) => Some(diff::format_marked(&stretches)),
        Err(refusal) => {
            page.notice(&refusal.to_string());
            show_remarks(studio, page);
            return Ok(Flow::On(Some(cause_of(&refusal))));
        }
    };
    if let Some(said) = said {
        page.message(&said)?;
    }
    show_remarks(studio, page);
    Ok(Flow::On(settle(studio, events, page)?))
}

/// Shows the pending notices about the session's files.
fn show_remarks(studio: &mut Studio, page: &mut dyn Page) {
    let remarks = studio.remarks();
    remarks.iter().for_each(|remark| page.notice(remark));
}

/// Formats a list in which every row has the number that `/pick` accepts.
fn format_list(title: &str, listed: &[Listed]) -> String {
    let rows = listed.iter().enumerate();
    let rows = rows.map(|(at, row)| format!("{:>3}  {}", at + 1, row.label));
    std::iter::once(title.to_string())
        .chain(rows)
        .collect::<Vec<_>>()
        .join("\n")
}

fn cause_of(refusal: &Refusal) -> FailureCause {
    match refusal {
        Refusal::Store(_) => FailureCause::Store,
        _ => FailureCause::Refused,
    }
}

/// Handles engine events until the engine is idle. Returns the cause of the first error; None if
/// there was no error.
pub fn settle(
    studio: &mut Studio,
    events: &Receiver<Reply>,
    page: &mut dyn Page,
) -> Result<Option<FailureCause>, OutputClosed> {
    let mut trouble = None;
    while studio.busy() {
        let Ok(reply) = events.recv() else {
            let lost = studio.engine_lost();
            trouble = trouble.or(show_notice(studio, lost, page)?);
            break;
        };
        match handle_event(studio, reply, page) {
            Ok(found) => trouble = trouble.or(found),
            Err(OutputClosed) => return Err(flush_after_close(studio, events)),
        }
    }
    page.working(&Work::Nothing);
    Ok(trouble)
}

/// Stops the engine because nobody reads the output any more, and saves the text generated so far.
fn flush_after_close(studio: &mut Studio, events: &Receiver<Reply>) -> OutputClosed {
    studio.stop();
    while studio.busy() {
        let Ok(reply) = events.recv() else {
            studio.engine_lost();
            break;
        };
        studio.absorb(reply);
        // Nobody is left to see an error.
        let _ = studio.flush();
    }
    OutputClosed
}

fn handle_event(
    studio: &mut Studio,
    reply: Reply,
    page: &mut dyn Page,
) -> Result<Option<FailureCause>, OutputClosed> {
    let notices = studio.absorb(reply);
    page.working(studio.work());
    let trouble = show_notice(studio, notices, page)?;
    let flushed = studio.flush();
    show_remarks(studio, page);
    if let Err(refusal) = flushed {
        studio.stop();
        page.notice(&refusal.to_string());
        return Ok(trouble.or(Some(cause_of(&refusal))));
    }
    Ok(trouble)
}

fn show_notice(
    studio: &Studio,
    notices: Vec<Notice>,
    page: &mut dyn Page,
) -> Result<Option<FailureCause>, OutputClosed> {
    let mut trouble = None;
    for notice in notices {
        match notice {
            Notice::Text { node, text, .. } => {
                // Candidates and summaries are shown once they are complete.
                let whole = !studio.candidates().is_empty() || studio.story().head() != Some(node);
                if !whole {
                    page.text(&text)?;
                }
            }
            Notice::Thought(id) => {
                let node = studio.story().node(id);
                // Candidates and summaries are shown once they are complete.
                let shown = studio.candidates().is_empty() && studio.story().head() == Some(id);
                if let Some(remark) = node.filter(|_| shown).and_then(Node::thought_remark) {
                    page.notice(&format!("[{remark}]"));
                }
            }
            Notice::Progress | Notice::Answered(_) | Notice::Stopped => {}
            Notice::Info(text) | Notice::Warning(text) | Notice::Advice(text) => {
                page.notice(&text);
            }
            Notice::LeftOut(tokens) => page.notice(&left_out(tokens)),
            Notice::Error(text, fault) => {
                page.end()?;
                page.notice(&text);
                trouble = trouble.or(Some(FailureCause::Engine(fault)));
            }
            Notice::Ended(node, status) => {
                page.end()?;
                let aside = studio.story().node(node).filter(|node| node.aside);
                if let Some(summary) = aside {
                    page.message(summary.text.trim())?;
                }
                if let Some(text) = status_remark(status) {
                    page.notice(text);
                }
            }
            Notice::Drawn { nodes, said } => {
                let files = nodes.iter().filter_map(|id| studio.picture(*id));
                page.pictures(&files.collect::<Vec<PictureSource>>(), &said)?;
            }
            Notice::List(title, listed) => page.message(&format_list(&title, &listed))?,
            Notice::Suggested(line) => page.suggested(&line)?,
            Notice::Measured(number) => page.measured(number),
            Notice::Explained(explained) => {
                let sent = explained
                    .segments
                    .iter()
                    .map(|segment| segment.text.as_str());
                let sent: String = sent.collect();
                page.message(&format!("{explained}\nAs sent:\n{sent}"))?;
            }
        }
    }
    Ok(trouble)
}

/// Returns a remark about how a passage ended; None if the writer need not know.
fn status_remark(status: Status) -> Option<&'static str> {
    match status {
        Status::Stopped => Some("Stopped; the text so far is kept, and an empty line continues it"),
        Status::ContextFull => Some(
            "The model's context is full; an empty line continues with its oldest part dropped",
        ),
        _ => None,
    }
}

/// The story so far, as it is shown when a session is opened. The writer's turns in a chat begin
/// with `> `.
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
        text.push_str(node.text);
        last = Some(node.author);
    }
    text
}

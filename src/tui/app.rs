//! The state of the screen, and how keys, pastes and engine events change this state.
//!
//! Every key that concerns the story becomes a `Command` for the studio; this module only manages
//! what the writer sees and types. This module draws nothing and has no clock: the event loop
//! passes in the time.

mod outcome;

use super::complete::{self, Hints};
use super::gallery::{Gallery, PictureMode};
use super::history::History;
use super::input::{Edit, Input};
use super::keymap::Keymap;
use super::keys::{self, Action, Scroll};
use super::message::{Message, Tone};
use super::meter::Meter;
use super::overlay::Overlay;
use super::page::Page;
use super::probe::LateReplies;
use super::{ExitReason, Options};
use crate::editor::Editor;
use crate::studio::{Notice, Studio, left_out};
use base::untrusted::clean;
use crossterm::event::{KeyEvent, KeyEventKind};
use std::time::Duration;
use story::command;
use story::{NodeId, Reply};

/// The time after a Ctrl+C within which a second Ctrl+C quits the program.
pub(super) const AGAIN: Duration = Duration::from_secs(1);
/// How long the writer must stop typing before the model prefills the line.
const QUIET: Duration = Duration::from_millis(60);

pub struct App {
    pub studio: Studio,
    pub(super) page: Page,
    pub(super) input: Input,
    pub(super) message: Option<Message>,
    pub(super) overlay: Option<Overlay>,
    pub(super) hints: Option<Hints>,
    pub(super) meter: Meter,
    pub(super) gallery: Gallery,
    pub(super) late: LateReplies,
    pub(super) colour: bool,
    /// The passage that the writer is editing in the input line, if any.
    pub(super) editing: Option<NodeId>,
    pub(super) editor: Option<Editor>,
    keys: Keymap,
    /// Whether the model prefills a line while the writer is still typing the line.
    read_ahead: bool,
    /// The time of the next prefill, if one is scheduled.
    due: Option<Duration>,
    pub(super) history: History,
    /// The current time, as passed to the last call of [`App::tick`].
    pub(super) now: Duration,
    pub(super) interrupted: Option<Duration>,
    /// Whether the writer has requested a stop that the engine has not confirmed yet.
    pub(super) stopping: bool,
    /// The action that the event loop must perform next, if any.
    pub(super) loop_action: Option<LoopAction>,
}

/// An action that the app requests and that only the event loop can perform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoopAction {
    Leave(ExitReason),
    Suspend,
    Redraw,
    Editor,
}

impl App {
    pub fn new(studio: Studio, options: Options) -> App {
        let mut app = App {
            studio,
            page: Page::default(),
            input: Input::default(),
            message: None,
            overlay: None,
            hints: None,
            meter: Meter::default(),
            late: LateReplies::default(),
            gallery: Gallery::new(match options.colour {
                true => PictureMode::HalfBlocks { all_colours: true },
                false => PictureMode::TextOnly,
            }),
            colour: options.colour,
            editing: None,
            editor: options.editor,
            keys: options.keys,
            read_ahead: options.read_ahead,
            due: None,
            history: History::new(options.history),
            now: Duration::ZERO,
            interrupted: None,
            stopping: false,
            loop_action: None,
        };
        if let Some(notice) = options.notice {
            app.say(&notice);
        }
        if let Some(command) = options.first_command {
            app.run(command);
        }
        app
    }

    /// Sets the current time and does what is scheduled for that time. Returns true if the screen
    /// must change.
    pub fn tick(&mut self, now: Duration) -> bool {
        self.now = now;
        if self.due.take_if(|due| *due <= now).is_some() && self.editing.is_none() {
            self.studio.read_ahead(self.input.text());
        }
        let until = self.message.as_ref().and_then(|message| message.until);
        let over = until.is_some_and(|at| at <= now);
        if over {
            self.message = None;
        }
        over
    }

    /// The next time at which [`App::tick`] has something to do; None if nothing is scheduled.
    pub fn wakes_at(&self) -> Option<Duration> {
        let over = self.message.as_ref().and_then(|message| message.until);
        [over, self.due].into_iter().flatten().min()
    }

    /// If prefilling is enabled, schedules a prefill that starts when the writer pauses.
    fn changed(&mut self) {
        self.due = self.read_ahead.then(|| self.now + QUIET);
    }

    pub fn key(&mut self, event: KeyEvent) {
        if event.kind == KeyEventKind::Release {
            return;
        }
        self.changed();
        let action = self.keys.find(&event, self.input.is_empty());
        if self.overlay.is_some() && self.overlay_key(&event, action) {
            return;
        }
        match (action, keys::typed(&event)) {
            (Some(action), _) => self.act(action),
            (None, Some(c)) => self.insert(c.encode_utf8(&mut [0; 4])),
            (None, None) => {}
        }
    }

    /// Inserts pasted text into the input, even if the text has several lines.
    pub fn paste(&mut self, text: &str) {
        self.changed();
        self.overlay = None;
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        self.insert(&clean(&text));
    }

    /// Handles one reply from the engine. Call [`App::flush`] after the last waiting reply.
    pub fn absorb(&mut self, reply: Reply) {
        // A prefetch does not change what can be prefetched.
        if self.studio.busy() {
            self.changed();
        }
        let notices = self.studio.absorb(reply);
        self.notices(notices);
    }

    /// Shows notices. Several errors are joined into one message.
    fn notices(&mut self, notices: Vec<Notice>) {
        let mut errors: Vec<String> = Vec::new();
        for notice in notices {
            match notice {
                Notice::Error(text, _) => errors.push(text),
                notice => self.notice(notice),
            }
        }
        if !errors.is_empty() {
            self.tell(Tone::Error, &errors.join("\n"));
        }
    }

    /// Adds the received text to the story, the screen and the journal.
    pub fn flush(&mut self) {
        if let Err(refusal) = self.studio.flush() {
            self.tell(Tone::Error, &refusal.to_string());
        }
        self.show_remarks();
        self.grow_candidates();
    }

    /// Handles the unexpected end of the engine's thread.
    pub fn engine_lost(&mut self) {
        let notices = self.studio.engine_lost();
        self.notices(notices);
    }

    /// Requests that the event loop end for the given reason.
    pub fn leave(&mut self, why: ExitReason) {
        self.loop_action = Some(LoopAction::Leave(why));
    }

    /// Consumes the app, and returns the studio and the history lines that were added since the
    /// program started.
    pub fn into_parts(self) -> (Studio, Vec<String>) {
        (self.studio, self.history.added())
    }

    fn act(&mut self, action: Action) {
        let chosen = self
            .hints
            .as_ref()
            .is_some_and(|hints| hints.chosen.is_some());
        match action {
            Action::Submit => self.submit(),
            Action::Newline => self.insert("\n"),
            Action::Run(line) => _ = self.run_line(line),
            Action::Begin(line) if self.input.is_empty() => self.insert(line),
            Action::Begin(_) => {}
            Action::Impersonate => self.impersonate(),
            Action::Escape => self.escape(),
            Action::Interrupt => self.interrupt(),
            Action::Leave => self.leave(ExitReason::Quit),
            Action::Keys => self.overlay = Some(Overlay::help(&self.keys.help())),
            Action::Editor => self.ask_for_editor(),
            Action::Nothing => {}
            Action::Redraw => self.loop_action = Some(LoopAction::Redraw),
            Action::Suspend => self.loop_action = Some(LoopAction::Suspend),
            Action::Complete => self.complete(1),
            Action::CompleteBack => self.complete(-1),
            Action::Edit(Edit::Up) if chosen => self.complete(-1),
            Action::Edit(Edit::Down) if chosen => self.complete(1),
            Action::Scroll(scroll) => self.scroll(scroll),
            Action::Edit(edit) => self.edit(edit),
        }
    }

    fn submit(&mut self) {
        if self.input.at_end() && self.input.text().ends_with('\\') {
            self.input.drop_backslash();
            return self.insert("\n");
        }
        self.hints = None;
        if let Some(node) = self.editing {
            return self.save_edit(node);
        }
        let line = self.input.text().to_string();
        let known = self.studio.story().next_id();
        if self.run_line(&line) || self.studio.story().next_id() != known {
            // While editing, the input line contains the text to edit.
            if self.editing.is_none() {
                self.input.take();
            }
            if !self.studio.is_private() {
                self.history.add(&line);
            }
        }
    }

    fn run_line(&mut self, line: &str) -> bool {
        match command::parse(line) {
            Ok(command) => self.run(command),
            Err(error) => {
                self.tell(Tone::Error, &error.to_string());
                false
            }
        }
    }

    fn insert(&mut self, text: &str) {
        self.input.insert(text);
        self.page.follow();
        self.message.take_if(|message| message.tone == Tone::Info);
        self.hint();
    }

    fn edit(&mut self, edit: Edit) {
        let moved = self.input.edit(edit);
        let line = match edit {
            Edit::Up if !moved => self.history.older(self.input.text()),
            Edit::Down if !moved => self.history.newer(),
            _ => None,
        };
        if let Some(line) = line {
            self.input.set(line);
            self.hints = None;
        } else if !matches!(edit, Edit::Up | Edit::Down) {
            self.hint();
        }
    }

    fn scroll(&mut self, scroll: Scroll) {
        let page = self.page.height().saturating_sub(1).max(1) as isize;
        match scroll {
            Scroll::PageUp => self.page.scroll(-page),
            Scroll::PageDown => self.page.scroll(page),
            Scroll::LineUp => self.page.scroll(-1),
            Scroll::LineDown => self.page.scroll(1),
            Scroll::Top => self.page.rewind(),
            Scroll::Bottom => self.page.follow(),
        }
    }

    fn hint(&mut self) {
        let found = self.studio.completions(self.input.before_cursor());
        self.hints = found.map(Hints::new);
    }

    /// Replaces the typed word with a completion. If there are several, takes the next one (`step`
    /// is 1) or the previous one (`step` is -1).
    fn complete(&mut self, step: isize) {
        if self.hints.is_none() {
            self.hint();
        }
        let Some(hints) = &mut self.hints else {
            return;
        };
        let word = hints.step(step).to_string();
        self.input.replace_from(hints.candidates.from, &word);
        if hints.candidates.found.len() == 1 {
            let name = hints.candidates.from == 1;
            self.hints = None;
            if name && complete::takes_something(&word) {
                self.insert(" ");
            }
        }
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Text { node, tokens, .. } => self.meter.wrote(node, tokens, self.now),
            // The page itself shows the thought.
            Notice::Thought(_) | Notice::Measured(_) => {}
            Notice::Progress => self.meter.works(self.studio.work(), self.now),
            Notice::Answered(stats) => {
                self.stopping = false;
                self.meter.ended(stats.as_ref());
            }
            Notice::Stopped => {
                let said = match self.studio.about() {
                    Some(_) => "Stopped",
                    None => "Loading was stopped; load the model again with /model",
                };
                self.tell(Tone::Info, said);
            }
            Notice::Info(text) => self.tell(Tone::Info, &text),
            Notice::Warning(text) | Notice::Advice(text) => self.tell(Tone::Warning, &text),
            Notice::LeftOut(tokens) => self.tell(Tone::Warning, &left_out(tokens)),
            Notice::Error(text, _) => self.tell(Tone::Error, &text),
            Notice::Ended(node, _) => {
                let aside = self.studio.story().node(node).filter(|node| node.aside);
                if let Some(text) = aside.map(|node| node.text.trim().to_string()) {
                    self.say(&text);
                }
            }
            Notice::Drawn { said, .. } => {
                self.page.follow();
                self.tell(Tone::Info, &said);
            }
            Notice::List(title, listed) => self.list(&title, &listed),
            Notice::Suggested(line) => self.suggested(&line),
            Notice::Explained(explained) => self.overlay = Some(Overlay::context(&explained)),
        }
    }

    /// Shows the text that a command returned: up to three lines in the message area, longer text
    /// in an overlay.
    fn say(&mut self, text: &str) {
        if text.lines().count() > 3 {
            self.overlay = Some(Overlay::new(text));
        } else {
            self.tell(Tone::Info, text);
        }
    }

    pub(super) fn tell(&mut self, tone: Tone, text: &str) {
        let text = clean(text).into_owned();
        self.message = Some(Message {
            tone,
            text,
            until: None,
        });
    }
}

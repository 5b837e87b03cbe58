//! The application without a screen: a session, an engine and a journal, driven by commands.
//!
//! Every front end calls [`Studio::run`] with what the writer asked and [`Studio::absorb`] with
//! what the engine said, then shows [`Studio::story`]. What a command does is decided here, once;
//! what it looks like is not.

mod settings;

use crate::engine::{Engine, Stop};
use crate::store::{Journal, Recovered, Sessions, StoreError};
use crate::story::command::{self, Swipe};
use crate::story::context::joint;
use crate::story::message::{Fault, Overflow, Stats, TextRequest};
use crate::story::record::{Ended, Head, Move, Streamed};
use crate::story::untrusted::clean;
use crate::story::{
    About, Asked, Author, Command, Context, Event, Mode, Node, NodeId, Provenance, Record, Request,
    Settings, Status, Story,
};

/// What a front end brings: where sessions are, and what a library must not look up by itself.
pub struct Setup {
    pub sessions: Sessions,
    /// Settings of a new session: flags, environment and configuration resolved.
    pub defaults: Settings,
    /// The flags and the environment alone, which stand above a session's settings too.
    pub asked: Asked,
    /// Names the program and its version in provenance.
    pub build: String,
    /// Where seeds come from when none is set.
    pub entropy: u64,
    /// RFC 3339, UTC.
    pub now: fn() -> String,
    /// Nothing is written to disk.
    pub private: bool,
}

pub struct Studio {
    story: Story,
    settings: Settings,
    /// None until a model is loaded.
    about: Option<About>,
    engine: Engine,
    setup: Setup,
    journal: Option<Journal>,
    /// Records that could not be written yet.
    unsaved: Vec<Record>,
    /// Text that has come and is not journaled yet.
    streamed: Option<Streamed>,
    work: Work,
    /// The model that was asked for last.
    wanted: String,
    last_stats: Option<Stats>,
}

/// What the engine is busy with.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Work {
    #[default]
    Nothing,
    Loading {
        what: String,
        done: u64,
        total: Option<u64>,
    },
    Reading {
        done: usize,
        total: usize,
        reused: usize,
    },
    Writing,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The engine is at work; its events will fill this passage.
    Started(NodeId),
    /// Something to tell the writer.
    Said(String),
    /// The story on the screen is another now, or stands elsewhere.
    Moved(String),
    Quit,
}

/// Something that the writer should be told.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    Info(String),
    Warning(String),
    Error(String, Fault),
    /// A passage has ended.
    Ended(NodeId, Status),
}

/// A command that could not be done, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("Still writing; Esc or Ctrl+C stops it")]
    Busy,
    #[error("{0}")]
    Cannot(String),
    #[error(transparent)]
    Command(#[from] command::ParseError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Studio {
    /// A studio with an empty story and no session on disk yet; the first words begin one.
    pub fn new(engine: Engine, setup: Setup) -> Studio {
        let settings = setup.defaults.clone();
        Studio {
            story: Story::default(),
            settings,
            about: None,
            engine,
            setup,
            journal: None,
            unsaved: Vec::new(),
            streamed: None,
            work: Work::Nothing,
            wanted: String::new(),
            last_stats: None,
        }
    }

    pub fn story(&self) -> &Story {
        &self.story
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn about(&self) -> Option<&About> {
        self.about.as_ref()
    }

    pub fn work(&self) -> &Work {
        &self.work
    }

    pub fn last_stats(&self) -> Option<&Stats> {
        self.last_stats.as_ref()
    }

    pub fn sessions(&self) -> &Sessions {
        &self.setup.sessions
    }

    /// The session's name; None before the first words, and when nothing is kept.
    pub fn session_name(&self) -> Option<&str> {
        self.journal.as_ref().map(Journal::name)
    }

    pub fn is_private(&self) -> bool {
        self.setup.private
    }

    pub fn read_only(&self) -> Option<&str> {
        self.journal.as_ref().and_then(Journal::read_only)
    }

    /// Whether something is not on disk that should be.
    pub fn has_unsaved(&self) -> bool {
        !self.unsaved.is_empty()
    }

    pub fn busy(&self) -> bool {
        self.work != Work::Nothing
    }

    /// Whether a passage is being written, as opposed to a model being loaded.
    pub fn writing(&self) -> bool {
        self.story.running().is_some()
    }

    pub fn stopper(&self) -> Stop {
        self.engine.stopper()
    }

    pub fn stop(&self) {
        self.engine.stopper().stop();
    }

    /// Asks for the model of the settings.
    pub fn load_model(&mut self) {
        self.load(self.settings.model.clone());
    }

    fn load(&mut self, model: String) {
        self.wanted.clone_from(&model);
        self.work = Work::Loading {
            what: "the model".to_string(),
            done: 0,
            total: None,
        };
        self.engine.submit(Request::Load { model });
    }

    /// Does what the writer asked.
    pub fn run(&mut self, command: Command) -> Result<Outcome, Refusal> {
        match command {
            Command::Help(topic) => return Ok(Outcome::Said(command::help(topic.as_deref())?)),
            Command::Sessions => return self.list(),
            Command::Quit => return Ok(Outcome::Quit),
            Command::Set(name, None) => return self.show_settings(name.as_deref()),
            _ if self.writing() => return Err(Refusal::Busy),
            _ => {}
        }
        match command {
            Command::Write(text) => self.write(&text, Author::User),
            Command::Continue(tokens) => self.go_on(tokens),
            Command::Retry(seed) => self.retry(seed),
            Command::Undo(steps) => self.undo(steps),
            Command::Redo(steps) => self.redo(steps),
            Command::Swipe(to) => self.swipe(to),
            Command::Set(name, value) => self.set(name, value),
            Command::Model(name) => self.model(name),
            Command::Mode(mode) => self.mode(mode),
            Command::System(text) => self.system(text),
            Command::Save(name) => self.save(name),
            Command::Open(name) => self.open(&name),
            Command::New(name) => self.begin(name.as_deref()),
            Command::Help(_) | Command::Sessions | Command::Quit => Ok(Outcome::Quit),
        }
    }

    /// Takes words into the story and has the model go on from them.
    pub fn write(&mut self, text: &str, author: Author) -> Result<Outcome, Refusal> {
        let text = clean(text);
        let turn = self.settings.mode == Mode::Chat;
        let gap = if turn { "" } else { joint(&self.story, &text) };
        let words = Node {
            id: self.story.next_id(),
            parent: self.story.head(),
            author,
            text: format!("{gap}{text}"),
            turn,
            status: Status::Whole,
            how: None,
            ids: Vec::new(),
        };
        let parent = words.id;
        if let Err(refusal) = self.record(vec![Record::Node(words)]) {
            // The words are in memory and wait for the disk; an empty line goes on from them.
            let (to, why) = (Some(parent), Move::Write);
            let _ = self.record(vec![Record::Head(Head { to, why })]);
            return Err(refusal);
        }
        self.start(Some(parent), Move::Write, None, None)
    }

    fn go_on(&mut self, tokens: Option<u32>) -> Result<Outcome, Refusal> {
        if self.story.head().is_none() {
            return Err(cannot("The story is empty; write its first line"));
        }
        self.start(self.story.head(), Move::Write, None, tokens)
    }

    fn retry(&mut self, seed: Option<u64>) -> Result<Outcome, Refusal> {
        let head = self.story.head().and_then(|id| self.story.node(id));
        let head = head.ok_or_else(|| cannot("There is nothing to write again yet"))?;
        let parent = match head.author {
            Author::Model => head.parent,
            Author::Prompt | Author::User => Some(head.id),
        };
        self.start(parent, Move::Retry, seed, None)
    }

    /// Begins a passage of the model's after `parent`.
    fn start(
        &mut self,
        parent: Option<NodeId>,
        why: Move,
        seed: Option<u64>,
        tokens: Option<u32>,
    ) -> Result<Outcome, Refusal> {
        let id = self.story.next_id();
        let mut sampling = self.settings.sampling.clone();
        sampling.max_tokens = tokens.unwrap_or(sampling.max_tokens);
        let base = self.settings.sampling.seed.unwrap_or(self.setup.entropy);
        let seed = seed.unwrap_or_else(|| derive(base, id));
        let context = Context::build(&self.settings, &self.story.path_to(parent));
        let about = self.about.clone().unwrap_or_default();
        let node = Node {
            id,
            parent,
            author: Author::Model,
            text: String::new(),
            turn: self.settings.mode == Mode::Chat,
            status: Status::Running,
            how: Some(Provenance {
                model: about.name,
                model_sha256: about.sha256,
                backend: about.backend,
                build: self.setup.build.clone(),
                seed,
                mode: self.settings.mode,
                sampling: sampling.clone(),
                context_digest: context.digest(),
            }),
            ids: Vec::new(),
        };
        let to = Some(id);
        let begun = self.record(vec![Record::Node(node), Record::Head(Head { to, why })]);
        if let Err(refusal) = begun.and_then(|()| self.sync()) {
            // Nobody will write this passage: it must not look as if somebody did.
            let (status, why) = (Status::Failed, Some(refusal.to_string()));
            let _ = self.record(vec![Record::End(Ended {
                node: id,
                status,
                why,
            })]);
            return Err(refusal);
        }
        if self.work == Work::Nothing {
            self.work = Work::Writing;
        }
        self.engine.submit(Request::Text(TextRequest {
            node: id,
            context,
            sampling,
            seed,
            overflow: Overflow::Crop,
        }));
        Ok(Outcome::Started(id))
    }

    fn undo(&mut self, steps: usize) -> Result<Outcome, Refusal> {
        let to = self.story.undo_target(steps);
        let to = to.ok_or_else(|| cannot("There is nothing to undo"))?;
        self.go(to, Move::Undo, "Went back; /redo goes forward again")
    }

    fn redo(&mut self, steps: usize) -> Result<Outcome, Refusal> {
        let to = self.story.redo_target(steps);
        let to = to.ok_or_else(|| cannot("There is nothing to redo"))?;
        self.go(to, Move::Redo, "Went forward")
    }

    fn swipe(&mut self, to: Swipe) -> Result<Outcome, Refusal> {
        let head = self
            .story
            .head()
            .ok_or_else(|| cannot("There is no passage yet"))?;
        let siblings = self.story.siblings(head).to_vec();
        let at = siblings.iter().position(|id| *id == head).unwrap_or(0);
        let wanted = match to {
            Swipe::Next if at + 1 == siblings.len() => return self.retry(None),
            Swipe::Next => at + 1,
            Swipe::Previous if at == 0 => return Err(cannot("This is the first version")),
            Swipe::Previous => at - 1,
            Swipe::To(number) => number - 1,
        };
        let count = siblings.len();
        let there = siblings.get(wanted).copied();
        let there = there.ok_or_else(|| cannot(&format!("There are {count} versions")))?;
        let said = format!("Version {} of {count}", wanted + 1);
        self.go(Some(there), Move::Swipe, &said)
    }

    fn go(&mut self, to: Option<NodeId>, why: Move, said: &str) -> Result<Outcome, Refusal> {
        self.record(vec![Record::Head(Head { to, why })])?;
        self.sync()?;
        Ok(Outcome::Moved(said.to_string()))
    }

    fn list(&self) -> Result<Outcome, Refusal> {
        let listed = self.setup.sessions.list()?;
        if listed.is_empty() {
            return Ok(Outcome::Said("There are no sessions yet.".to_string()));
        }
        let line = |name: &str, bytes: u64| {
            let here = if self.session_name() == Some(name) {
                "*"
            } else {
                " "
            };
            format!("{here} {name}  ({})", size(bytes))
        };
        let lines: Vec<String> = listed
            .iter()
            .map(|one| line(&one.name, one.bytes))
            .collect();
        Ok(Outcome::Said(lines.join("\n")))
    }

    fn save(&mut self, name: Option<String>) -> Result<Outcome, Refusal> {
        if self.setup.private {
            return Err(cannot("This session is private: nothing of it is kept"));
        }
        self.ensure_journal()?;
        self.write_unsaved()?;
        self.sync()?;
        let Some(journal) = self.journal.as_mut() else {
            return Err(cannot("There is no session to save"));
        };
        if let Some(name) = name.filter(|name| name != journal.name()) {
            journal.rename(&name)?;
        }
        Ok(Outcome::Said(format!(
            "Saved as {} in {}",
            journal.name(),
            journal.path().display()
        )))
    }

    /// Opens a session; the one before it stays as it is on disk.
    pub fn open(&mut self, name: &str) -> Result<Outcome, Refusal> {
        if self.session_name() == Some(name) {
            return Ok(Outcome::Said(format!("{name} is open already")));
        }
        self.leave()?;
        let (journal, recovered) = self.setup.sessions.open(name)?;
        let said = opened(&journal, &recovered);
        let kept = recovered
            .settings
            .unwrap_or_else(|| self.setup.defaults.clone());
        let settings = self.setup.asked.over(kept.clone());
        let settings = settings.map_err(|error| cannot(&error.to_string()))?;
        let changed = settings != kept;
        let other_model = settings.model != self.settings.model;
        self.story = recovered.story;
        self.settings = settings;
        self.journal = Some(journal);
        self.last_stats = None;
        match self.story.running() {
            Some(_) if self.read_only().is_some() => self.story.interrupt(),
            Some(node) => self.record(vec![Record::End(Ended {
                node,
                status: Status::Interrupted,
                why: None,
            })])?,
            None => {}
        }
        if changed && self.read_only().is_none() {
            self.record(vec![Record::Settings(self.settings.clone())])?;
        }
        if other_model {
            self.load_model();
        }
        Ok(Outcome::Moved(said))
    }

    fn begin(&mut self, name: Option<&str>) -> Result<Outcome, Refusal> {
        self.leave()?;
        if let Some(name) = name.filter(|_| !self.setup.private) {
            let began = (self.setup.now)();
            self.journal = Some(self.setup.sessions.create(
                Some(name),
                &began,
                &self.setup.build,
            )?);
        } else {
            self.journal = None;
        }
        self.story = Story::default();
        self.last_stats = None;
        if self.journal.is_some() {
            self.record(vec![Record::Settings(self.settings.clone())])?;
        }
        Ok(Outcome::Moved(
            "A new story; write its first line".to_string(),
        ))
    }

    /// Opens the session if it is there, or begins it under this name.
    pub fn open_or_begin(&mut self, name: &str) -> Result<Outcome, Refusal> {
        match self.setup.sessions.exists(name) {
            true => self.open(name),
            false => self.begin(Some(name)),
        }
    }

    /// What must be on disk before another session takes this one's place.
    fn leave(&mut self) -> Result<(), Refusal> {
        self.flush()?;
        if !self.unsaved.is_empty() {
            self.write_unsaved()?;
        }
        self.sync()
    }

    /// Takes the engine's news. Call [`Studio::flush`] once all that waited has been taken.
    pub fn absorb(&mut self, event: Event) -> Option<Notice> {
        match event {
            Event::Loading { what, done, total } => {
                self.work = Work::Loading { what, done, total };
                None
            }
            Event::Ready(about) => {
                let note = about.note.clone();
                self.about = Some(about);
                match self.settle_model() {
                    Ok(()) => note.map(Notice::Warning),
                    Err(refusal) => Some(Notice::Error(refusal.to_string(), Fault::Store)),
                }
            }
            Event::Prefill {
                done,
                total,
                reused,
                dropped,
                ..
            } => {
                let first = self.work == Work::Writing || matches!(self.work, Work::Loading { .. });
                self.work = Work::Reading {
                    done,
                    total,
                    reused,
                };
                (first && dropped > 0).then(|| Notice::Warning(left_out(dropped)))
            }
            Event::Piece { node, text, ids } => {
                self.work = Work::Writing;
                self.stream(node, &text, &ids);
                None
            }
            Event::Done {
                node,
                status,
                stats,
            } => self.ended(node, status, Some(stats), None),
            Event::Failed { node, why, fault } => {
                let ended = self.ended(node, Status::Failed, None, Some(why.clone()));
                match ended {
                    Some(Notice::Error(..)) => ended,
                    _ => Some(Notice::Error(why, fault)),
                }
            }
        }
    }

    fn stream(&mut self, node: NodeId, text: &str, ids: &[u32]) {
        match &mut self.streamed {
            Some(streamed) if streamed.node == node => {
                streamed.text.push_str(text);
                streamed.ids.extend(ids);
            }
            _ => {
                self.streamed = Some(Streamed {
                    node,
                    text: text.to_string(),
                    ids: ids.to_vec(),
                });
            }
        }
    }

    fn ended(
        &mut self,
        node: Option<NodeId>,
        status: Status,
        stats: Option<Stats>,
        why: Option<String>,
    ) -> Option<Notice> {
        // A line typed while a model loads waits behind it.
        self.work = match self.story.running() {
            Some(running) if node != Some(running) => Work::Writing,
            _ => Work::Nothing,
        };
        let node = node?;
        self.last_stats = stats;
        let ended = Record::End(Ended { node, status, why });
        let kept = self
            .flush()
            .and_then(|()| self.record(vec![ended]))
            .and_then(|()| self.sync());
        match kept {
            Ok(()) => Some(Notice::Ended(node, status)),
            Err(refusal) => Some(Notice::Error(refusal.to_string(), Fault::Store)),
        }
    }

    /// The engine is gone; a passage must not wait for it for ever.
    pub fn engine_lost(&mut self) -> Option<Notice> {
        let node = self.story.running();
        let why = "The engine has stopped; everything is on disk, start illumine again".to_string();
        self.ended(node, Status::Failed, None, Some(why.clone()));
        Some(Notice::Error(why, Fault::Engine))
    }

    /// Puts the text that has come so far into the story and the journal.
    pub fn flush(&mut self) -> Result<(), Refusal> {
        match self.streamed.take() {
            Some(streamed) => self.record(vec![Record::Text(streamed)]),
            None => Ok(()),
        }
    }

    /// Takes records into the story and then to disk. The story has them even when the disk does
    /// not: they wait, and are written as soon as it can.
    fn record(&mut self, records: Vec<Record>) -> Result<(), Refusal> {
        self.journal.as_ref().map_or(Ok(()), Journal::writable)?;
        for record in &records {
            let applied = self.story.apply(record);
            applied.map_err(|misfit| cannot(&misfit.to_string()))?;
        }
        if self.setup.private {
            return Ok(());
        }
        self.unsaved.extend(records);
        self.ensure_journal()?;
        self.write_unsaved()
    }

    fn ensure_journal(&mut self) -> Result<(), Refusal> {
        if self.journal.is_some() || self.setup.private {
            return Ok(());
        }
        let began = (self.setup.now)();
        let journal = self
            .setup
            .sessions
            .create(None, &began, &self.setup.build)?;
        self.journal = Some(journal);
        self.unsaved
            .insert(0, Record::Settings(self.settings.clone()));
        Ok(())
    }

    fn write_unsaved(&mut self) -> Result<(), Refusal> {
        let Some(journal) = self.journal.as_mut() else {
            return Ok(());
        };
        journal.append(&self.unsaved)?;
        self.unsaved.clear();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Refusal> {
        match &self.journal {
            Some(journal) if journal.read_only().is_none() => Ok(journal.sync()?),
            _ => Ok(()),
        }
    }
}

/// The seed of one passage: SplitMix64 of the session's seed and the passage's number, so that
/// siblings differ and a replay does not.
fn derive(base: u64, id: NodeId) -> u64 {
    crate::model::sampler::rng::derive(base, id)
}

fn cannot(why: &str) -> Refusal {
    Refusal::Cannot(why.to_string())
}

fn left_out(dropped: usize) -> String {
    format!(
        "The story is longer than the model can hold: its oldest {dropped} tokens are not read; nothing is erased"
    )
}

fn opened(journal: &Journal, recovered: &Recovered) -> String {
    let name = journal.name();
    match (&recovered.doubt, recovered.torn) {
        (Some(why), _) => format!("Opened {name} for reading only, because {why}"),
        (None, 0) => format!("Opened {name}"),
        (None, torn) => format!(
            "Opened {name}; {torn} bytes of a record that a crash cut off are set aside beside its journal"
        ),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

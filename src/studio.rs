//! The application without a screen: a session, an engine and a journal, driven by commands.
//!
//! Every front end calls [`Studio::run`] with what the writer asked and [`Studio::absorb`] with
//! what the engine said, then shows [`Studio::story`]. What a command does is decided here, once;
//! what it looks like is not.

mod keep;
mod moves;
mod news;
mod sessions;
mod settings;

use crate::engine::{Engine, Stop};
use crate::store::{Journal, Sessions, StoreError};
use crate::story::command;
use crate::story::context::joint;
use crate::story::message::{Fault, Overflow, Stats, TextRequest};
use crate::story::record::{Ended, Head, Move, Streamed};
use crate::story::untrusted::clean;
use crate::story::{
    About, Asked, Author, Command, Context, Mode, Node, NodeId, Provenance, Record, Request,
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
}

/// The seed of one passage: SplitMix64 of the session's seed and the passage's number, so that
/// siblings differ and a replay does not.
fn derive(base: u64, id: NodeId) -> u64 {
    crate::model::sampler::rng::derive(base, id)
}

fn cannot(why: &str) -> Refusal {
    Refusal::Cannot(why.to_string())
}

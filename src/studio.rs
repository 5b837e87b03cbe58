//! The application without a screen: a session, an engine and a journal, driven by commands.
//!
//! Every front end calls [`Studio::run`] with what the writer asked and [`Studio::absorb`] with
//! what the engine said, then shows [`Studio::story`]. What a command does is decided here, once;
//! what it looks like is not.

mod choices;
mod drawn;
mod edits;
mod files;
mod frame;
mod keep;
mod look;
mod lore;
mod moves;
mod news;
mod outcome;
mod pictures;
mod sessions;
mod settings;
mod typed;
mod write;

#[cfg(test)]
mod tests;

use crate::engine::{Engine, Stop};
use crate::store::prompts::Prompts;
use crate::store::{Journal, Sessions};
use crate::story::command;
use crate::story::lore::Missed;
use crate::story::message::{Recalled, Stats, TextRequest, Warm};
use crate::story::record::Streamed;
use crate::story::{
    About, Asked, Author, Command, NodeId, Place, Record, Request, Settings, Story,
};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

pub use choices::Listed;
pub use outcome::{Notice, Outcome, Refusal};
pub use pictures::Kept;

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
    /// Where the writer's own voices are.
    pub prompts: Prompts,
    /// What `~` stands for.
    pub home: Option<PathBuf>,
    /// Styles that pictures can be drawn in, for completion.
    pub styles: Vec<String>,
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
    /// Text that has come and is not journaled yet, for each passage being written.
    streamed: Vec<Streamed>,
    work: Work,
    /// Questions and models that the engine was asked for, and has not answered yet.
    asked: usize,
    /// The model that was asked for last.
    wanted: String,
    last_stats: Option<Stats>,
    /// What `/pick` takes from.
    listed: Vec<Listed>,
    /// The place that the engine was asked about.
    asked_at: Place,
    /// What is to be done when a passage ends.
    afterwards: HashMap<NodeId, Afterwards>,
    /// Passages that are being written side by side, or were last.
    candidates: Vec<NodeId>,
    /// Phrases that each running passage was turned away from.
    rewound: HashMap<NodeId, Vec<String>>,
    /// Lore that a rule kept out of the last passage, and what its budget left out.
    missed: Vec<Missed>,
    unread: Vec<String>,
    /// What was found by its meaning for the last passage.
    recalled: Vec<Recalled>,
    /// Where what the model last read begins, when not at the story's beginning.
    begins: Option<(NodeId, usize)>,
    /// The writer has been told that the context is nearly full.
    warned: bool,
    /// What the engine reads in advance, if that was the last that it was asked for.
    reading: Option<TextRequest>,
    /// Pictures that the engine was asked for.
    awaited: Option<pictures::Awaited>,
    /// Files of a private session's pictures.
    held: BTreeMap<NodeId, Arc<[u8]>>,
    /// However large what the model has read is, it is to be kept.
    any_size: bool,
    /// What the model had read of this session, until a model is there to take it.
    warm: Option<Warm>,
}

/// What is to be done once a passage has been written.
#[derive(Clone, Debug, PartialEq)]
enum Afterwards {
    /// What followed on the old path from this byte of this passage on comes after it again.
    Graft {
        head: Option<NodeId>,
        index: usize,
        from: usize,
    },
    /// It is the summary that is read.
    Summary,
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
    /// So many pictures of so many; of none while it is not known.
    Drawing {
        done: usize,
        total: usize,
    },
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
            streamed: Vec::new(),
            work: Work::Nothing,
            asked: 0,
            wanted: String::new(),
            last_stats: None,
            listed: Vec::new(),
            asked_at: Place::default(),
            afterwards: HashMap::new(),
            candidates: Vec::new(),
            rewound: HashMap::new(),
            missed: Vec::new(),
            unread: Vec::new(),
            recalled: Vec::new(),
            begins: None,
            warned: false,
            reading: None,
            awaited: None,
            held: BTreeMap::new(),
            any_size: false,
            warm: None,
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

    /// Passages that are or were last written side by side.
    pub fn candidates(&self) -> &[NodeId] {
        &self.candidates
    }

    /// Where what the model last read begins, when it was not the story's beginning.
    pub fn begins(&self) -> Option<(NodeId, usize)> {
        self.begins
    }

    /// What `/pick` takes from.
    pub fn listed(&self) -> &[Listed] {
        &self.listed
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
        self.ask_engine(Request::Load { model });
    }

    /// Submits what writes no passage; its end is counted.
    fn ask_engine(&mut self, request: Request) {
        self.asked += 1;
        self.send(request);
    }

    /// Submits a request; what is read in advance makes room for it.
    fn send(&mut self, request: Request) {
        if self.reading.take().is_some() {
            self.engine.stopper().stop();
        }
        self.engine.submit(request);
    }

    /// Does what the writer asked.
    pub fn run(&mut self, command: Command) -> Result<Outcome, Refusal> {
        match command {
            Command::Help(topic) => return Ok(Outcome::Said(command::help(topic.as_deref())?)),
            Command::Sessions => return self.list(),
            Command::Quit => return Ok(Outcome::Quit),
            Command::Set(name, None) => return self.show_settings(name.as_deref()),
            Command::Find(words) => return Ok(self.find(&words)),
            Command::Tree => return Ok(self.tree()),
            Command::Why(place) => return self.why(place.as_deref()),
            Command::Diff(a, b) => return self.diff(&a, &b),
            _ if self.writing() || self.drawing() => return Err(Refusal::Busy),
            _ => {}
        }
        match command {
            Command::Write(text) => self.write(&text, Author::User),
            Command::Continue(reach) => self.go_on(reach, None),
            Command::Instruct(text) => self.go_on(command::Reach::Set, Some(text)),
            Command::Retry(seed) => self.retry(seed),
            Command::Gen(count) => self.gen_several(count),
            Command::Pick(number) => self.pick(number),
            Command::Undo(steps) => self.undo(steps),
            Command::Redo(steps) => self.redo(steps),
            Command::Swipe(to) => self.swipe(to),
            Command::Branch(name) => self.branch(name.as_deref()),
            Command::Goto(place) => self.goto(&place),
            Command::Step(by) => self.step(by),
            Command::Edit(place, text) => self.edit(place.as_deref(), text),
            Command::Merge(place) => self.merge(place.as_deref()),
            Command::Impersonate(begun) => self.impersonate(&begun),
            Command::Keep => self.keep_version(),
            Command::Delete(place) => self.delete(place.as_deref()),
            Command::Mark(name) => self.mark(name.as_deref()),
            Command::Alts(word) => self.alternatives(word.as_deref()),
            Command::Choose(choice) => self.choose(&choice),
            Command::Fill(place) => self.fill(place.as_deref()),
            Command::Ban(phrase) => self.ban(phrase.as_deref()),
            Command::Unban(phrase) => self.unban(&phrase),
            Command::Context => self.explain(),
            Command::Memory(text) => self.memory(text),
            Command::Note(text) => self.note(text),
            Command::Lore(lore) => self.lore(lore),
            Command::Summarize => self.summarize(),
            Command::Draw(draw) => self.draw(draw),
            Command::Voice(what) => self.voice(what.as_deref()),
            Command::Export(format, rest) => self.export(format.as_deref(), rest.as_deref()),
            Command::Import(file) => self.import(&file),
            Command::Set(name, value) => self.set(name, value),
            Command::Model(name) => self.model(name),
            Command::Mode(mode) => self.mode(mode),
            Command::System(text) => self.system(text),
            Command::Save(name) => self.save(name),
            Command::SaveWarm { any_size } => self.save_warm(any_size),
            Command::Open(name) => self.open(&name),
            Command::New(name) => self.begin(name.as_deref()),
            Command::Help(_)
            | Command::Sessions
            | Command::Find(_)
            | Command::Tree
            | Command::Why(_)
            | Command::Diff(..)
            | Command::Quit => Ok(Outcome::Quit),
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

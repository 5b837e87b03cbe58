//! The application without a screen: a session, an engine and a journal, driven by commands.
//!
//! Every front end calls [`Studio::run`] with the writer's commands and [`Studio::absorb`] with the
//! engine's events, then shows [`Studio::story`]. The studio decides what a command does; the front
//! end decides how it looks.

mod cases;
mod choices;
pub mod complete;
mod drawn;
mod edits;
mod files;
mod frame;
mod length;
mod look;
mod lore;
mod moves;
mod news;
mod outcome;
mod pending;
mod pictures;
mod prefetch;
mod request;
mod session;
mod sessions;
mod settings;
mod suggest;
mod write;

#[cfg(test)]
mod tests;

use crate::engine::remote::NearbyServers;
use crate::engine::{Engine, Stop};
use crate::store::Sessions;
use crate::store::prompts::Prompts;
use pending::{InFlight, Pending, Purpose};
use session::Session;
use std::path::PathBuf;
use story::message::{Capabilities, PassageStats};
use story::{
    Author, Command, ModelInfo, NodeId, Record, Request, RequestId, SettingOverrides, Settings,
    Story, command,
};

pub use cases::{CasePrompt, case_request, run_cases};
pub use length::left_out;
pub use outcome::{Listed, Notice, Outcome, Refusal};
pub use pictures::{PictureSource, file_source};

/// Options from the front end: the folder of sessions, and values that a library must not look up
/// by itself.
#[derive(Clone)]
pub struct Setup {
    pub sessions: Sessions,
    /// The settings of a new session, resolved from flags, environment and configuration.
    pub defaults: Settings,
    /// Settings from flags and environment only, which also override a session's settings.
    pub asked: SettingOverrides,
    /// The program's name and version, for provenance.
    pub build: String,
    /// The random number from which seeds come if the writer has set none.
    pub entropy: u64,
    /// The current time in RFC 3339, UTC.
    pub now: fn() -> String,
    /// How many daily backups a session keeps; 0 is none.
    pub backups: usize,
    /// Whether the session is private: nothing is written to disk.
    pub private: bool,
    /// The folder of the writer's own voices.
    pub prompts: Prompts,
    /// The home folder, for `~`.
    pub home: Option<PathBuf>,
    /// The image model's styles, for completion.
    pub styles: Vec<String>,
    /// The names of the catalogue's models and of backends, for completion.
    pub models: Vec<String>,
    /// The servers on this machine, for completion; None if the network must not be used.
    pub servers: Option<NearbyServers>,
}

/// The application: an engine, the session that is open, and the requests between them.
pub struct Studio {
    engine: Engine,
    setup: Setup,
    /// The loaded model; None until one is loaded.
    about: Option<ModelInfo>,
    /// The engine's capabilities with that model.
    capabilities: Capabilities,
    /// The name under which that model was requested.
    loaded_model: Option<String>,
    session: Session,
    pending: Pending,
}

/// The engine's current activity.
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
    /// The model is thinking before it writes; the number of words in its thoughts so far is
    /// approximate.
    Thinking {
        words: usize,
    },
    /// How many pictures are finished, and the total, which is 0 while unknown.
    Drawing {
        done: usize,
        total: usize,
    },
}

impl Studio {
    /// A studio with an empty story; the session is created on disk with the first text.
    pub fn new(engine: Engine, setup: Setup) -> Studio {
        Studio {
            engine,
            about: None,
            capabilities: Capabilities::default(),
            loaded_model: None,
            session: Session::new(setup.defaults.clone()),
            pending: Pending::default(),
            setup,
        }
    }

    pub fn story(&self) -> &Story {
        &self.session.story
    }

    pub fn settings(&self) -> &Settings {
        &self.session.settings
    }

    pub fn about(&self) -> Option<&ModelInfo> {
        self.about.as_ref()
    }

    /// The engine's capabilities with the loaded model.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// The engine's current activity for this session.
    pub fn work(&self) -> &Work {
        self.pending.work(self.session.id)
    }

    /// The last request, while it waits for its answer.
    pub fn newest_request(&self) -> Option<RequestId> {
        self.pending.newest()
    }

    pub fn last_stats(&self) -> Option<&PassageStats> {
        self.session.last_stats.as_ref()
    }

    pub fn sessions(&self) -> &Sessions {
        &self.setup.sessions
    }

    /// The session's name; None before the first text, and in a private session.
    pub fn session_name(&self) -> Option<&str> {
        self.session.name()
    }

    pub fn is_private(&self) -> bool {
        self.setup.private
    }

    pub fn read_only(&self) -> Option<&str> {
        self.session.read_only()
    }

    /// Whether any record is not on disk yet.
    pub fn has_unsaved(&self) -> bool {
        !self.session.unsaved.is_empty()
    }

    pub fn busy(&self) -> bool {
        *self.work() != Work::Nothing
    }

    /// The continuations that `/gen` is generating or generated last.
    pub fn candidates(&self) -> &[NodeId] {
        &self.session.candidates
    }

    /// Where the last context started in the story: a passage, and a byte in it. None if it
    /// contained the whole story.
    pub fn context_start(&self) -> Option<(NodeId, usize)> {
        self.session.context_start
    }

    /// The list that `/pick` chooses from.
    pub fn listed(&self) -> &[Listed] {
        &self.session.listed
    }

    /// Whether a passage is being generated, as opposed to a model being loaded.
    pub fn writing(&self) -> bool {
        self.session.story.running().is_some()
    }

    pub fn stopper(&self) -> Stop {
        self.engine.stopper()
    }

    pub fn stop(&self) {
        self.engine.stopper().stop();
    }

    /// Requests the model named in the settings.
    pub fn load_model(&mut self) {
        self.load(self.session.settings.model.clone());
    }

    fn load(&mut self, model: String) {
        let work = Work::Loading {
            what: "the model".to_string(),
            done: 0,
            total: None,
        };
        let purpose = Purpose::Load {
            model: model.clone(),
        };
        self.send(Request::Load { model }, purpose, work);
    }

    /// The model that is loaded or being loaded, under its requested name.
    fn requested_model(&self) -> Option<&str> {
        let coming = self.pending.requested_model();
        coming.or(self.loaded_model.as_deref())
    }

    /// Adds records to the story and the journal; see [`Session::record`].
    fn record(&mut self, records: Vec<Record>) -> Result<(), Refusal> {
        self.session.record(records, &self.setup)
    }

    fn sync(&mut self) -> Result<(), Refusal> {
        self.session.sync()
    }

    /// Adds the received text to the story and the journal.
    pub fn flush(&mut self) -> Result<(), Refusal> {
        self.session.flush(&self.setup)
    }

    /// Refuses a command if the loaded model's engine lacks a capability. Before a model is loaded,
    /// nothing is refused.
    fn needs(&self, can: fn(&Capabilities) -> bool, what: &str) -> Result<(), Refusal> {
        match self.about.is_none() || can(&self.capabilities) {
            true => Ok(()),
            false => Err(cannot(&format!(
                "This model's engine cannot {what}; choose another model with /model NAME"
            ))),
        }
    }

    /// Submits a request, which stops any prefetch.
    fn send(&mut self, request: Request, purpose: Purpose, work: Work) {
        if self.pending.read_ahead.take().is_some() {
            self.engine.stopper().stop();
        }
        let id = self.engine.submit(request);
        let session = self.session.id;
        self.pending.add(InFlight {
            id,
            session,
            purpose,
            work,
        });
    }

    /// Runs a command.
    pub fn run(&mut self, command: Command) -> Result<Outcome, Refusal> {
        if !command.works_while_busy() && (self.writing() || self.drawing()) {
            return Err(Refusal::Busy);
        }
        match command {
            Command::Write(text) => self.write(&text, Author::User),
            Command::Complete(completion) => self.complete(*completion),
            Command::Illustrate(request) => self.illustrate(*request),
            Command::Continue(reach) => self.go_on(reach, None),
            Command::Instruct(text) => self.go_on(command::ContinueLength::Default, Some(text)),
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
            Command::Set(Some(name), Some(value)) => self.set(&name, &value),
            Command::Set(name, _) => self.show_settings(name.as_deref()),
            Command::Model(name) => self.model(name),
            Command::Mode(mode) => self.mode(mode),
            Command::System(text) => self.system(text),
            Command::Save(name) => self.save(name),
            Command::SaveWarm { any_size } => self.save_warm(any_size),
            Command::Open(name) => self.open(&name),
            Command::New(name) => self.begin(name.as_deref()),
            Command::Help(topic) => Ok(Outcome::Said(command::help(topic.as_deref())?)),
            Command::Sessions => self.list(),
            Command::Find(words) => Ok(self.find(&words)),
            Command::Tree => Ok(self.tree()),
            Command::Why(place) => self.why(place.as_deref()),
            Command::Diff(a, b) => self.diff(&a, &b),
            Command::Quit => Ok(Outcome::Quit),
        }
    }
}

/// The seed of one passage: SplitMix64 of the session's seed and the passage's number, so that
/// versions differ and a replay is identical.
fn derive(base: u64, id: NodeId) -> u64 {
    sampler::rng::derive(base, id)
}

fn cannot(why: &str) -> Refusal {
    Refusal::Cannot(why.to_string())
}

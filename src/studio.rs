//! The application without a screen. Commands drive a session, an engine and a journal.
//!
//! Every front end calls [`Studio::run`] with the writer's commands and [`Studio::absorb`] with the
//! engine's events, then shows [`Studio::story`]. The studio decides what a command does; the front
//! end decides what the screen looks like.

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

/// Options that the front end passes to the studio: the folder of sessions, and values that a
/// library must not look up by itself, such as the time.
#[derive(Clone)]
pub struct Setup {
    pub sessions: Sessions,
    /// The settings of a new session, resolved from flags, environment and configuration.
    pub defaults: Settings,
    /// The settings that flags and the environment specify. They also override the saved settings
    /// of a session.
    pub asked: SettingOverrides,
    /// The program's name and version, for provenance.
    pub build: String,
    /// The random number from which seeds are derived if the writer has set no seed.
    pub entropy: u64,
    /// Returns the current time in UTC, in the format of RFC 3339.
    pub now: fn() -> String,
    /// The number of daily backups that each session retains; 0 turns backups off.
    pub backups: usize,
    /// Whether the session is private. A private session writes nothing to disk.
    pub private: bool,
    /// The voices and prompt templates, including the writer's own.
    pub prompts: Prompts,
    /// The home folder, which replaces `~` in file names.
    pub home: Option<PathBuf>,
    /// The image model's styles, for completion.
    pub styles: Vec<String>,
    /// The names of backends and of the models in the catalogue, for completion.
    pub models: Vec<String>,
    /// The model servers on this machine, for completion; None if the network must not be used.
    pub servers: Option<NearbyServers>,
}

/// The application: an engine, the open session, and the pending requests to the engine.
pub struct Studio {
    engine: Engine,
    setup: Setup,
    /// Information about the loaded model; None until a model is loaded.
    about: Option<ModelInfo>,
    /// The engine's capabilities with the loaded model.
    capabilities: Capabilities,
    /// The name under which the loaded model was requested.
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
    /// The model is thinking before it writes. `words` is the approximate number of words in its
    /// thoughts so far.
    Thinking {
        words: usize,
    },
    /// Pictures are being drawn. `done` pictures are finished; `total` is the number of pictures,
    /// or 0 while it is unknown.
    Drawing {
        done: usize,
        total: usize,
    },
}

impl Studio {
    /// Creates a studio with an empty story. The session is created on disk when the first text is
    /// added.
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

    /// The id of the newest request that has not been answered yet.
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

    /// The continuations of the last `/gen`, which may still be incomplete.
    pub fn candidates(&self) -> &[NodeId] {
        &self.session.candidates
    }

    /// The start of the last context, as a passage and a byte offset in that passage; None if the
    /// context contained the whole story.
    pub fn context_start(&self) -> Option<(NodeId, usize)> {
        self.session.context_start
    }

    /// The list that `/pick` chooses from.
    pub fn listed(&self) -> &[Listed] {
        &self.session.listed
    }

    /// Whether a passage is being generated. Loading a model does not count.
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

    /// The name under which the newest model was requested, whether the model is loaded or still
    /// loading.
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

    /// Refuses a command if the engine, with the loaded model, lacks the capability `can`. Before a
    /// model is loaded, nothing is refused.
    fn needs(&self, can: fn(&Capabilities) -> bool, what: &str) -> Result<(), Refusal> {
        match self.about.is_none() || can(&self.capabilities) {
            true => Ok(()),
            false => Err(cannot(&format!(
                "This model's engine cannot {what}; choose another model with /model NAME"
            ))),
        }
    }

    /// Submits a request to the engine and stops any prefetch.
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

/// Derives the seed of a passage from the session's seed and the passage's id with SplitMix64. So
/// versions of a passage differ, but a replay is identical.
fn derive(base: u64, id: NodeId) -> u64 {
    sampler::rng::derive(base, id)
}

fn cannot(why: &str) -> Refusal {
    Refusal::Cannot(why.to_string())
}

//! What `/sessions`, `/save`, `/open` and `/new` do: one session takes another's place.

use super::{Notice, Outcome, Refusal, Studio, Work, cannot};
use crate::store::{Journal, Recovered};
use crate::story::message::{Fault, Warm};
use crate::story::record::Ended;
use crate::story::sentence::size;
use crate::story::{Record, Request, Status, Story};

/// More of what a model has read is not kept unasked.
const WARM_LIMIT: u64 = 256_000_000;

impl Studio {
    pub(super) fn list(&self) -> Result<Outcome, Refusal> {
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

    pub(super) fn save(&mut self, name: Option<String>) -> Result<Outcome, Refusal> {
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

    /// Asks the engine for what it has read of the story.
    pub(super) fn save_warm(&mut self, any_size: bool) -> Result<Outcome, Refusal> {
        if self.setup.private {
            return Err(cannot("This session is private: nothing of it is kept"));
        }
        self.ensure_journal()?;
        self.write_unsaved()?;
        self.any_size = any_size;
        self.work = Work::Writing;
        self.ask_engine(Request::Keep);
        Ok(Outcome::Asked)
    }

    /// Keeps what the engine gave out, and says how large it is.
    pub(super) fn kept(&self, warm: Option<Warm>) -> Notice {
        let Some((warm, journal)) = warm.zip(self.journal.as_ref()) else {
            let why = "The model has read nothing of this story yet; there is nothing to keep";
            return Notice::Info(why.to_string());
        };
        let bytes = (warm.bytes.len() + warm.ids.len() * 4) as u64;
        if bytes > WARM_LIMIT && !self.any_size {
            return Notice::Warning(format!(
                "What the model has read takes {}, and more than {} is not kept unasked; /save --warm=any keeps it",
                size(bytes),
                size(WARM_LIMIT)
            ));
        }
        match journal.keep_warm(&self.setup.build, &warm) {
            Ok(bytes) => Notice::Info(format!(
                "Kept what the model has read of {} tokens ({}); opened again, they are not read a second time",
                warm.ids.len(),
                size(bytes)
            )),
            Err(error) => Notice::Error(error.to_string(), Fault::Store),
        }
    }

    /// Gives the engine what it had read of this session, once it has the model for it.
    pub(super) fn warm_up(&mut self) {
        let about = self.about.as_ref().map(|about| about.sha256.as_str());
        let fits = |warm: &mut Warm| Some(warm.model_sha256.as_str()) == about;
        if let Some(warm) = self.warm.take_if(fits) {
            self.ask_engine(Request::Warm(warm));
        }
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
        self.forget_session();
        self.warm = self
            .journal
            .as_ref()
            .and_then(|journal| journal.warm(&self.setup.build));
        self.warm_up();
        match self.story.all_running().to_vec() {
            running if running.is_empty() => {}
            _ if self.read_only().is_some() => self.story.interrupt(),
            running => {
                let end = |node| {
                    Record::End(Ended {
                        node,
                        status: Status::Interrupted,
                        why: None,
                        maker: None,
                        rewound: Vec::new(),
                    })
                };
                self.record(running.into_iter().map(end).collect())?;
            }
        }
        if changed && self.read_only().is_none() {
            self.record(vec![Record::Settings(self.settings.clone())])?;
        }
        if other_model {
            self.load_model();
        }
        let said = match self.too_long() {
            Some(long) => format!("{said}. {long}"),
            None => said,
        };
        Ok(Outcome::Moved(said))
    }

    pub(super) fn begin(&mut self, name: Option<&str>) -> Result<Outcome, Refusal> {
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
        self.forget_session();
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

    /// What was known of the session before this one.
    fn forget_session(&mut self) {
        self.warm = None;
        self.last_stats = None;
        self.listed.clear();
        self.candidates.clear();
        self.afterwards.clear();
        self.begins = None;
        self.held.clear();
        self.recalled.clear();
        self.warned = false;
    }

    /// What must be on disk before another session takes this one's place.
    fn leave(&mut self) -> Result<(), Refusal> {
        self.flush()?;
        if !self.unsaved.is_empty() {
            self.write_unsaved()?;
        }
        self.sync()
    }
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

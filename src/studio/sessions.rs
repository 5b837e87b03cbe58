//! What `/sessions`, `/save`, `/open` and `/new` do: one session takes another's place.

use super::{Outcome, Refusal, Studio, cannot};
use crate::store::{Journal, Recovered};
use crate::story::record::Ended;
use crate::story::{Record, Status, Story};

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
        self.last_stats = None;
        self.listed.clear();
        self.candidates.clear();
        self.afterwards.clear();
        self.begins = None;
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

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

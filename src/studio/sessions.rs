//! Runs the commands `/sessions`, `/save`, `/open` and `/new`.

use super::pending::Purpose;
use super::session::{Opened, Session};
use super::{Notice, Outcome, Refusal, Studio, Work, cannot};
use crate::store::SessionListing;
use story::message::{FailureKind, WarmCache};
use story::sentence::format_bytes;
use story::{Record, Request, Settings};

/// The size in bytes above which a KV cache is saved only on explicit request.
const WARM_LIMIT: u64 = 256_000_000;

impl Studio {
    pub(super) fn list(&mut self) -> Result<Outcome, Refusal> {
        self.session.ensure_place()?;
        let listed = self.setup.sessions.list()?;
        if listed.is_empty() {
            return Ok(Outcome::Said("There are no sessions yet.".to_string()));
        }
        let line = |one: &SessionListing| {
            let name = &one.name;
            let here = if self.session_name() == Some(name) {
                "*"
            } else {
                " "
            };
            let copies = match one.copies {
                0 => "",
                _ => ", with conflicting copies",
            };
            format!("{here} {name}  ({}{copies})", format_bytes(one.bytes))
        };
        let lines: Vec<String> = listed.iter().map(line).collect();
        Ok(Outcome::Said(lines.join("\n")))
    }

    pub(super) fn save(&mut self, name: Option<String>) -> Result<Outcome, Refusal> {
        if self.setup.private {
            return Err(cannot("This session is private and is not saved"));
        }
        self.session.ensure_journal(&self.setup)?;
        self.session.write_unsaved(&self.setup)?;
        self.sync()?;
        let Some(journal) = self.session.journal.as_mut() else {
            return Err(cannot("There is no session to save"));
        };
        if let Some(name) = name.filter(|name| name != journal.name()) {
            journal.rename(&name)?;
        }
        // The file may have been removed since the last record.
        self.session.ensure_place()?;
        let Some(journal) = &self.session.journal else {
            return Err(cannot("There is no session to save"));
        };
        Ok(Outcome::Said(format!(
            "Saved as {} in {}",
            journal.name(),
            journal.path().display()
        )))
    }

    /// Requests the KV cache from the engine, in order to save the cache to disk.
    pub(super) fn save_warm(&mut self, any_size: bool) -> Result<Outcome, Refusal> {
        if self.setup.private {
            return Err(cannot("This session is private and is not saved"));
        }
        self.needs(|can| can.warm_cache, "save its KV cache")?;
        self.session.ensure_journal(&self.setup)?;
        self.session.write_unsaved(&self.setup)?;
        let purpose = Purpose::SaveCache { any_size };
        self.send(Request::SaveCache, purpose, Work::Writing);
        Ok(Outcome::Asked)
    }

    /// Saves the KV cache that the engine returned. Returns a notice that reports the size, or why
    /// nothing was saved.
    pub(super) fn kept(&self, warm: Option<WarmCache>, any_size: bool) -> Notice {
        let Some((warm, journal)) = warm.zip(self.session.journal.as_ref()) else {
            let why = "The KV cache is empty; there is nothing to save";
            return Notice::Info(why.to_string());
        };
        let bytes = (warm.bytes.len() + warm.ids.len() * 4) as u64;
        if bytes > WARM_LIMIT && !any_size {
            return Notice::Warning(format!(
                "The KV cache takes {}, more than the limit of {}; save it anyway with /save --warm=any",
                format_bytes(bytes),
                format_bytes(WARM_LIMIT)
            ));
        }
        match journal.save_warm_cache(&self.setup.build, &warm) {
            Ok(bytes) => Notice::Info(format!(
                "Saved the KV cache of {} tokens ({}); reopening the session will not evaluate them again",
                warm.ids.len(),
                format_bytes(bytes)
            )),
            Err(error) => Notice::Error(error.to_string(), FailureKind::Store),
        }
    }

    /// Restores the KV cache that was saved with this session, if the loaded model is the one that
    /// computed the cache.
    pub(super) fn warm_up(&mut self) {
        let about = self.about.as_ref().map(|about| about.sha256.as_str());
        let fits = |warm: &mut WarmCache| Some(warm.model_sha256.as_str()) == about;
        if let Some(warm) = self.session.warm.take_if(fits) {
            self.send(
                Request::RestoreCache(warm),
                Purpose::RestoreCache,
                Work::Writing,
            );
        }
    }

    /// Saves the open session to disk, then opens the session `name`.
    pub fn open(&mut self, name: &str) -> Result<Outcome, Refusal> {
        let resolved = self.setup.sessions.resolve(name)?;
        if self.session_name() == Some(&resolved) {
            self.session.ensure_place()?;
            return Ok(Outcome::Said(format!("{name} is already open")));
        }
        self.session.close(&self.setup)?;
        let Opened {
            session,
            said,
            settings_changed,
        } = Session::open(&self.setup, name)?;
        let in_place = self.requested_model();
        let in_place = in_place.unwrap_or(&self.session.settings.model);
        let other_model = session.settings.model != in_place;
        self.replace(session);
        self.warm_up();
        self.session.end_interrupted(&self.setup)?;
        if settings_changed && self.read_only().is_none() {
            self.record(vec![Record::Settings(self.session.settings.clone())])?;
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
        self.session.close(&self.setup)?;
        let settings = self.session.settings.clone();
        let session = match name.filter(|_| !self.setup.private) {
            Some(name) => Session::create(&self.setup, name, settings)?,
            None => Session::new(settings),
        };
        self.replace(session);
        // The settings are kept, so the model being loaded is for the new session.
        self.pending.hand_over_models(self.session.id);
        Ok(Outcome::Moved(
            "A new story; write the first line".to_string(),
        ))
    }

    /// Starts an empty story with the given settings. If the settings name a model that is neither
    /// loaded nor being loaded, loads that model.
    pub fn begin_with(&mut self, settings: Settings) -> Result<(), Refusal> {
        self.session.close(&self.setup)?;
        let model = settings.model.clone();
        self.replace(Session::new(settings));
        match self.requested_model() == Some(model.as_str()) {
            true => self.pending.hand_over_models(self.session.id),
            false => self.load_model(),
        }
        Ok(())
    }

    /// Replaces the open session with `session`. Answers to requests of the old session are dropped
    /// when they arrive.
    fn replace(&mut self, session: Session) {
        let id = self.session.id.next();
        let mut remarks = std::mem::take(&mut self.session.remarks);
        remarks.extend(session.remarks);
        self.session = Session {
            id,
            remarks,
            ..session
        };
    }

    /// Returns and clears the notices for the writer about the session's files. Front ends show
    /// these notices after each command and each flush.
    pub fn remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.session.remarks)
    }

    /// Saves everything to disk before the program ends.
    pub fn finish(&mut self) -> Result<(), Refusal> {
        match self.session.read_only() {
            Some(_) => Ok(()),
            None => self.session.close(&self.setup),
        }
    }

    /// Opens the session, or creates it if it does not exist.
    pub fn open_or_begin(&mut self, name: &str) -> Result<Outcome, Refusal> {
        match self.setup.sessions.exists(name) {
            true => self.open(name),
            false => self.begin(Some(name)),
        }
    }
}

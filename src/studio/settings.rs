//! Runs the commands `/set`, `/model`, `/mode` and `/system`.

use super::{Outcome, Refusal, Studio, cannot};
use crate::engine::remote::Backends;
use base::untrusted::clean;
use story::sampling::{self, SETTINGS};
use story::{Mode, Record, Settings};

impl Studio {
    /// Shows the setting `name`, or all settings if `name` is None.
    pub(super) fn show_settings(&self, name: Option<&str>) -> Result<Outcome, Refusal> {
        let sampling = &self.session.settings.sampling;
        if let Some(name) = name {
            let setting = sampling::find(name).map_err(|error| cannot(&error.to_string()))?;
            let value = setting.get(sampling);
            return Ok(Outcome::Said(format!(
                "{} {value}\n  {}",
                setting.name, setting.help
            )));
        }
        let line = |setting: &sampling::Setting| {
            let usage = format!("{} {}", setting.name, setting.get(sampling));
            format!("  {usage:<34} {}", setting.help)
        };
        let lines: Vec<String> = SETTINGS.iter().map(line).collect();
        Ok(Outcome::Said(lines.join("\n")))
    }

    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<Outcome, Refusal> {
        let mut settings = self.session.settings.clone();
        let setting = sampling::find(name).map_err(|error| cannot(&error.to_string()))?;
        let set = setting.set(&mut settings.sampling, value);
        set.map_err(|error| cannot(&error.to_string()))?;
        let said = format!("{} is {}", setting.name, setting.get(&settings.sampling));
        self.change(settings)?;
        Ok(Outcome::Said(said))
    }

    pub(super) fn model(&mut self, name: Option<String>) -> Result<Outcome, Refusal> {
        let Some(name) = name else {
            let Some(about) = self.about() else {
                return Ok(Outcome::Said("No model is loaded yet.".to_string()));
            };
            return Ok(Outcome::Said(format!(
                "{} ({}, {} tokens of context, {})\n  sha256 {}",
                about.name, about.architecture, about.context, about.backend, about.sha256
            )));
        };
        if let Some(why) = Backends::problem_with(&name) {
            return Err(cannot(&why));
        }
        self.load(name.clone());
        Ok(Outcome::Said(format!("Loading {}", clean(&name))))
    }

    /// Records the loaded model in the session's settings. A model that fails to load is not
    /// recorded.
    pub(super) fn settle_model(&mut self, model: String) -> Result<(), Refusal> {
        if model == self.session.settings.model {
            return Ok(());
        }
        self.change(Settings {
            model,
            ..self.session.settings.clone()
        })
    }

    pub(super) fn mode(&mut self, mode: Option<String>) -> Result<Outcome, Refusal> {
        let Some(word) = mode else {
            return Ok(Outcome::Said(format!(
                "The mode is {}",
                self.session.settings.mode.name()
            )));
        };
        let mode = Mode::parse(&word);
        let mode =
            mode.ok_or_else(|| cannot("The mode must be prose or chat, for example /mode chat"))?;
        if mode == Mode::Chat && self.about().is_some_and(|about| !about.chat) {
            return Err(cannot(
                "This model has no chat template, so its mode is prose",
            ));
        }
        self.change(Settings {
            mode,
            ..self.session.settings.clone()
        })?;
        let note = match mode {
            Mode::Prose => "The mode is prose: the model continues the text",
            Mode::Chat => "The mode is chat: each line is a turn, and the model answers",
        };
        Ok(Outcome::Said(note.to_string()))
    }

    pub(super) fn system(&mut self, text: Option<String>) -> Result<Outcome, Refusal> {
        let Some(text) = text else {
            let said = match self.session.settings.system.as_str() {
                "" => "No system message is set; set it with /system TEXT".to_string(),
                text => text.to_string(),
            };
            return Ok(Outcome::Said(said));
        };
        let system = match text.as_str() {
            "none" | "off" => String::new(),
            text => clean(text).into_owned(),
        };
        let said = match system.is_empty() {
            true => "Removed the system message",
            false => "Set the system message; it is placed before the story",
        };
        self.change(Settings {
            system,
            ..self.session.settings.clone()
        })?;
        Ok(Outcome::Said(said.to_string()))
    }

    /// Changes the settings. If the session is already on disk, also records the settings in the
    /// journal.
    pub(super) fn change(&mut self, settings: Settings) -> Result<(), Refusal> {
        self.session.settings = settings.clone();
        match self.session_name() {
            Some(_) => self.record(vec![Record::Settings(settings)]),
            None => Ok(()),
        }
    }
}

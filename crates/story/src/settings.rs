//! A session's settings: mode, system message, model and sampling.

use super::Sampling;
use super::sampling::{self, SettingError};
use serde::{Deserialize, Serialize};

/// How the story is presented to the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The model continues the plain text.
    #[default]
    Prose,
    /// The story is a series of turns in the model's chat template.
    Chat,
}

/// A session's settings, written to its journal whenever they change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub mode: Mode,
    /// The system message. In prose mode it is placed before the story.
    pub system: String,
    /// The model's name in the catalogue, or the path of its file. Empty for the default model.
    pub model: String,
    pub sampling: Sampling,
}

/// Settings from the command line, which override the settings of the session and of the
/// configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettingOverrides {
    pub model: Option<String>,
    pub mode: Option<Mode>,
    pub system: Option<String>,
    /// The sampling settings as pairs of a name and a value, written as for `/set`.
    pub sampling: Vec<(String, String)>,
}

impl SettingOverrides {
    /// Returns `settings` with the overrides applied.
    pub fn apply_to(&self, mut settings: Settings) -> Result<Settings, SettingError> {
        if let Some(model) = &self.model {
            settings.model.clone_from(model);
        }
        if let Some(mode) = self.mode {
            // If no setting was chosen, the mode's defaults apply.
            if mode == Mode::Chat
                && settings.mode != mode
                && settings.sampling == Sampling::default()
            {
                settings.sampling = Sampling::chat();
            }
            settings.mode = mode;
        }
        if let Some(system) = &self.system {
            settings.system.clone_from(system);
        }
        for (name, value) in &self.sampling {
            sampling::set(&mut settings.sampling, name, value)?;
        }
        Ok(settings)
    }
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Prose => "prose",
            Mode::Chat => "chat",
        }
    }

    pub fn parse(word: &str) -> Option<Mode> {
        match word.to_lowercase().as_str() {
            "prose" | "story" => Some(Mode::Prose),
            "chat" => Some(Mode::Chat),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stands_above_and_the_rest_stays() {
        let session = Settings {
            system: "Be brief.".to_string(),
            sampling: Sampling {
                top_k: 5,
                ..Sampling::default()
            },
            ..Settings::default()
        };
        let asked = SettingOverrides {
            mode: Some(Mode::Chat),
            sampling: vec![("temperature".to_string(), "0.1".to_string())],
            ..SettingOverrides::default()
        };
        let settings = asked.apply_to(session).unwrap();
        assert_eq!(
            (settings.mode, settings.system.as_str()),
            (Mode::Chat, "Be brief.")
        );
        assert_eq!(
            (settings.sampling.temperature, settings.sampling.top_k),
            (0.1, 5)
        );
        let fresh = asked.apply_to(Settings::default()).unwrap();
        assert_eq!(fresh.sampling.top_k, Sampling::chat().top_k);
    }
}

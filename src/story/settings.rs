//! What a writer can set: the mode, the system text, the model and the sampling.

use super::Sampling;
use serde::{Deserialize, Serialize};

/// How the story is put to the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The text as it stands; the model writes on.
    #[default]
    Prose,
    /// Turns in the model's own chat template.
    Chat,
}

/// A session's settings, written to its journal whenever they change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub mode: Mode,
    /// The system message in chat; in prose it stands before the story.
    pub system: String,
    /// A catalogue name or a path; empty for the default model.
    pub model: String,
    pub sampling: Sampling,
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

//! One setting: its names, its values, and how they are parsed and formatted.

use super::Sampling;

/// A setting.
#[derive(Debug)]
pub struct Setting {
    /// The canonical name, which is also the name of the field.
    pub name: &'static str,
    /// Other common names for the setting.
    pub aliases: &'static [&'static str],
    /// The values that the setting takes, worded to follow "takes" in an error.
    pub args: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// The value that `off` stands for, if any.
    pub off: Option<&'static str>,
    pub(super) get: fn(&Sampling) -> String,
    /// Parses and stores a value. Returns None, and changes nothing, if the value is invalid.
    pub(super) set: fn(&mut Sampling, &str) -> Option<()>,
}

/// Why a setting was not set, in a sentence for the writer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    #[error("unknown setting {name:?}; did you mean {nearest}?")]
    Near { name: String, nearest: &'static str },
    #[error("unknown setting {name:?}; /set lists all settings")]
    Unknown { name: String },
    #[error("{name} takes {args}, not {value:?}")]
    Value {
        name: &'static str,
        args: &'static str,
        value: String,
    },
}

impl Setting {
    /// The value as text that [`Setting::set`] accepts.
    pub fn get(&self, sampling: &Sampling) -> String {
        (self.get)(sampling)
    }

    /// Parses `value` and stores it; on an error nothing changes.
    pub fn set(&self, sampling: &mut Sampling, value: &str) -> Result<(), SettingError> {
        let value = value.trim();
        let given = match self.off {
            Some(off) if matches!(key(value).as_str(), "off" | "none") => off,
            _ => value,
        };
        (self.set)(sampling, given).ok_or_else(|| SettingError::Value {
            name: self.name,
            args: self.args,
            value: short(value),
        })
    }
}

/// Normalizes a name for comparison.
pub(super) fn key(name: &str) -> String {
    let name = name.trim().chars().filter(|c| !matches!(c, '-' | '_'));
    name.flat_map(char::to_lowercase).collect()
}

/// Shortens typed text for an error message, since it may be a pasted page.
pub(super) fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

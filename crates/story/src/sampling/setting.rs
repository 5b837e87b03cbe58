//! One setting: its names, its values, and how they are parsed and formatted.

use super::Sampling;

/// One setting of the samplers.
#[derive(Debug)]
pub struct Setting {
    /// The canonical name, which is also the name of the field in [`Sampling`].
    pub name: &'static str,
    /// Other common names for the setting.
    pub aliases: &'static [&'static str],
    /// A phrase that describes the accepted values. It follows the word "takes" in error messages.
    pub args: &'static str,
    /// A one-line help text.
    pub help: &'static str,
    /// The value that `off` stands for, if any.
    pub off: Option<&'static str>,
    pub(super) get: fn(&Sampling) -> String,
    /// Parses and stores a value. Returns None, and changes nothing, if the value is invalid.
    pub(super) set: fn(&mut Sampling, &str) -> Option<()>,
}

/// The reason why a setting was not changed, as a message for the writer.
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

    /// Parses `value` and stores it. If `value` is invalid, nothing changes.
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

/// Normalizes a name for comparison: removes hyphens and underscores, and converts it to lower
/// case.
pub(super) fn key(name: &str) -> String {
    let name = name.trim().chars().filter(|c| !matches!(c, '-' | '_'));
    name.flat_map(char::to_lowercase).collect()
}

/// Shortens typed text to 40 characters for an error message, since a writer may have pasted a long
/// text.
pub(super) fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

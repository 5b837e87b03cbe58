//! The secret key for a model server. It is never printed.

use std::fmt;

/// The secret key for a model server.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// Creates a key from the contents of an environment variable or file. Returns `None` if the
    /// key is empty or not valid in an HTTP header.
    pub fn new(text: &str) -> Option<Key> {
        let text = text.trim();
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Key(text.to_string()))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns `text` without the key, in case a server's message repeats it.
    pub(crate) fn strike_from(&self, text: &str) -> String {
        text.replace(&self.0, "(the key)")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_shown() {
        let key = Key::new(" sk-123\n").unwrap();
        assert_eq!(format!("{key:?}"), "Key(hidden)");
        assert_eq!(key.reveal(), "sk-123");
        assert_eq!(key.strike_from("wrong key sk-123"), "wrong key (the key)");
        assert!(Key::new("a\r\nHost: b").is_none() && Key::new("  ").is_none());
    }
}

//! A server's key, which nothing prints.

use std::fmt;

/// The key of a server.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// A key as a variable or a file holds it; None if it is empty or cannot be part of a header.
    pub fn new(text: &str) -> Option<Key> {
        let text = text.trim();
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Key(text.to_string()))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// The text without the key, in case a server repeats it.
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

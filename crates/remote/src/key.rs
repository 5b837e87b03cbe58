//! A server's key, which is never printed.

use std::fmt;

/// A server's key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// A key from a variable or file; `None` if it is empty or not valid in a header.
    pub fn new(text: &str) -> Option<Key> {
        let text = text.trim();
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Key(text.to_string()))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Removes the key from a text, in case a server repeats it.
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

//! A key of a lore entry: words, or a regex between slashes.

use regex::{Regex, RegexBuilder};

/// A compiled key.
#[derive(Debug)]
pub enum Key {
    Words {
        lower: String,
        exact: String,
        whole: bool,
        case: bool,
    },
    Pattern(Regex),
}

/// The memory limit of a regex; a malicious one is rejected.
const LARGEST: usize = 1 << 20;

impl Key {
    /// Parses a key. A regex that cannot run in linear time (look-around, back-references) is an
    /// error.
    pub fn new(key: &str, case: bool, whole: bool, regex: bool) -> Result<Key, String> {
        let slashed = key.strip_prefix('/').and_then(|rest| rest.rsplit_once('/'));
        match slashed {
            Some((pattern, flags)) if flags.chars().all(|c| "gimsuy".contains(c)) => {
                compile_pattern(pattern, flags.contains('i'), flags)
            }
            _ if regex => compile_pattern(key, !case, ""),
            _ => Ok(Key::Words {
                lower: key.trim().to_lowercase(),
                exact: key.trim().to_string(),
                whole,
                case,
            }),
        }
    }

    /// Whether the key occurs in the text; `lower` is the text in lower case.
    pub fn is_in(&self, text: &str, lower: &str) -> bool {
        match self {
            Key::Pattern(pattern) => pattern.is_match(text),
            Key::Words { exact, .. } if exact.is_empty() => false,
            Key::Words {
                lower: words,
                exact,
                whole,
                case,
            } => {
                let (text, words) = if *case { (text, exact) } else { (lower, words) };
                match whole {
                    // As in SillyTavern, keys of several words match inside longer words too.
                    true if !words.contains(char::is_whitespace) => contains_word(text, words),
                    _ => text.contains(words.as_str()),
                }
            }
        }
    }
}

fn compile_pattern(pattern: &str, ignore_case: bool, flags: &str) -> Result<Key, String> {
    // JavaScript escapes the slash with a backslash.
    let pattern = pattern.replace("\\/", "/");
    RegexBuilder::new(&pattern)
        .case_insensitive(ignore_case)
        .multi_line(flags.contains('m'))
        .dot_matches_new_line(flags.contains('s'))
        .size_limit(LARGEST)
        .build()
        .map(Key::Pattern)
        .map_err(|_| {
            let short: String = pattern.chars().take(40).collect();
            format!("the key /{short}/ is not a valid regex, or not one that runs in linear time")
        })
}

fn contains_word(text: &str, word: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
    text.match_indices(word).any(|(at, _)| {
        edge(text[..at].chars().next_back()) && edge(text[at + word.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_in(key: &str, case: bool, whole: bool, text: &str) -> bool {
        let key = Key::new(key, case, whole, false).unwrap();
        key.is_in(text, &text.to_lowercase())
    }

    #[test]
    fn words_are_found_as_the_entry_says() {
        assert!(is_in("Rose", false, false, "The primrose path"));
        assert!(!is_in("Rose", false, true, "The primrose path"));
        assert!(is_in("rose", false, true, "A Rose, red."));
        assert!(!is_in("rose", true, true, "A Rose, red."));
        assert!(is_in("red rose", false, true, "hundred roses"));
        assert!(!is_in("", false, false, "anything"));
    }

    #[test]
    fn patterns_stand_between_slashes() {
        assert!(is_in("/dra(gon|ke)/i", false, false, "A Drake!"));
        assert!(!is_in("/dra(gon|ke)/", false, false, "A Drake!"));
        assert!(is_in("/and\\/or/", false, false, "and/or"));
        let error = Key::new("/(?<=a)b/", false, false, false).unwrap_err();
        assert!(error.contains("(?<=a)b"), "{error}");
        assert!(Key::new("/(a{1000}){1000}{1000}/", false, false, false).is_err());
    }
}

//! Searches a text for the keys of lore entries. The effort is limited, because a lorebook can have
//! many thousands of keys.

use super::haystack::Haystack;
use super::key::{Key, Occurs};
use super::{KeyLogic, LoreEntry};
use crate::card::Macros;
use base::untrusted::clean_line;

/// The compiled keys of one entry.
#[derive(Default)]
pub(super) struct EntryKeys {
    first: Vec<NamedKey>,
    second: Vec<NamedKey>,
    never: Vec<NamedKey>,
}

struct NamedKey {
    name: String,
    key: Result<Key, String>,
}

pub(super) enum KeyMatch {
    Matched(String),
    NotMatched,
    /// A primary key matched but a rule rejects the entry, or a key cannot be searched for.
    Blocked(String),
}

/// The maximum number of regexes in one scan. It is limited because each regex takes memory.
const MOST_PATTERNS: usize = 2000;
/// The maximum number of bytes that backtracking regexes may search in one scan.
const MOST_BACKTRACKED: usize = 8 << 20;
/// The number of stopped regexes after which all backtracking regexes are skipped.
const MOST_STOPPED: usize = 3;

/// Matches keys, and adds up the cost of doing so.
#[derive(Default)]
pub(super) struct KeyMatcher {
    patterns: usize,
    backtracked: usize,
    stopped: usize,
}

impl KeyMatcher {
    pub fn prepare(&mut self, entry: &LoreEntry, macros: Option<&Macros>) -> EntryKeys {
        let case = entry.case_sensitive.unwrap_or(false);
        let whole = entry.whole_words.unwrap_or(false);
        let mut prepare = |keys: &[String]| -> Vec<NamedKey> {
            let prepare = |key: &String| {
                let name = match macros {
                    Some(macros) if key.contains("{{") => macros.expand(key),
                    _ => key.clone(),
                };
                let key = match self.patterns {
                    MOST_PATTERNS.. if name.starts_with('/') || entry.use_regex => Err(format!(
                        "there are more than {MOST_PATTERNS} regexes; turn some of them off"
                    )),
                    _ => Key::new(&name, case, whole, entry.use_regex),
                };
                let words = matches!(key, Ok(Key::Words { .. }));
                self.patterns += usize::from(!words);
                NamedKey { name, key }
            };
            keys.iter().map(prepare).collect()
        };
        EntryKeys {
            first: prepare(&entry.keys),
            second: prepare(&entry.secondary),
            never: prepare(&entry.never),
        }
    }

    /// Whether any of the entry's keys occurs in the text.
    pub fn any_occurs(&mut self, keys: &EntryKeys, text: &Haystack) -> bool {
        let all = [&keys.first, &keys.second, &keys.never];
        let mut all = all.into_iter().flatten();
        all.any(|key| self.occurs(key, text) == Ok(true))
    }

    fn occurs(&mut self, key: &NamedKey, text: &Haystack) -> Result<bool, String> {
        let named = |why: &str| format!("the key {} {why}", clean_line(&key.name));
        let compiled = key.key.as_ref().map_err(Clone::clone)?;
        if matches!(compiled, Key::Backtracking(_)) {
            self.backtracked += text.text.len().min(Key::BACKTRACKED_TEXT);
            if self.stopped >= MOST_STOPPED || self.backtracked > MOST_BACKTRACKED {
                return Err(named("was skipped, since other regexes took too long"));
            }
        }
        match compiled.is_in(text) {
            Occurs::Yes => Ok(true),
            Occurs::No => Ok(false),
            Occurs::Stopped => {
                self.stopped += 1;
                Err(named("takes too long to match; simplify its regex"))
            }
        }
    }

    pub fn matches(&mut self, entry: &LoreEntry, keys: &EntryKeys, text: &Haystack) -> KeyMatch {
        let mut broken = None;
        let mut found = |keys: &[NamedKey]| -> Vec<String> {
            let mut found = Vec::new();
            for key in keys {
                match self.occurs(key, text) {
                    Ok(true) => found.push(key.name.clone()),
                    Ok(false) => {}
                    Err(why) => broken = Some(why),
                }
            }
            found
        };
        let first = found(&keys.first);
        let Some(key) = first.first() else {
            return broken.map_or(KeyMatch::NotMatched, KeyMatch::Blocked);
        };
        let second = found(&keys.second);
        if let Some(other) = found(&keys.never).first() {
            let (key, other) = (clean_line(key), clean_line(other));
            return KeyMatch::Blocked(format!("\"{key}\" matched, but so did \"{other}\""));
        }
        decide(entry, key, &second)
    }
}

/// Decides whether the entry matches, according to its logic for secondary keys. `second` contains
/// the secondary keys that occur.
fn decide(entry: &LoreEntry, key: &str, second: &[String]) -> KeyMatch {
    if !entry.selective || entry.secondary.is_empty() {
        return KeyMatch::Matched(key.to_string());
    }
    let all = second.len() == entry.secondary.len();
    let (yes, why) = match entry.logic {
        KeyLogic::AndAny => (!second.is_empty(), "none of its secondary keys matched"),
        KeyLogic::AndAll => (all, "not all of its secondary keys matched"),
        KeyLogic::NotAny => (second.is_empty(), "one of its secondary keys matched"),
        KeyLogic::NotAll => (!all, "all of its secondary keys matched"),
    };
    match (yes, second.first()) {
        (true, Some(other)) => KeyMatch::Matched(format!("{key} + {other}")),
        (true, None) => KeyMatch::Matched(key.to_string()),
        (false, _) => KeyMatch::Blocked(format!("\"{}\" matched, but {why}", clean_line(key))),
    }
}

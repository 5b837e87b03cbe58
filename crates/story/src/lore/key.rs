//! A key of a lore entry: words, or a regex between slashes.
//!
//! Words match regardless of how their accents are stored and, unless the entry is case-sensitive,
//! regardless of case. As in SillyTavern, a regex is a JavaScript regex with any of the flags
//! `gimsuy`. A key that only looks like a regex is matched as words.

use super::haystack::Haystack;
use super::javascript::{Engine, Flags, Untranslated, translate};
use base::search::{composed, folded_letters, spellings};
use regex::{Regex, RegexBuilder};
use std::sync::LazyLock;

/// A compiled key.
#[derive(Debug)]
pub enum Key {
    Words {
        /// The words, folded by [`folded_letters`].
        folded: String,
        /// The words with composed and with decomposed accents.
        exact: [String; 2],
        whole: bool,
        case: bool,
    },
    Pattern(Regex),
    /// A regex with look-around or backreferences. Searching for it can be slow.
    Backtracking(Box<fancy_regex::Regex>),
}

/// Whether a key occurs in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurs {
    Yes,
    No,
    /// The regex was stopped because it took too long.
    Stopped,
}

/// The maximum size of a compiled regex in bytes, as a protection against malicious regexes.
const LARGEST: usize = 1 << 18;
/// The maximum length of a regex, in bytes.
const LONGEST: usize = 4096;
/// A regex may backtrack this many times for each byte of [`Key::BACKTRACKED_TEXT`].
const STEPS_PER_BYTE: usize = 12;

impl Key {
    /// The number of bytes at the end of a text that a backtracking regex searches.
    pub(super) const BACKTRACKED_TEXT: usize = 8 << 10;

    /// Parses a key.
    pub fn new(key: &str, case: bool, whole: bool, regex: bool) -> Result<Key, String> {
        match split_pattern(key) {
            Some((pattern, flags)) => compile_pattern(pattern, flags),
            None if regex => {
                let flags = Flags {
                    ignore_case: !case,
                    ..Flags::default()
                };
                compile_pattern(key, flags)
            }
            None => Ok(Key::Words {
                folded: folded_letters(key.trim()),
                exact: spellings(key.trim()),
                whole,
                case,
            }),
        }
    }

    /// Whether the key occurs in the text. A regex may match the original text or its copy with
    /// composed accents.
    pub(super) fn is_in(&self, text: &Haystack) -> Occurs {
        let mut forms = [Some(&text.text), text.composed.as_ref()]
            .into_iter()
            .flatten();
        let found = match self {
            Key::Pattern(pattern) => forms.any(|text| pattern.is_match(text)),
            Key::Backtracking(pattern) => {
                let mut found = forms.map(|text| backtrack(pattern, text));
                let first = found.next().unwrap_or(Occurs::No);
                return found.fold(first, |found, next| match found {
                    Occurs::No => next,
                    Occurs::Yes | Occurs::Stopped => found,
                });
            }
            Key::Words { folded, .. } if folded.is_empty() => false,
            Key::Words {
                folded: words,
                whole,
                case: false,
                ..
            } => contains(&text.folded, words, *whole),
            Key::Words { exact, whole, .. } => exact
                .iter()
                .any(|words| contains(&text.text, words, *whole)),
        };
        if found { Occurs::Yes } else { Occurs::No }
    }

    /// Returns a remark for the writer if a key is not matched in the way that its form suggests;
    /// None for most keys.
    pub fn remark(key: &str) -> Option<String> {
        let short = || shortened(key);
        if let Some((_, flags)) = split_pattern(key) {
            return flags.sticky.then(|| {
                format!(
                    "the key {} has the flag y, so it matches only at the beginning",
                    short()
                )
            });
        }
        let (pattern, flags) = key.strip_prefix('/')?.rsplit_once('/')?;
        let meant = !pattern.is_empty()
            && !flags.is_empty()
            && flags.len() <= 8
            && flags.chars().all(|c| "dgimsuvxy".contains(c));
        meant.then(|| {
            format!(
                "the key {} is matched as words, since it is not a valid regex in SillyTavern (flags: gimsuy)",
                short()
            )
        })
    }
}

/// Returns the pattern and the flags of a regex between slashes; None if the key is not a regex. A
/// slash inside the pattern must be escaped.
fn split_pattern(key: &str) -> Option<(&str, Flags)> {
    let (pattern, flags) = key.strip_prefix('/')?.rsplit_once('/')?;
    let mut escaped = false;
    for c in pattern.chars() {
        if c == '/' && !escaped {
            return None;
        }
        escaped = c == '\\' && !escaped;
    }
    Some((pattern, Flags::parse(flags)?)).filter(|_| !pattern.is_empty())
}

fn shortened(key: &str) -> String {
    key.chars().take(40).collect()
}

fn compile_pattern(pattern: &str, flags: Flags) -> Result<Key, String> {
    // The text is also searched with composed accents, so this finds decomposed ones too.
    let pattern = &*composed(pattern);
    let wrong = |why: &str| {
        format!(
            "the key /{}/ is not a valid regex: {why}",
            shortened(pattern)
        )
    };
    if pattern.len() > LONGEST {
        return Err(wrong("it is too long"));
    }
    let too_large = || wrong("it is too large, or illumine does not support it");
    match translate(pattern, flags, Engine::Linear) {
        Err(Untranslated::Invalid(why)) => Err(wrong(why)),
        Ok(linear) => RegexBuilder::new(&linear)
            .case_insensitive(flags.ignore_case)
            .size_limit(LARGEST)
            .dfa_size_limit(LARGEST)
            .build()
            .map(Key::Pattern)
            .map_err(|_| too_large()),
        Err(Untranslated::NeedsBacktracking) => {
            let hard = match translate(pattern, flags, Engine::Backtracking) {
                Ok(hard) => hard,
                Err(Untranslated::Invalid(why)) => return Err(wrong(why)),
                Err(Untranslated::NeedsBacktracking) => return Err(too_large()),
            };
            fancy_regex::RegexBuilder::new(&hard)
                .case_insensitive(flags.ignore_case)
                .backtrack_limit(Key::BACKTRACKED_TEXT * STEPS_PER_BYTE)
                .delegate_size_limit(LARGEST)
                .delegate_dfa_size_limit(LARGEST)
                .build()
                .map(|pattern| Key::Backtracking(Box::new(pattern)))
                .map_err(|_| too_large())
        }
    }
}

fn backtrack(pattern: &fancy_regex::Regex, text: &str) -> Occurs {
    let from = text.len().saturating_sub(Key::BACKTRACKED_TEXT);
    let from = (from..=text.len()).find(|at| text.is_char_boundary(*at));
    match pattern.is_match(&text[from.unwrap_or(0)..]) {
        Ok(true) => Occurs::Yes,
        Ok(false) => Occurs::No,
        Err(_) => Occurs::Stopped,
    }
}

fn contains(text: &str, words: &str, whole: bool) -> bool {
    match whole {
        // As in SillyTavern, keys of several words match inside longer words too.
        true if !words.contains(char::is_whitespace) => contains_word(text, words),
        _ => text.contains(words),
    }
}

/// Matches a character of a writing system that puts no spaces between words or that attaches
/// endings to words.
static UNSPACED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let scripts = "[\\p{Han}\\p{Hiragana}\\p{Katakana}\\p{Hangul}\\p{Bopomofo}\\p{Yi}\\p{Thai}\\p{Lao}\
        \\p{Khmer}\\p{Myanmar}\\p{Tibetan}\\p{Balinese}\\p{Javanese}\\p{Tai_Tham}\\p{New_Tai_Lue}\\x{30fc}]";
    Regex::new(scripts).ok()
});

fn is_unspaced(c: char) -> bool {
    let spaced = c < '\u{e00}';
    let pattern = UNSPACED.as_ref().filter(|_| !spaced);
    pattern.is_some_and(|pattern| pattern.is_match(c.encode_utf8(&mut [0; 4])))
}

/// Whether `word` occurs in `text` between word boundaries. In a writing system without spaces,
/// every position is a word boundary.
fn contains_word(text: &str, word: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    let edge = |inner: Option<char>, outer: Option<char>| {
        let joined = |(inner, outer): (char, char)| {
            letter(inner) && letter(outer) && !is_unspaced(inner) && !is_unspaced(outer)
        };
        !inner.zip(outer).is_some_and(joined)
    };
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        edge(word.chars().next(), before.chars().next_back())
            && edge(word.chars().next_back(), after.chars().next())
    })
}

#[cfg(test)]
mod tests;

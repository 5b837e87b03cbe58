//! Banned phrases, and the search for them in text that is being generated.

use base::search::spellings;
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A banned phrase or regex, and the strength of the ban.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ban {
    /// The banned words, or a regex between slashes. Upper and lower case are not distinguished.
    pub phrase: String,
    /// The amount subtracted once from the logit of the phrase's first token. None bans the phrase
    /// entirely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<f32>,
}

/// A list of bans, compiled for searching.
#[derive(Debug, Default)]
pub struct Bans {
    words: Vec<(usize, String)>,
    patterns: Vec<(usize, Regex)>,
}

/// At most this many bytes at the end of a text are held back because they may be the beginning of
/// a regex match.
pub const REACH: usize = 80;
const LARGEST: usize = 1 << 20;

/// The highest strength of a ban. A larger number at the end of the input, such as a year, belongs
/// to the phrase.
const STRONGEST: f32 = 100.0;

/// The reason why a phrase cannot be banned, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BanError(String);

impl Ban {
    /// Parses `PHRASE` or `/REGEX/`, optionally followed by a strength.
    pub fn parse(text: &str) -> Result<Ban, BanError> {
        let text = text.trim();
        let (phrase, strength) = match text.rsplit_once(' ') {
            Some((phrase, number)) if !phrase.trim().is_empty() => {
                let number = number.strip_prefix("strength=").unwrap_or(number);
                match number.parse::<f32>() {
                    // A number this large, such as a year, belongs to the phrase.
                    Ok(strength) if strength > STRONGEST => (text, None),
                    Ok(strength) if strength > 0.0 => (phrase.trim(), Some(strength)),
                    Ok(_) => {
                        return Err(BanError(
                            "The strength must be a number above 0; put quotes around the phrase if the number belongs to it"
                                .into(),
                        ));
                    }
                    Err(_) if text.contains(" strength=") => {
                        return Err(BanError(
                            "The strength must be a number above 0, for example /ban \"a testament to\" 5"
                                .into(),
                        ));
                    }
                    Err(_) => (text, None),
                }
            }
            _ => (text, None),
        };
        let phrase = match quoted(phrase) {
            true => &phrase[1..phrase.len() - 1],
            false => phrase,
        };
        if phrase.trim().is_empty() {
            return Err(BanError(
                "The phrase is missing; for example /ban \"a testament to\"".into(),
            ));
        }
        let ban = Ban {
            phrase: phrase.to_string(),
            strength,
        };
        Bans::new(std::slice::from_ref(&ban)).map(|_| ban)
    }
}

impl std::fmt::Display for Ban {
    /// Formats the ban so that [`Ban::parse`] accepts it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.strength, pattern(&self.phrase)) {
            (None, None) if self.phrase.rsplit(' ').next().is_some_and(number) => {
                write!(f, "\"{}\"", self.phrase)
            }
            (None, _) => write!(f, "{}", self.phrase),
            (Some(strength), Some(_)) => write!(f, "{} {strength}", self.phrase),
            (Some(strength), None) => write!(f, "\"{}\" {strength}", self.phrase),
        }
    }
}

fn number(word: &str) -> bool {
    word.parse::<f32>().is_ok()
}

fn quoted(text: &str) -> bool {
    text.len() >= 2 && text.starts_with('"') && text.ends_with('"')
}

fn pattern(text: &str) -> Option<&str> {
    text.strip_prefix('/')?
        .strip_suffix('/')
        .filter(|p| !p.is_empty())
}

impl Bans {
    pub fn new(bans: &[Ban]) -> Result<Bans, BanError> {
        let mut ready = Bans::default();
        for (index, ban) in bans.iter().enumerate() {
            let Some(pattern) = pattern(&ban.phrase) else {
                let [composed, decomposed] = spellings(&ban.phrase.to_lowercase());
                if decomposed != composed {
                    ready.words.push((index, decomposed));
                }
                ready.words.push((index, composed));
                continue;
            };
            let built = RegexBuilder::new(pattern)
                .case_insensitive(true)
                .size_limit(LARGEST)
                .build();
            let short: String = pattern.chars().take(40).collect();
            let regex = built.map_err(|_| {
                BanError(format!(
                    "/{short}/ is not a valid regex, or not one that runs in linear time"
                ))
            })?;
            let every = ["a", "e", "z"].iter().all(|letter| regex.is_match(letter));
            if every || ["", " "].iter().any(|text| regex.is_match(text)) {
                return Err(BanError(format!(
                    "/{short}/ would ban every text; make it more specific"
                )));
            }
            ready.patterns.push((index, regex));
        }
        Ok(ready)
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty() && self.patterns.is_empty()
    }

    /// Finds the first banned phrase in `text`. Returns the index of the ban and the byte range of
    /// the phrase.
    pub fn find(&self, text: &str) -> Option<(usize, Range<usize>)> {
        let words = self
            .words
            .iter()
            .filter_map(|(index, words)| Some((*index, find_ignoring_case(text, words)?)));
        let patterns = self
            .patterns
            .iter()
            .filter_map(|(index, pattern)| Some((*index, pattern.find(text)?.range())));
        words.chain(patterns).min_by_key(|(_, range)| range.start)
    }

    /// Returns the byte offset at which an unfinished banned phrase at the end of `text` may begin;
    /// the length of `text` if there is none.
    pub fn uncertain_from(&self, text: &str) -> usize {
        let mut from = text.len();
        for (_, words) in &self.words {
            let begins = |at: &usize| begins_ignoring_case(&text[*at..], words);
            let longest = words.len().min(text.len());
            let first = (text.len() - longest..text.len())
                .filter(|at| text.is_char_boundary(*at))
                .find(begins);
            from = from.min(first.unwrap_or(from));
        }
        if !self.patterns.is_empty() {
            let mut back = text.len().saturating_sub(REACH);
            while !text.is_char_boundary(back) {
                back -= 1;
            }
            from = from.min(back);
        }
        from
    }
}

/// Finds `words`, which are in lower case, in `text`, ignoring the case of `text`. Returns the byte
/// range of the match.
fn find_ignoring_case(text: &str, words: &str) -> Option<Range<usize>> {
    text.char_indices().find_map(|(at, _)| {
        let len = matched(&text[at..], words)?;
        Some(at..at + len)
    })
}

/// Returns the length in bytes of the beginning of `text` that matches `words`; None if `text` does
/// not start with `words`.
fn matched(text: &str, words: &str) -> Option<usize> {
    let mut words = words.chars().peekable();
    for (at, c) in text.char_indices() {
        if words.peek().is_none() {
            return Some(at);
        }
        for lower in c.to_lowercase() {
            if words.next() != Some(lower) {
                return None;
            }
        }
    }
    words.peek().is_none().then_some(text.len())
}

/// Whether `text`, in lower case, is a proper prefix of `words`.
fn begins_ignoring_case(text: &str, words: &str) -> bool {
    let mut words = words.chars();
    let same = text
        .chars()
        .flat_map(char::to_lowercase)
        .all(|c| words.next() == Some(c));
    same && words.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bans(phrases: &[&str]) -> Bans {
        let bans: Vec<Ban> = phrases.iter().map(|p| Ban::parse(p).unwrap()).collect();
        Bans::new(&bans).unwrap()
    }

    #[test]
    fn a_phrase_a_pattern_and_a_strength_are_read() {
        let ban = |text: &str| Ban::parse(text).unwrap();
        assert_eq!(ban("a testament to").phrase, "a testament to");
        assert_eq!(
            (
                ban("\"sent shivers\" 2.5").phrase.as_str(),
                ban("\"sent shivers\" 2.5").strength
            ),
            ("sent shivers", Some(2.5))
        );
        assert_eq!(ban("/shivers? down/ 3").strength, Some(3.0));
        assert_eq!(ban("in 1984").strength, None);
        assert_eq!(ban("suddenly 5").strength, Some(5.0));
        assert_eq!(ban("suddenly strength=0.5").phrase, "suddenly");
        for text in ["\"room 5\"", "suddenly 5", "in 1984"] {
            assert_eq!(ban(&ban(text).to_string()), ban(text), "{text}");
        }
        for wrong in [
            "",
            "\"\"  ",
            "/(?=a)/",
            "/a*/",
            "/ /",
            "/\\w/",
            "hush -3",
            "hush strength=x",
        ] {
            assert!(Ban::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_first_phrase_is_found_whatever_its_case() {
        let bans = bans(&["Shivers Down", "/barely above an? \\w+/"]);
        assert_eq!(bans.find("It sent shivers down"), Some((0, 8..20)));
        assert_eq!(bans.find("barely above a whisper"), Some((1, 0..22)));
        assert_eq!(bans.find("shivers"), None);
    }

    #[test]
    fn an_accent_is_banned_however_it_is_stored() {
        for phrase in ["Éclair", "e\u{301}clair"] {
            let bans = bans(&[phrase]);
            assert_eq!(bans.find("an éclair"), Some((0, 3..10)));
            assert_eq!(bans.find("an E\u{301}CLAIR"), Some((0, 3..11)));
            assert_eq!(bans.find("an eclair"), None);
        }
    }

    #[test]
    fn what_may_become_a_phrase_is_uncertain() {
        let words = bans(&["shivers down"]);
        assert_eq!(words.uncertain_from("It sent SHIV"), 8);
        assert_eq!(words.uncertain_from("It sent word"), 12);
        assert_eq!(words.uncertain_from("É s"), 3);
        let pattern = bans(&["/x+y/"]);
        assert_eq!(pattern.uncertain_from(&"é".repeat(100)), 120);
    }
}

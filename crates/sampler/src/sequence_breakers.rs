//! DRY's sequence breakers: texts that end a repeat, so that DRY does not match across them.
//!
//! A breaker may be a token, be part of a token (`:` in `":"`), or extend over several tokens. In
//! the first two cases, the token is looked up in a set; in the third case, the bytes of the
//! growing text are searched. This module handles the text only as tokens and bytes, not as
//! sentences.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The sequence breakers for one vocabulary. Building this type scans every token, so build it only
/// once for each model and list of breakers. Clones are cheap.
#[derive(Clone, Debug, Default)]
pub struct SequenceBreakers(Arc<Found>);

#[derive(Clone, Debug, Default)]
struct Found {
    /// The tokens that contain a whole breaker.
    whole: HashSet<u32>,
    /// The breakers that may extend over several tokens, namely those of two bytes or more.
    long: Vec<Vec<u8>>,
    /// The bytes of every token; empty if no breaker has two bytes or more.
    bytes: HashMap<u32, Vec<u8>>,
}

impl SequenceBreakers {
    /// Returns an empty list of breakers, so that nothing ends a repeat.
    pub fn none() -> SequenceBreakers {
        SequenceBreakers::default()
    }

    /// Finds the tokens of a vocabulary that contain the breakers `strings`. Empty strings are
    /// ignored.
    pub fn new(
        tokens: impl Iterator<Item = (u32, Vec<u8>)>,
        strings: &[String],
    ) -> SequenceBreakers {
        let mut found = Found::default();
        let strings = strings.iter().filter(|string| !string.is_empty());
        let all: Vec<&[u8]> = strings.map(|string| string.as_bytes()).collect();
        let long = all.iter().filter(|text| text.len() > 1);
        found.long = long.map(|text| text.to_vec()).collect();
        for (token, bytes) in tokens {
            if all.iter().any(|text| contains(&bytes, text)) {
                found.whole.insert(token);
            }
            if !found.long.is_empty() {
                found.bytes.insert(token, bytes);
            }
        }
        SequenceBreakers(Arc::new(found))
    }

    /// Adds whole tokens as breakers, for example turn and end tokens, which may be repeated.
    pub fn with_tokens(mut self, tokens: impl IntoIterator<Item = u32>) -> SequenceBreakers {
        Arc::make_mut(&mut self.0).whole.extend(tokens);
        self
    }

    /// Whether the token contains a whole breaker.
    pub fn holds(&self, token: u32) -> bool {
        self.0.whole.contains(&token)
    }

    /// Whether a breaker ends within `token`. `tail` contains the last bytes of the text before the
    /// token; the token's bytes are appended to it.
    pub fn ends(&self, tail: &mut Vec<u8>, token: u32) -> bool {
        let holds = self.holds(token);
        let Some(longest) = self.0.long.iter().map(Vec::len).max() else {
            return holds;
        };
        let Some(bytes) = self.0.bytes.get(&token) else {
            tail.clear();
            return holds;
        };
        let before = tail.len();
        tail.extend(bytes);
        let spread = self.0.long.iter().any(|text| {
            // Search only where a match would end in this token.
            let from = (before + 1).saturating_sub(text.len());
            contains(&tail[from.min(tail.len())..], text)
        });
        tail.drain(..tail.len().saturating_sub(longest - 1));
        holds || spread
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WORDS: [&str; 8] = ["a", " a", "\n", ".\n\n", "**", "*", "<|", "|>\n"];

    fn breakers(strings: &[&str]) -> SequenceBreakers {
        let words = WORDS.iter().map(|word| word.as_bytes().to_vec());
        let strings: Vec<String> = strings.iter().map(|s| s.to_string()).collect();
        SequenceBreakers::new((0..).zip(words), &strings)
    }

    fn ends(breakers: &SequenceBreakers, tokens: &[u32]) -> Vec<bool> {
        let mut tail = Vec::new();
        let each = tokens.iter().map(|token| breakers.ends(&mut tail, *token));
        each.collect()
    }

    #[test]
    fn a_breaker_may_be_a_token_or_stand_inside_one() {
        let breakers = breakers(&["\n"]);
        let holding: Vec<u32> = (0..8).filter(|token| breakers.holds(*token)).collect();
        assert_eq!(holding, [2, 3, 7]);
        assert_eq!(ends(&breakers, &[0, 3, 1]), [false, true, false]);
    }

    #[test]
    fn a_breaker_may_be_spread_over_tokens() {
        // "***" is made of "**" and "*", or of three "*"; not of "*", " a", "**".
        let stars = breakers(&["***"]);
        assert!(!stars.holds(4) && !stars.holds(5));
        assert_eq!(ends(&stars, &[4, 5]), [false, true]);
        assert_eq!(ends(&stars, &[5, 5, 5]), [false, false, true]);
        assert_eq!(ends(&stars, &[5, 1, 4]), [false; 3]);
        // In two "**" it ends in the second; in a "*" after them another one ends.
        assert_eq!(ends(&stars, &[4, 4, 5]), [false, true, true]);
    }

    #[test]
    fn a_spread_breaker_may_end_within_a_token() {
        // "a<|" then "|>\n": the breaker "<||>" ends before the newline does.
        assert_eq!(ends(&breakers(&["<||>"]), &[0, 6, 7]), [false, false, true]);
        // An unknown token separates the text before it from the text after it.
        assert_eq!(ends(&breakers(&["<||>"]), &[6, 99, 7]), [false; 3]);
    }

    #[test]
    fn none_and_empty_strings_break_nothing_and_tokens_can_be_named() {
        assert_eq!(ends(&breakers(&[""]), &[2, 3]), [false, false]);
        assert_eq!(ends(&SequenceBreakers::none(), &[2]), [false]);
        assert_eq!(
            ends(&breakers(&[]).with_tokens([0]), &[0, 2]),
            [true, false]
        );
    }

    proptest! {
        #[test]
        fn found_where_the_text_has_it(
            tokens in prop::collection::vec(0u32..8, 0..30),
            strings in prop::collection::vec("[a\n*<| >]{1,4}", 0..4),
        ) {
            let strings: Vec<&str> = strings.iter().map(String::as_str).collect();
            let got = ends(&breakers(&strings), &tokens);
            let mut text = String::new();
            for (token, got) in tokens.iter().zip(got) {
                let before = text.len();
                text += WORDS[*token as usize];
                // Some breaker's last byte lies in this token.
                let ends = (before + 1..=text.len())
                    .any(|end| strings.iter().any(|s| text[..end].ends_with(s)));
                prop_assert_eq!(got, ends);
            }
        }
    }
}

//! SentencePiece's BPE (Kudo & Richardson 2018): of all neighbours that make a token together,
//! those that make the best-scored one are merged first, the leftmost of equals.
//!
//! The order of merging is that of llama.cpp (`llm_tokenizer_spm_session`). Only a map of the
//! vocabulary is needed, which is why a vocabulary of 262,144 tokens is read in a fraction of the
//! time that a list of its merges would take.

use ahash::AHashMap;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

pub struct SentencePiece {
    /// Tokens that text can become, and how good each is.
    pieces: AHashMap<Box<str>, Piece>,
    /// The token of each byte, for characters that are no token.
    bytes: Box<[Option<u32>; 256]>,
    unknown: Option<u32>,
    /// Whether text begins as if after a space.
    prefix: bool,
}

#[derive(Clone, Copy)]
pub struct Piece {
    pub id: u32,
    pub score: f32,
}

/// A run of text that is one symbol so far, and its neighbours.
struct Symbol {
    start: usize,
    /// 0 when it has been merged into the symbol before.
    len: usize,
    before: Option<usize>,
    after: Option<usize>,
}

/// Two neighbours that make a token.
struct Pair {
    left: usize,
    right: usize,
    score: f32,
    /// The length of both together: when it is no longer so, one of them was merged elsewhere.
    len: usize,
}

impl SentencePiece {
    pub fn new(
        pieces: AHashMap<Box<str>, Piece>,
        bytes: Box<[Option<u32>; 256]>,
        unknown: Option<u32>,
        prefix: bool,
    ) -> SentencePiece {
        SentencePiece {
            pieces,
            bytes,
            unknown,
            prefix,
        }
    }

    pub fn encode(&self, text: &str) -> Vec<u32> {
        let space = if self.prefix { "▁" } else { "" };
        let text = format!("{space}{}", text.replace(' ', "▁"));
        let mut symbols = characters(&text);
        let mut pairs = BinaryHeap::new();
        for right in 1..symbols.len() {
            pairs.extend(self.pair(&text, &symbols, right - 1, right));
        }
        while let Some(pair) = pairs.pop() {
            let (left, right) = (pair.left, pair.right);
            let gone = symbols[left].len == 0 || symbols[right].len == 0;
            if gone || symbols[left].len + symbols[right].len != pair.len {
                continue;
            }
            symbols[left].len = pair.len;
            symbols[right].len = 0;
            let after = symbols[right].after;
            symbols[left].after = after;
            if let Some(after) = after {
                symbols[after].before = Some(left);
                pairs.extend(self.pair(&text, &symbols, left, after));
            }
            if let Some(before) = symbols[left].before {
                pairs.extend(self.pair(&text, &symbols, before, left));
            }
        }
        let whole = symbols.iter().filter(|symbol| symbol.len > 0);
        let mut ids = Vec::new();
        for symbol in whole {
            self.push(&text[symbol.start..symbol.start + symbol.len], &mut ids);
        }
        ids
    }

    fn pair(&self, text: &str, symbols: &[Symbol], left: usize, right: usize) -> Option<Pair> {
        let len = symbols[left].len + symbols[right].len;
        let start = symbols[left].start;
        let piece = self.pieces.get(&text[start..start + len])?;
        Some(Pair {
            left,
            right,
            score: piece.score,
            len,
        })
    }

    fn push(&self, symbol: &str, ids: &mut Vec<u32>) {
        if let Some(piece) = self.pieces.get(symbol) {
            return ids.push(piece.id);
        }
        let bytes = symbol.bytes().map(|byte| self.bytes[usize::from(byte)]);
        ids.extend(bytes.filter_map(|id| id.or(self.unknown)));
    }
}

/// Every character a symbol of its own.
fn characters(text: &str) -> Vec<Symbol> {
    let count = text.chars().count();
    let symbol = |(index, (start, c)): (usize, (usize, char))| Symbol {
        start,
        len: c.len_utf8(),
        before: index.checked_sub(1),
        after: Some(index + 1).filter(|after| *after < count),
    };
    text.char_indices().enumerate().map(symbol).collect()
}

impl Ord for Pair {
    fn cmp(&self, other: &Pair) -> Ordering {
        let score = self.score.total_cmp(&other.score);
        score.then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Pair) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Pair) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Pair {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens in order of their goodness; bytes are 100 and up.
    fn tokenizer(tokens: &[&str], prefix: bool) -> SentencePiece {
        let piece = |(id, token): (usize, &&str)| {
            let (id, score) = (id as u32, -(id as f32));
            (Box::from(*token), Piece { id, score })
        };
        let bytes = Box::new(std::array::from_fn(|byte| Some(100 + byte as u32)));
        let pieces = tokens.iter().enumerate().map(piece).collect();
        SentencePiece::new(pieces, bytes, None, prefix)
    }

    #[test]
    fn the_best_pair_is_merged_first() {
        let better = tokenizer(&["ab", "bc", "a", "b", "c"], false);
        assert_eq!(better.encode("abc"), [0, 4]);
        let better = tokenizer(&["bc", "ab", "a", "b", "c"], false);
        assert_eq!(better.encode("abc"), [2, 0]);
    }

    #[test]
    fn equals_are_merged_from_the_left() {
        assert_eq!(tokenizer(&["aa", "a"], false).encode("aaaaa"), [0, 0, 1]);
    }

    #[test]
    fn spaces_are_written_out_and_one_may_stand_in_front() {
        let tokens = ["▁a", "▁", "a"];
        assert_eq!(tokenizer(&tokens, true).encode("a a"), [0, 0]);
        assert_eq!(tokenizer(&tokens, false).encode("a a"), [2, 0]);
    }

    #[test]
    fn an_unknown_character_becomes_its_bytes() {
        assert_eq!(
            tokenizer(&["a"], false).encode("aé"),
            [0, 100 + 0xc3, 100 + 0xa9]
        );
    }
}

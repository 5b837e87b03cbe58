//! SentencePiece's BPE (Kudo & Richardson 2018). Of all neighbouring pieces that together form a
//! token, the pair whose token has the best score is merged first; among equal scores, the leftmost
//! pair comes first.
//!
//! This needs only a map of the vocabulary and no list of merges. A vocabulary of 262,144 tokens
//! therefore loads in a fraction of the time that a list of merges would take.

use super::merge::merge_pairs;
use super::string_map::StringMap;

pub struct SentencePiece {
    /// The id of each token that text can be split into, by the token's text.
    pieces: StringMap,
    /// The score of each token, by token id.
    scores: Vec<f32>,
    /// The id of the token for each byte. These tokens spell characters that are not tokens
    /// themselves.
    bytes: Box<[Option<u32>; 256]>,
    unknown: Option<u32>,
    /// Whether text is encoded as if a space came before it.
    prefix: bool,
}

impl SentencePiece {
    pub fn new(
        pieces: StringMap,
        scores: Vec<f32>,
        bytes: Box<[Option<u32>; 256]>,
        unknown: Option<u32>,
        prefix: bool,
    ) -> SentencePiece {
        SentencePiece {
            pieces,
            scores,
            bytes,
            unknown,
            prefix,
        }
    }

    pub fn encode(&self, text: &str) -> Vec<u32> {
        let space = if self.prefix { "▁" } else { "" };
        let text = format!("{space}{}", text.replace(' ', "▁"));
        let mut both = String::new();
        let pieces = merge_pairs(&text, |left, right| {
            both.clear();
            both.extend([left, right]);
            let score = self.scores.get(self.pieces.get(&both)? as usize)?;
            Some(in_order(*score))
        });
        let mut ids = Vec::new();
        pieces.for_each(|piece| self.push(piece, &mut ids));
        ids
    }

    fn push(&self, symbol: &str, ids: &mut Vec<u32>) {
        if let Some(id) = self.pieces.get(symbol) {
            return ids.push(id);
        }
        let bytes = symbol.bytes().map(|byte| self.bytes[usize::from(byte)]);
        ids.extend(bytes.filter_map(|id| id.or(self.unknown)));
    }
}

/// Converts a float to an integer such that the integers have the same order as the floats in
/// `f32::total_cmp`.
fn in_order(score: f32) -> i64 {
    let bits = score.to_bits() as i32;
    i64::from(bits ^ (((bits >> 31) as u32) >> 1) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a tokenizer with the given tokens, whose scores decrease from first to last. The ids
    /// of the byte tokens begin at 100.
    fn tokenizer(tokens: &[&str], prefix: bool) -> SentencePiece {
        let bytes = Box::new(std::array::from_fn(|byte| Some(100 + byte as u32)));
        let pieces = StringMap::new(tokens.iter().copied().zip(0..), tokens.len());
        let scores = (0..tokens.len()).map(|id| -(id as f32)).collect();
        SentencePiece::new(pieces, scores, bytes, None, prefix)
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

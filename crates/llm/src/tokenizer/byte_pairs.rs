//! Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019). The `tokenizers` crate splits text
//! into words. In each word, the pair with the best rank in the merge list is merged first; among
//! equal pairs, the leftmost comes first.
//!
//! The crate can also merge, but it resolves every merge when a tokenizer is created, which takes
//! longer than loading the weights of a small model. Here, a merge is looked up only when its two
//! parts occur in the text.

use super::merge::merge_pairs;
use super::string_map::StringMap;
use crate::error::ModelError;
use tokenizers::{
    OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, PreTokenizerWrapper,
};

pub struct BytePairs {
    /// The id of each token, by the token's text.
    pub vocabulary: StringMap,
    /// The rank of each merge. The key is the merge as the merge list writes it: `left right`.
    pub merges: StringMap,
    /// The pre-tokenizer, which splits text into words.
    pub words: PreTokenizerWrapper,
    /// Whether text is normalized to Unicode NFC before it is split.
    pub nfc: bool,
    /// Whether a word that is itself a token is encoded as that token, without merging.
    pub whole_words: bool,
}

impl BytePairs {
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let unusable = |error: tokenizers::Error| ModelError::Tokenize(error.to_string());
        let mut words = PreTokenizedString::from(text);
        if self.nfc {
            let nfc = words.normalize(|text| {
                text.nfc();
                Ok(())
            });
            nfc.map_err(unusable)?;
        }
        self.words.pre_tokenize(&mut words).map_err(unusable)?;
        let mut ids = Vec::new();
        for (word, _, _) in words.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            self.word(word, &mut ids);
        }
        Ok(ids)
    }

    fn word(&self, word: &str, ids: &mut Vec<u32>) {
        if let Some(id) = self.vocabulary.get(word).filter(|_| self.whole_words) {
            return ids.push(id);
        }
        // Characters that are not tokens are dropped.
        let known = |c: &char| self.vocabulary.get(c.encode_utf8(&mut [0; 4])).is_some();
        let word: String = word.chars().filter(known).collect();
        let mut both = String::new();
        let pieces = merge_pairs(&word, |left, right| {
            both.clear();
            both.extend([left, " ", right]);
            let rank = self.merges.get(&both)?;
            both.remove(left.len());
            // A damaged list may contain merges that do not form a token.
            self.vocabulary.get(&both)?;
            Some(-i64::from(rank))
        });
        ids.extend(pieces.filter_map(|piece| self.vocabulary.get(piece)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    fn tokenizer(tokens: &[&str], merges: &[&str], whole_words: bool) -> BytePairs {
        let texts = |list: &[&str]| StringMap::new(list.iter().copied().zip(0..), list.len());
        BytePairs {
            vocabulary: texts(tokens),
            merges: texts(merges),
            words: ByteLevel::new(false, true, true).into(),
            nfc: true,
            whole_words,
        }
    }

    #[test]
    fn the_first_merge_of_the_list_comes_first() {
        let tokens = ["a", "b", "c", "ab", "bc", "abc"];
        let first = tokenizer(&tokens, &["a b", "b c"], false);
        assert_eq!(first.encode("abc").unwrap(), [3, 2]);
        let second = tokenizer(&tokens, &["b c", "a b"], false);
        assert_eq!(second.encode("abc").unwrap(), [0, 4]);
        let both = tokenizer(&tokens, &["b c", "a bc", "a b"], false);
        assert_eq!(both.encode("abc").unwrap(), [5]);
    }

    #[test]
    fn a_word_that_is_a_token_may_be_taken_whole() {
        let tokens = ["a", "b", "ab"];
        assert_eq!(tokenizer(&tokens, &[], false).encode("ab").unwrap(), [0, 1]);
        assert_eq!(tokenizer(&tokens, &[], true).encode("ab").unwrap(), [2]);
    }

    #[test]
    fn what_a_damaged_list_merges_to_must_be_a_token() {
        let damaged = tokenizer(&["a", "b"], &["a b"], false);
        assert_eq!(damaged.encode("abx").unwrap(), [0, 1]);
    }

    #[test]
    fn equals_are_merged_from_the_left_and_signs_are_put_together_first() {
        let tokens = ["a", "aa", "Ã", "©"];
        let pairs = tokenizer(&tokens, &["a a"], false);
        assert_eq!(pairs.encode("aaaaa").unwrap(), [1, 1, 0]);
        assert_eq!(
            pairs.encode("e\u{301}").unwrap(),
            pairs.encode("é").unwrap()
        );
    }
}

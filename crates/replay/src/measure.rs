//! Measures of texts and pictures, each with its source.

pub mod bleu;
pub mod json;
pub mod language;
pub mod picture;
pub mod promptfoo;
pub mod rouge;
pub mod variety;

use std::collections::HashMap;
use story::sentence::sentence_ends;
use unicode_segmentation::UnicodeSegmentation;

/// The number of words, by the rules of Unicode (UAX #29), without punctuation.
pub fn word_count(text: &str) -> usize {
    text.unicode_words().count()
}

/// The number of sentences, as in `/continue sent`.
pub fn sentence_count(text: &str) -> usize {
    sentence_ends(text.trim()).len()
}

/// The number of characters as a reader counts them (grapheme clusters).
pub fn character_count(text: &str) -> usize {
    text.graphemes(true).count()
}

/// The Levenshtein distance: how many characters to insert, delete or replace.
pub fn levenshtein(a: &str, b: &str) -> usize {
    strsim::levenshtein(a, b)
}

/// The number of n-grams that two texts share, where `a` and `b` count the n-grams of each text.
/// For each n-gram, the smaller of its two counts is added.
fn shared_ngrams(a: &HashMap<&[&str], usize>, b: &HashMap<&[&str], usize>) -> usize {
    let both = a
        .iter()
        .filter_map(|(ngram, n)| Some(*b.get(ngram)?.min(n)));
    both.sum()
}

/// How often each n-gram occurs.
fn ngram_counts<'a>(words: &'a [&'a str], n: usize) -> HashMap<&'a [&'a str], usize> {
    let mut counts = HashMap::new();
    for ngram in words.windows(n) {
        *counts.entry(ngram).or_insert(0) += 1;
    }
    counts
}

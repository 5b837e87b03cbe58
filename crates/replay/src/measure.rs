//! Measures of texts and pictures, each with a reference to its definition.

pub mod bleu;
pub mod html;
pub mod json;
pub mod language;
pub mod picture;
pub mod promptfoo;
pub mod refusal;
pub mod rouge;
pub mod variety;

use std::collections::HashMap;
use story::sentence::sentence_ends;
use unicode_segmentation::UnicodeSegmentation;

/// Counts the words of a text by the rules of Unicode (UAX #29). Punctuation is not counted.
pub fn word_count(text: &str) -> usize {
    text.unicode_words().count()
}

/// Counts the sentences of a text by the same rules as `/continue sent`.
pub fn sentence_count(text: &str) -> usize {
    sentence_ends(text.trim()).len()
}

/// Counts the characters that a reader sees (grapheme clusters).
pub fn character_count(text: &str) -> usize {
    text.graphemes(true).count()
}

/// The Levenshtein distance: the smallest number of characters that must be inserted, deleted or
/// replaced to turn one text into the other.
pub fn levenshtein(a: &str, b: &str) -> usize {
    strsim::levenshtein(a, b)
}

/// Counts the n-grams that two texts share. `a` and `b` contain how often each n-gram occurs in
/// each text; the smaller of these two numbers counts.
fn shared_ngrams(a: &HashMap<&[&str], usize>, b: &HashMap<&[&str], usize>) -> usize {
    let both = a
        .iter()
        .filter_map(|(ngram, n)| Some(*b.get(ngram)?.min(n)));
    both.sum()
}

/// Counts how often each n-gram occurs in `words`.
fn ngram_counts<'a>(words: &'a [&'a str], n: usize) -> HashMap<&'a [&'a str], usize> {
    let mut counts = HashMap::new();
    for ngram in words.windows(n) {
        *counts.entry(ngram).or_insert(0) += 1;
    }
    counts
}

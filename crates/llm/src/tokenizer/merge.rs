//! Byte-pair merging: repeatedly merges the pair of neighbouring symbols that has the highest
//! score, until no pair can be merged. Among pairs with equal scores, the leftmost is merged first.
//! The vocabulary provides the scores.
//!
//! Merges are done in the same order as in llama.cpp (`llm_tokenizer_spm_session`,
//! `llm_tokenizer_bpe_session`).

use std::collections::BinaryHeap;

/// A part of the text that forms one symbol, with the indices of the neighbouring symbols.
struct Symbol {
    start: usize,
    /// The length of the symbol in bytes. It is 0 after the symbol was merged into the previous
    /// symbol.
    len: usize,
    before: Option<usize>,
    after: Option<usize>,
}

/// Two neighbouring symbols that may be merged. Pairs are ordered such that the greatest is merged
/// first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    score: i64,
    left: std::cmp::Reverse<usize>,
    right: usize,
    /// The combined length of both symbols in bytes. If the current lengths have a different sum,
    /// one of the symbols has been merged since, and this pair is obsolete.
    len: usize,
}

/// Splits `text` into characters, merges neighbouring pieces, and returns the pieces that remain.
/// `score` rates the merge of two neighbours: a higher score is better, and `None` forbids the
/// merge.
pub fn merge_pairs(
    text: &str,
    mut score: impl FnMut(&str, &str) -> Option<i64>,
) -> impl Iterator<Item = &str> {
    let mut symbols = characters(text);
    let mut pair = |symbols: &[Symbol], left: usize, right: usize| {
        let (a, b) = (&symbols[left], &symbols[right]);
        let end = b.start + b.len;
        Some(Pair {
            score: score(&text[a.start..b.start], &text[b.start..end])?,
            left: std::cmp::Reverse(left),
            right,
            len: a.len + b.len,
        })
    };
    let mut pairs = BinaryHeap::new();
    for right in 1..symbols.len() {
        pairs.extend(pair(&symbols, right - 1, right));
    }
    while let Some(best) = pairs.pop() {
        let (left, right) = (best.left.0, best.right);
        let gone = symbols[left].len == 0 || symbols[right].len == 0;
        if gone || symbols[left].len + symbols[right].len != best.len {
            continue;
        }
        symbols[left].len = best.len;
        symbols[right].len = 0;
        let after = symbols[right].after;
        symbols[left].after = after;
        if let Some(after) = after {
            symbols[after].before = Some(left);
            pairs.extend(pair(&symbols, left, after));
        }
        if let Some(before) = symbols[left].before {
            pairs.extend(pair(&symbols, before, left));
        }
    }
    let whole = symbols.into_iter().filter(|symbol| symbol.len > 0);
    whole.map(|symbol| &text[symbol.start..symbol.start + symbol.len])
}

/// Returns one symbol for each character of `text`.
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

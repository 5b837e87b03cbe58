//! Byte-pair merging: merges the best-scored pair of neighbours, the leftmost of equals, until no
//! pair can be merged. The vocabulary provides the scores.
//!
//! The order is that of llama.cpp (`llm_tokenizer_spm_session`, `llm_tokenizer_bpe_session`).

use std::collections::BinaryHeap;

/// A run of text that is one symbol so far, and its neighbours.
struct Symbol {
    start: usize,
    /// The length in bytes; 0 once the symbol has been merged into the previous one.
    len: usize,
    before: Option<usize>,
    after: Option<usize>,
}

/// Two neighbours that may be merged; those to merge first sort last.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    score: i64,
    left: std::cmp::Reverse<usize>,
    right: usize,
    /// The combined length of both symbols: if it has changed, one of them has been merged with
    /// another symbol.
    len: usize,
}

/// The pieces of `text` after merging, starting from single characters. `score` rates a merge of
/// two neighbours, higher is better; `None` forbids it.
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

/// One symbol per character.
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

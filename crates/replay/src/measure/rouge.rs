//! ROUGE (Lin 2004), computed like Google's rouge-score package without stemming. The tokenizer
//! drops all characters except the letters a to z and digits.

use super::{ngram_counts, shared_ngrams};

/// A variant of ROUGE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rouge {
    /// ROUGE-N, the overlap of n-grams; the value is n.
    N(usize),
    /// ROUGE-L, the longest common subsequence of words.
    L,
}

/// The F-measure, from 0 to 1, of a text compared with a reference. If there are several
/// references, the highest F-measure counts.
pub fn rouge<R: AsRef<str>>(which: Rouge, text: &str, references: &[R]) -> f64 {
    let text = text.to_lowercase();
    let text = tokenize(&text);
    let score = |reference: &R| {
        let reference = reference.as_ref().to_lowercase();
        let reference = tokenize(&reference);
        match which {
            Rouge::N(n) => {
                let shared = shared_ngrams(&ngram_counts(&text, n), &ngram_counts(&reference, n));
                let count = |words: &[&str]| (words.len() + 1).saturating_sub(n);
                f_measure(shared, count(&text), count(&reference))
            }
            Rouge::L => {
                let shared = common_subsequence(&text, &reference);
                f_measure(shared, text.len(), reference.len())
            }
        }
    };
    references.iter().map(score).fold(0.0, f64::max)
}

fn tokenize(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit())
        .filter(|word| !word.is_empty())
        .collect()
}

fn f_measure(shared: usize, text: usize, reference: usize) -> f64 {
    let precision = shared as f64 / text.max(1) as f64;
    let recall = shared as f64 / reference.max(1) as f64;
    match precision + recall > 0.0 {
        true => 2.0 * precision * recall / (precision + recall),
        false => 0.0,
    }
}

/// The length in words of the longest common subsequence of `a` and `b`.
fn common_subsequence(a: &[&str], b: &[&str]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for word in a {
        let mut diagonal = 0;
        for (at, other) in b.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = match word == other {
                true => diagonal + 1,
                false => above.max(row[at]),
            };
            diagonal = above;
        }
    }
    row[b.len()]
}

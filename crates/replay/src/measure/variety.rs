//! How varied a text is, or several texts are.

use super::bleu::bleu;
use std::collections::HashSet;
use unicode_segmentation::UnicodeSegmentation;

/// The share of n-grams that are distinct (distinct-n, Li et al. 2016), from 0 to 1; 1 if the text
/// is too short to have any.
pub fn distinct(text: &str, n: usize) -> f64 {
    let text = text.to_lowercase();
    let words: Vec<&str> = text.unicode_words().collect();
    let all = words.windows(n).count();
    let distinct: HashSet<&[&str]> = words.windows(n).collect();
    match all {
        0 => 1.0,
        all => distinct.len() as f64 / all as f64,
    }
}

/// The share of n-grams that repeat an earlier one (seq-rep-n, Welleck et al. 2020).
pub fn repetition(text: &str, n: usize) -> f64 {
    1.0 - distinct(text, n)
}

/// The mean BLEU of each text against the others (self-BLEU, Zhu et al. 2018), from 0 to 100; lower
/// is more varied. None for fewer than two texts.
pub fn self_bleu(texts: &[&str]) -> Option<f64> {
    if texts.len() < 2 {
        return None;
    }
    let score = |at: usize| {
        let others: Vec<&str> = texts[..at]
            .iter()
            .chain(&texts[at + 1..])
            .copied()
            .collect();
        bleu(texts[at], &others)
    };
    Some((0..texts.len()).map(score).sum::<f64>() / texts.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_counted() {
        assert_eq!(distinct("the lamp the lamp The sea", 1), 0.5);
        assert_eq!(distinct("the lamp the lamp", 2), 2.0 / 3.0);
        assert_eq!(repetition("over and over and over and", 2), 0.6);
        assert_eq!(repetition("short", 4), 0.0);
    }

    #[test]
    fn equal_texts_have_the_highest_self_bleu() {
        assert_eq!(self_bleu(&["one"]), None);
        let same = self_bleu(&["the lamp went out"; 3]).unwrap();
        let other = self_bleu(&["the lamp went out", "a gull cried at dawn"]).unwrap();
        assert!(
            (same - 100.0).abs() < 1e-9 && other == 0.0,
            "{same} {other}"
        );
    }
}

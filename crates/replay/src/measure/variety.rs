//! Measures how varied a text is and how much several texts differ. Also computes the confidence
//! interval of a pass rate.

use super::bleu::bleu;
use std::collections::HashSet;
use unicode_segmentation::UnicodeSegmentation;

/// The share of a text's n-grams that are distinct, from 0 to 1 (distinct-n, Li et al. 2016). A
/// text that is too short to contain an n-gram has the value 1.
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

/// The share of a text's n-grams that repeat an earlier n-gram, from 0 to 1 (seq-rep-n, Welleck et
/// al. 2020).
pub fn repetition(text: &str, n: usize) -> f64 {
    1.0 - distinct(text, n)
}

/// Returns the share of a text's n-grams that also occur in another text; 0 if the text has fewer
/// than `n` words.
pub fn overlap(text: &str, other: &str, n: usize) -> f64 {
    let (text, other) = (text.to_lowercase(), other.to_lowercase());
    let words: Vec<&str> = text.unicode_words().collect();
    let others: Vec<&str> = other.unicode_words().collect();
    let known: HashSet<&[&str]> = others.windows(n).collect();
    let all = words.windows(n).count();
    let shared = words.windows(n).filter(|it| known.contains(it)).count();
    shared as f64 / all.max(1) as f64
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

/// The lower and upper end of the 95 % confidence interval of a pass rate (Wilson 1927). `passed`
/// is the number of runs that passed, `runs` the number of all runs.
pub fn wilson_interval(passed: u32, runs: u32) -> (f64, f64) {
    /// The 97.5 % quantile of the standard normal distribution.
    const Z: f64 = 1.959_963_984_540_054;
    let (runs, share) = (f64::from(runs), f64::from(passed) / f64::from(runs));
    let middle = share + Z * Z / (2.0 * runs);
    let half = Z * (share * (1.0 - share) / runs + Z * Z / (4.0 * runs * runs)).sqrt();
    let scale = 1.0 + Z * Z / runs;
    ((middle - half) / scale, (middle + half) / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests the examples in Newcombe 1998, table I, method 3.
    #[test]
    fn an_interval_as_published() {
        for ((passed, runs), (low, high)) in [
            ((81, 263), (0.2553, 0.3662)),
            ((15, 148), (0.0624, 0.1605)),
            ((0, 20), (0.0, 0.1611)),
            ((1, 29), (0.0061, 0.1718)),
        ] {
            let found = wilson_interval(passed, runs);
            assert!((found.0 - low).abs() < 5e-5, "{found:?}");
            assert!((found.1 - high).abs() < 5e-5, "{found:?}");
        }
    }

    #[test]
    fn repeats_are_counted() {
        assert_eq!(distinct("the lamp the lamp The sea", 1), 0.5);
        assert_eq!(distinct("the lamp the lamp", 2), 2.0 / 3.0);
        assert_eq!(repetition("over and over and over and", 2), 0.6);
        assert_eq!(repetition("short", 4), 0.0);
        assert_eq!(
            overlap("The lamp went out", "so the lamp went", 2),
            2.0 / 3.0
        );
        assert_eq!(overlap("short", "short", 2), 0.0);
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

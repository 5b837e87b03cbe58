//! Truncation by probability: top-p, typical-p and min-p.
//!
//! Top-k is the `limit` of [`super::candidates::gather`], which saves a pass over the vocabulary.
//! Each stage here uses the probabilities among the tokens left by the previous stages, and always
//! leaves at least one token.

use std::cmp::Ordering;

use super::candidates::{Candidate, better};
use super::temperature::{highest, weigh};

/// How many candidates are sorted at first. If that is not enough, the number is multiplied by four
/// until it is.
const FIRST_SORT: usize = 64;

/// The lowest logit that min-p keeps. Since p ≥ min_p · p₁ is equivalent to z ≥ z₁ + ln min_p, no
/// probabilities are needed. None if min-p is off (0).
///
/// kalomaze, llama.cpp PR #3841; Nguyen et al., 2024, arXiv:2407.01082.
pub(crate) fn min_p_floor(highest: f64, min_p: f32) -> Option<f64> {
    (min_p > 0.0).then(|| highest + libm::log(f64::from(min_p.min(1.0))))
}

/// Removes the tokens that are less than `min_p` times as likely as the most likely token.
pub(crate) fn min_p(items: &mut Vec<Candidate>, min_p: f32) {
    if let Some(floor) = min_p_floor(highest(items), min_p) {
        items.retain(|item| f64::from(item.logit) >= floor);
    }
}

/// Keeps the smallest number of the most likely tokens whose probabilities sum to `top_p` or more.
/// 1 is off, and 0 leaves only the most likely token.
///
/// Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020, arXiv:1904.09751.
pub(crate) fn top_p(items: &mut Vec<Candidate>, top_p: f32) {
    if top_p < 1.0 {
        let total = weigh(items, 1.0);
        let mass = f64::from(top_p.max(0.0)) * total;
        // All tokens below this threshold together hold at most half the mass that may be dropped,
        // so none of them is needed or has to be sorted.
        let idle = (total - mass) / 2.0 / items.len() as f64;
        items.retain(|item| item.weight >= idle);
        keep_mass(items, mass, better);
    }
}

/// Keeps the tokens whose surprise −ln p is closest to the expected surprise (the entropy), until
/// their probabilities sum to `typical_p` or more. 1 is off. The most likely token may be removed.
///
/// Meister et al., "Locally Typical Sampling", 2023, arXiv:2202.00666. Since −ln p equals −z plus a
/// constant, the distance |−ln p − H| is the distance of the logit from the expected logit, which
/// saves one logarithm per token. Of equally typical tokens, the more likely one is kept first.
pub(crate) fn typical(items: &mut Vec<Candidate>, typical_p: f32) {
    if typical_p < 1.0 {
        let total = weigh(items, 1.0);
        let high = highest(items);
        let terms = items.iter();
        let sum: f64 = terms.map(|i| i.weight * (f64::from(i.logit) - high)).sum();
        let expected = high + sum / total;
        let distance = |item: &Candidate| (f64::from(item.logit) - expected).abs();
        let closer = |a: &Candidate, b: &Candidate| {
            let by_distance = distance(a).total_cmp(&distance(b));
            by_distance.then(better(a, b))
        };
        keep_mass(items, f64::from(typical_p) * total, closer);
    }
}

/// Keeps the candidates that come first in `order`, until their weights sum to `mass` or more.
/// Leaves them in order of id. Only as many candidates are sorted as necessary.
fn keep_mass(
    items: &mut Vec<Candidate>,
    mass: f64,
    order: impl Fn(&Candidate, &Candidate) -> Ordering,
) {
    let mut sum = 0.0;
    let mut reaches = |item: &Candidate| {
        sum += item.weight;
        sum >= mass
    };
    let mut sorted = 0;
    while sorted < items.len() {
        let end = (sorted * 4).max(FIRST_SORT).min(items.len());
        items[sorted..].select_nth_unstable_by(end - sorted - 1, &order);
        items[sorted..end].sort_unstable_by(&order);
        if let Some(last) = items[sorted..end].iter().position(&mut reaches) {
            items.truncate(sorted + last + 1);
            break;
        }
        sorted = end;
    }
    items.sort_unstable_by_key(|item| item.token);
}

#[cfg(test)]
mod tests {
    use super::super::candidates::{candidates, tokens, with_probabilities};
    use super::*;
    use proptest::prelude::*;

    fn left(cut: fn(&mut Vec<Candidate>, f32), probabilities: &[f64], value: f32) -> Vec<u32> {
        let mut items = with_probabilities(probabilities);
        cut(&mut items, value);
        tokens(&items)
    }

    #[test]
    fn min_p_keeps_a_fraction_of_the_best() {
        // The best has 0.5. A tenth of it is 0.05: 0.04 is removed. Half of it is 0.25: 0.26 stays.
        let probabilities = [0.2, 0.5, 0.04, 0.26];
        assert_eq!(left(min_p, &probabilities, 0.1), [0, 1, 3]);
        assert_eq!(left(min_p, &probabilities, 0.5), [1, 3]);
        // 0 is off; 1 leaves the best and its equals; more than 1 is as good as 1.
        assert_eq!(left(min_p, &probabilities, 0.0), [0, 1, 2, 3]);
        assert_eq!(left(min_p, &[0.4, 0.2, 0.4], 1.0), [0, 2]);
        assert_eq!(left(min_p, &probabilities, 7.0), [1]);
    }

    #[test]
    fn top_p_keeps_the_best_up_to_the_mass() {
        // In order: 0.5, 0.26, 0.2, 0.04; cumulative: 0.5, 0.76, 0.96, 1.
        let probabilities = [0.2, 0.5, 0.04, 0.26];
        assert_eq!(left(top_p, &probabilities, 0.4), [1]);
        assert_eq!(left(top_p, &probabilities, 0.75), [1, 3]);
        assert_eq!(left(top_p, &probabilities, 0.77), [0, 1, 3]);
        assert_eq!(left(top_p, &probabilities, 0.97), [0, 1, 2, 3]);
        assert_eq!(left(top_p, &probabilities, 1.0), [0, 1, 2, 3]);
        assert_eq!(left(top_p, &probabilities, 0.0), [1]);
        // Of equals the lower ids come first: two of 0.25 are enough for 0.4.
        assert_eq!(left(top_p, &[0.25; 4], 0.4), [0, 1]);
    }

    #[test]
    fn typical_keeps_what_surprises_as_expected() {
        // p = 0.8, 0.1, 0.05, 0.05. -ln p = 0.2231, 2.3026, 2.9957, 2.9957. H = 0.8*0.2231 +
        // 0.1*2.3026 + 0.1*2.9957 = 0.7083. Distances: 0.4852, 1.5943, 2.2874, 2.2874. Cumulative:
        // 0.8, 0.9, 0.95, 1.
        let probabilities = [0.05, 0.8, 0.1, 0.05];
        assert_eq!(left(typical, &probabilities, 0.7), [1]);
        assert_eq!(left(typical, &probabilities, 0.85), [1, 2]);
        assert_eq!(left(typical, &probabilities, 0.92), [0, 1, 2]);
        assert_eq!(left(typical, &probabilities, 1.0), [0, 1, 2, 3]);
    }

    #[test]
    fn typical_may_lose_the_best() {
        // p = 0.4 and six of 0.1: -ln p = 0.9163 and 2.3026; H = 0.4*0.9163 + 0.6*2.3026
        // = 1.7481. Distances: 0.8318 and 0.5545, so the six come before the best.
        let probabilities = [0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1];
        assert_eq!(left(typical, &probabilities, 0.35), [1, 2, 3, 4]);
        assert_eq!(left(typical, &probabilities, 0.65), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn one_candidate_or_none_and_odd_values() {
        for cut in [min_p, top_p, typical] {
            for value in [0.0, 0.5, 1.0, -1.0, f32::NAN, f32::INFINITY] {
                assert_eq!(left(cut, &[1.0], value), [0]);
                assert_eq!(left(cut, &[], value), [0u32; 0]);
            }
            assert_eq!(left(cut, &[0.6, 0.4], f32::NAN), [0, 1]);
        }
    }

    proptest! {
        #[test]
        fn sorting_in_part_is_sorting(
            values in prop::collection::vec(-30i8..30, 1..900), p in 0.0f32..1.0,
        ) {
            let logits: Vec<f32> = values.iter().map(|v| f32::from(*v) / 8.0).collect();
            let mut items = candidates(&logits);
            top_p(&mut items, p);
            // The smallest set of the best: it reaches the mass, but would not without its worst.
            let share = |items: &[Candidate]| -> f64 {
                let of = |item: &Candidate| f64::from(item.logit).exp();
                items.iter().map(of).sum::<f64>() / candidates(&logits).iter().map(of).sum::<f64>()
            };
            let slack = 1e-9;
            prop_assert!(share(&items) >= f64::from(p) - slack);
            let worst = *items.iter().max_by(|a, b| better(a, b)).unwrap();
            for other in candidates(&logits) {
                let kept = items.iter().any(|item| item.token == other.token);
                prop_assert_eq!(kept, better(&other, &worst) != Ordering::Greater);
            }
            items.retain(|item| item.token != worst.token);
            prop_assert!(share(&items) <= f64::from(p) + slack);
        }
    }
}

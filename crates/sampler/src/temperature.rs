//! Turns logits into probabilities at a temperature, and samples a token according to these
//! probabilities.
//!
//! Exponentials are computed by `libm` in f64, and sums are added in order of id. The same logits
//! and the same random number therefore result in the same token on any machine. The caller
//! provides the random numbers.

use super::candidates::Candidate;

/// A sampled token, with its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampledToken {
    pub token: u32,
    /// The token's probability among the candidates of the last stage; 1 at temperature 0.
    pub probability: f64,
    /// The number of candidates in the last stage. 0 means that every token was ruled out, which
    /// happens only with a broken model; `token` is then 0 and has no meaning.
    pub kept: usize,
}

impl SampledToken {
    pub(crate) fn none() -> SampledToken {
        SampledToken {
            token: 0,
            probability: 0.0,
            kept: 0,
        }
    }
}

/// Sets each candidate's weight to exp((z − max) / T), and returns the sum of the weights. A weight
/// divided by this sum is the candidate's probability. The best weight is exactly 1.
pub(crate) fn weigh(items: &mut [Candidate], temperature: f32) -> f64 {
    let highest = highest(items);
    let scale = f64::from(temperature);
    let mut total = 0.0;
    for item in items {
        item.weight = libm::exp((f64::from(item.logit) - highest) / scale);
        total += item.weight;
    }
    total
}

/// The highest logit among the candidates.
pub(crate) fn highest(items: &[Candidate]) -> f64 {
    let logits = items.iter().map(|item| item.logit);
    f64::from(logits.fold(f32::MIN, f32::max))
}

/// Picks the first candidate at which the running sum of the weights exceeds `draw` times `total`,
/// the sum of all weights. If `draw` is uniform on [0, 1), each candidate is picked with a
/// probability proportional to its weight.
pub(crate) fn pick(items: &[Candidate], total: f64, draw: f64) -> SampledToken {
    let target = draw * total;
    let mut sum = 0.0;
    let passes = |item: &&Candidate| {
        sum += item.weight;
        sum > target
    };
    // Rounding can leave the last sum at the target.
    let fallback = || items.iter().rfind(|item| item.weight > 0.0);
    match items.iter().find(passes).or_else(fallback) {
        None => SampledToken::none(),
        Some(item) => SampledToken {
            token: item.token,
            probability: item.weight / total,
            kept: items.len(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::candidates::{candidates, with_probabilities};
    use super::*;

    fn picked(probabilities: &[f64], draw: f64) -> u32 {
        let mut items = with_probabilities(probabilities);
        let total = weigh(&mut items, 1.0);
        pick(&items, total, draw).token
    }

    #[test]
    fn temperature_raises_odds_to_its_inverse() {
        // Odds of 1 : 4 between two tokens: at T = 0.5 they are 1 : 16, at T = 2 they are 1 : 2.
        let logits = [0.0, 4f32.ln()];
        for (temperature, odds) in [(1.0, 4.0), (0.5, 16.0), (2.0, 2.0)] {
            let mut items = candidates(&logits);
            let total = weigh(&mut items, temperature);
            assert!((total - (1.0 + 1.0 / odds)).abs() < 1e-6);
            assert!((items[0].weight * odds - 1.0).abs() < 1e-6);
            assert_eq!(items[1].weight, 1.0);
        }
    }

    #[test]
    fn the_draw_walks_the_tokens_in_order_of_id() {
        // Cumulative: 0.5, 0.75, 1.
        let probabilities = [0.5, 0.25, 0.25];
        for (draw, token) in [
            (0.0, 0),
            (0.49, 0),
            (0.51, 1),
            (0.74, 1),
            (0.76, 2),
            (0.999, 2),
        ] {
            assert_eq!(picked(&probabilities, draw), token);
        }
    }

    #[test]
    fn a_tiny_temperature_leaves_only_the_best() {
        let mut items = candidates(&[1.0, 2.0, 1.9]);
        let total = weigh(&mut items, f32::MIN_POSITIVE);
        assert_eq!(total, 1.0);
        for draw in [0.0, 0.5, 1.0] {
            assert_eq!(pick(&items, total, draw).token, 1);
        }
    }

    #[test]
    fn nothing_to_pick_from_is_no_choice() {
        assert_eq!(weigh(&mut [], 1.0), 0.0);
        assert_eq!(pick(&[], 0.0, 0.5), SampledToken::none());
    }
}

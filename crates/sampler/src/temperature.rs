//! From logits to probabilities at a temperature, and from probabilities to a token.
//!
//! Exponentials are `libm`'s in f64 and sums run in order of id, so the same logits and draw give
//! the same token on any machine. The caller provides the random draws.

use super::candidates::Candidate;

/// A sampled token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampledToken {
    pub token: u32,
    /// The token's probability among the candidates of the last stage; 1 when greedy.
    pub probability: f64,
    /// How many candidates the last stage had. 0 means that the model ruled out every token, as
    /// only a broken one does: `token` is then a meaningless 0.
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

/// Sets each weight to exp((z − max) / T), which is its probability up to a common factor, and
/// returns their sum. The best weight is exactly 1.
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

/// The highest logit among some candidates.
pub(crate) fn highest(items: &[Candidate]) -> f64 {
    let logits = items.iter().map(|item| item.logit);
    f64::from(logits.fold(f32::MIN, f32::max))
}

/// The first candidate at which the running sum of the weights passes `draw` times their total,
/// so that each is drawn in proportion to its weight when `draw` is uniform on [0, 1).
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

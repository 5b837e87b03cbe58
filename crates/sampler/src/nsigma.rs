//! Top-nσ: removes the tokens whose logits are far below the highest. It assumes that the noise in
//! a model's logits is roughly normal, and that the outliers are the signal.
//!
//! The stage uses only the logits, so it does not depend on the temperature or on the tokens' ids.

use super::candidates::highest;

/// The number of partial sums that are computed side by side. It affects the result, since it
/// determines the order of summation.
const LANES: usize = 8;

/// The lowest logit that stays: max − n·σ. σ is the standard deviation (over N, not N − 1) of all
/// logits that are not ruled out. None if the stage is off (n ≤ 0).
///
/// Tang et al., "Top-nσ: Not All Logits Are You Need", 2024, arXiv:2411.07641. llama.cpp also
/// ignores tokens that are already ruled out.
pub(crate) fn floor(logits: &[f32], n: f32) -> Option<f64> {
    if !(n > 0.0 && n.is_finite()) {
        return None;
    }
    let highest = f64::from(highest(logits));
    let some = highest > f64::NEG_INFINITY;
    some.then(|| highest - f64::from(n) * deviation(logits, highest))
}

/// The standard deviation of the logits, computed in one pass as the square root of E(d²) − E(d)²,
/// where d is the distance of a logit from the highest one. These distances are so small that the
/// subtraction loses no significant digits.
fn deviation(logits: &[f32], highest: f64) -> f64 {
    let mut lanes = [Moments::default(); LANES];
    let (blocks, rest) = logits.as_chunks::<LANES>();
    let blocks = blocks.iter().map(|block| &block[..]);
    for block in blocks.chain([rest]) {
        for (lane, logit) in lanes.iter_mut().zip(block) {
            lane.add(*logit, highest);
        }
    }
    let total = |of: fn(&Moments) -> f64| lanes.iter().map(of).sum::<f64>();
    let count = total(|lane| lane.count);
    let mean = total(|lane| lane.sum) / count;
    let variance = total(|lane| lane.squares) / count - mean * mean;
    libm::sqrt(variance.max(0.0))
}

#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, logit: f32, highest: f64) {
        let counts = logit > f32::NEG_INFINITY;
        // A selection, not a branch, so that lanes run side by side.
        let distance = if counts {
            highest - f64::from(logit)
        } else {
            0.0
        };
        self.count += f64::from(u8::from(counts));
        self.sum += distance;
        self.squares += distance * distance;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUT: f32 = f32::NEG_INFINITY;

    #[test]
    fn the_floor_is_so_many_deviations_below_the_best() {
        // The mean of 2, 4, 4, 4, 5, 5, 7, 9 is 40 / 8 = 5; squares 9+1+1+1+0+0+4+16 = 32;
        // 32 / 8 = 4; deviation 2. So the floor for n = 1 is 9 - 2 = 7, for n = 1.5 it is 6.
        let logits = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        assert_eq!(floor(&logits, 1.0), Some(7.0));
        assert_eq!(floor(&logits, 1.5), Some(6.0));
    }

    #[test]
    fn tokens_ruled_out_do_not_count() {
        // Mean of 1 and 3 is 2, deviation 1; more than one block of them, and a remainder.
        let mut logits = vec![OUT; 11];
        logits.extend([1.0, 3.0]);
        assert_eq!(floor(&logits, 0.5), Some(2.5));
    }

    #[test]
    fn zero_and_odd_values_are_off() {
        for n in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert_eq!(floor(&[1.0, 2.0], n), None);
        }
        assert_eq!(floor(&[OUT, OUT], 1.0), None);
        assert_eq!(floor(&[], 1.0), None);
    }

    #[test]
    fn a_single_token_stays() {
        assert_eq!(floor(&[5.0], 1.0), Some(5.0));
    }
}

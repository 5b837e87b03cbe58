//! Repetition, presence and frequency penalties, which make tokens that were already used less
//! likely.
//!
//! All three penalties look at the same range of recent tokens, which may belong to the prompt or
//! to the output. Repeated sequences of tokens are left to DRY.

use std::collections::BTreeMap;

use crate::params::Sampling;

/// The settings of the penalties, and the number of occurrences of each token in the range.
#[derive(Clone, Debug)]
pub(crate) struct Penalties {
    repetition: f32,
    presence: f32,
    frequency: f32,
    /// The number of tokens to look back; None for the whole context.
    range: Option<usize>,
    counts: BTreeMap<u32, u32>,
}

impl Penalties {
    pub(crate) fn new(sampling: &Sampling) -> Penalties {
        let sane = |value: f32, neutral| if value.is_finite() { value } else { neutral };
        let repetition = sane(sampling.repetition_penalty, 1.0);
        Penalties {
            // Only a positive factor makes sense.
            repetition: if repetition > 0.0 { repetition } else { 1.0 },
            presence: sane(sampling.presence_penalty, 0.0),
            frequency: sane(sampling.frequency_penalty, 0.0),
            range: usize::try_from(sampling.repetition_range).ok(),
            counts: BTreeMap::new(),
        }
    }

    fn off(&self) -> bool {
        let neutral = (self.repetition, self.presence, self.frequency) == (1.0, 0.0, 0.0);
        neutral || self.range == Some(0)
    }

    /// The number of tokens whose logits the penalties may lower; None if the settings may raise a
    /// logit.
    pub(crate) fn lowered(&self) -> Option<usize> {
        let lowers = self.repetition >= 1.0 && self.presence >= 0.0 && self.frequency >= 0.0;
        match self.off() {
            true => Some(0),
            false => lowers.then_some(self.counts.len()),
        }
    }

    /// Counts the last token of `history`, and stops counting the token that has left the range.
    pub(crate) fn accept(&mut self, history: &[u32]) {
        let Some((token, before)) = history.split_last() else {
            return;
        };
        if self.off() {
            return;
        }
        *self.counts.entry(*token).or_default() += 1;
        let left = self.range.and_then(|range| before.len().checked_sub(range));
        let Some(old) = left.and_then(|index| before.get(index)) else {
            return;
        };
        match self.counts.get_mut(old) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.counts.remove(old)),
        }
    }

    /// Changes the logit z of each token in the range.
    ///
    /// First, the repetition penalty r replaces z by z / r if z > 0, otherwise by z · r (CTRL,
    /// Keskar et al. 2019, arXiv:1909.05858, with the correction that is now in general use).
    ///
    /// Then, the presence penalty p and the frequency penalty f replace z by z − p − f · count,
    /// where `count` is the number of occurrences of the token in the range (OpenAI's definition).
    pub(crate) fn apply(&self, logits: &mut [f32]) {
        for (token, count) in &self.counts {
            let Some(logit) = logits.get_mut(*token as usize) else {
                continue;
            };
            if *logit == f32::NEG_INFINITY {
                continue;
            }
            let scaled = match *logit > 0.0 {
                true => *logit / self.repetition,
                false => *logit * self.repetition,
            };
            let lowered = scaled - self.presence - self.frequency * *count as f32;
            // A penalty never rules a token out.
            *logit = lowered.clamp(f32::MIN, f32::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn penalized(sampling: &Sampling, history: &[u32], logits: &[f32]) -> Vec<f32> {
        let mut penalties = Penalties::new(sampling);
        for end in 1..=history.len() {
            penalties.accept(&history[..end]);
        }
        let mut logits = logits.to_vec();
        penalties.apply(&mut logits);
        logits
    }

    fn sampling(repetition: f32, presence: f32, frequency: f32, range: i32) -> Sampling {
        Sampling {
            repetition_penalty: repetition,
            presence_penalty: presence,
            frequency_penalty: frequency,
            repetition_range: range,
            ..Sampling::default()
        }
    }

    #[test]
    fn repetition_divides_what_is_positive_and_multiplies_what_is_not() {
        // 3 / 1.5 = 2; -2 * 1.5 = -3; 0 * 1.5 = 0; token 3 was not used.
        let history = [0, 1, 2, 0];
        let logits = penalized(
            &sampling(1.5, 0.0, 0.0, -1),
            &history,
            &[3.0, -2.0, 0.0, 3.0],
        );
        assert_eq!(logits, [2.0, -3.0, 0.0, 3.0]);
    }

    #[test]
    fn presence_counts_once_and_frequency_each_time() {
        // Token 0 three times: 5 - 0.5 - 3 * 0.25 = 3.75. Token 1 once: 5 - 0.5 - 0.25 = 4.25.
        let history = [0, 0, 1, 0];
        let logits = penalized(&sampling(1.0, 0.5, 0.25, -1), &history, &[5.0, 5.0, 5.0]);
        assert_eq!(logits, [3.75, 4.25, 5.0]);
    }

    #[test]
    fn all_three_together_scale_before_they_subtract() {
        // 6 / 2 - 1 - 0.5 * 2 = 1.
        let logits = penalized(&sampling(2.0, 1.0, 0.5, -1), &[0, 0], &[6.0]);
        assert_eq!(logits, [1.0]);
    }

    #[test]
    fn the_range_slides() {
        let with_range =
            |range| penalized(&sampling(1.0, 0.0, 1.0, range), &[0, 1, 0, 2], &[0.0; 3]);
        assert_eq!(with_range(-1), [-2.0, -1.0, -1.0]);
        assert_eq!(with_range(4), [-2.0, -1.0, -1.0]);
        assert_eq!(with_range(3), [-1.0, -1.0, -1.0]);
        assert_eq!(with_range(1), [0.0, 0.0, -1.0]);
        assert_eq!(with_range(0), [0.0, 0.0, 0.0]);
    }

    #[test]
    fn odd_values_change_nothing_and_nothing_is_ruled_out_or_in() {
        let nan = sampling(f32::NAN, f32::INFINITY, f32::NAN, -1);
        assert_eq!(penalized(&nan, &[0], &[1.0]), [1.0]);
        assert_eq!(
            penalized(&sampling(-1.0, 0.0, 0.0, -1), &[0], &[1.0]),
            [1.0]
        );
        let strong = sampling(10.0, 3e38, 3e38, -1);
        let logits = penalized(&strong, &[0, 1, 7], &[-3e38, f32::NEG_INFINITY]);
        assert_eq!(logits, [f32::MIN, f32::NEG_INFINITY]);
    }
}

//! Mirostat 2: adapts the truncation so that the text's surprise stays near a target.
//!
//! Its only state is the number μ.

use super::candidates::{Candidate, better};
use super::temperature::{SampledToken, pick, weigh};
use crate::params::Sampling;

/// Mirostat's target τ, learning rate η and cut μ. τ and μ are in bits.
#[derive(Clone, Debug)]
pub(crate) struct Mirostat {
    tau: f64,
    eta: f64,
    mu: f64,
}

impl Mirostat {
    /// Creates the state for a new passage. μ starts at 2τ, as in the paper.
    pub(crate) fn new(sampling: &Sampling) -> Mirostat {
        let tau = f64::from(sampling.mirostat_tau);
        Mirostat {
            tau,
            eta: f64::from(sampling.mirostat_eta),
            mu: 2.0 * tau,
        }
    }

    /// Removes the tokens whose surprise −log2 p is above μ, except the best token, and samples
    /// from the rest. Then moves the cut: μ ← μ − η (s − τ), where s is the surprise of the sampled
    /// token.
    ///
    /// Basu et al., "Mirostat", ICLR 2021, arXiv:2007.14966, algorithm 2. As in llama.cpp, s is
    /// computed among the remaining tokens, and the probabilities are those at `temperature`.
    pub(crate) fn choose(
        &mut self,
        items: &mut Vec<Candidate>,
        temperature: f32,
        draw: f64,
    ) -> SampledToken {
        let total = weigh(items, temperature);
        let least = total * libm::exp2(-self.mu);
        let Some(first) = items.iter().min_by(|a, b| better(a, b)).copied() else {
            return SampledToken::none();
        };
        items.retain(|item| item.weight >= least || item.token == first.token);
        let left = items.iter().map(|item| item.weight).sum();
        let choice = pick(items, left, draw);
        let surprise = -libm::log2(choice.probability);
        self.mu -= self.eta * (surprise - self.tau);
        choice
    }
}

#[cfg(test)]
mod tests {
    use super::super::candidates::{candidates, tokens, with_probabilities};
    use super::*;

    fn mirostat(tau: f32, eta: f32) -> Mirostat {
        Mirostat::new(&Sampling {
            mirostat_tau: tau,
            mirostat_eta: eta,
            ..Sampling::default()
        })
    }

    #[test]
    fn it_cuts_at_mu_and_moves_mu_by_the_error() {
        // τ = 1, so μ = 2: tokens of p >= 2^-2 = 0.25 stay, which is 0.5 and 0.3, not 0.2.
        // Renormalized: 0.625 and 0.375. The draw 0.7 takes the second, whose surprise is -log2
        // 0.375 = 1.415037...; μ = 2 - 0.5 * (1.415037 - 1) = 1.792481.
        let mut mirostat = mirostat(1.0, 0.5);
        let mut items = with_probabilities(&[0.5, 0.3, 0.2]);
        let choice = mirostat.choose(&mut items, 1.0, 0.7);
        assert_eq!((choice.token, choice.kept), (1, 2));
        assert!((choice.probability - 0.375).abs() < 1e-7);
        assert!((mirostat.mu - 1.792_481_25).abs() < 1e-6);
        // Now 2^-1.792481 = 0.2887: 0.3 is still in.
        let mut items = with_probabilities(&[0.5, 0.3, 0.2]);
        assert_eq!(mirostat.choose(&mut items, 1.0, 0.1).token, 0);
        assert_eq!(tokens(&items), [0, 1]);
        // Surprise of 0.625 is 0.678072; μ = 1.792481 - 0.5 * (0.678072 - 1) = 1.953445.
        assert!((mirostat.mu - 1.953_445_3).abs() < 1e-6);
    }

    #[test]
    fn the_best_stays_when_all_surprise_too_much() {
        // τ = 0.25: μ = 0.5 and 2^-0.5 = 0.7071. None is that likely. Of equals the lowest id is
        // chosen.
        let mut mirostat = mirostat(0.25, 0.1);
        let mut items = with_probabilities(&[0.2, 0.4, 0.4]);
        let choice = mirostat.choose(&mut items, 1.0, 0.9);
        assert_eq!((choice.token, choice.probability), (1, 1.0));
        // No surprise: μ = 0.5 - 0.1 * (0 - 0.25) = 0.525.
        assert!((mirostat.mu - 0.525).abs() < 1e-6);
    }

    #[test]
    fn the_temperature_comes_first() {
        // Odds 4 : 1 at T = 2 are 2 : 1. τ = 0.8: 2^-1.6 = 0.33 < 1/3, so both stay; at T = 1 the
        // second has 0.2 and is removed.
        for (temperature, kept) in [(2.0, 2), (1.0, 1)] {
            let mut items = candidates(&[4f32.ln(), 0.0]);
            let choice = mirostat(0.8, 0.1).choose(&mut items, temperature, 0.0);
            assert_eq!(choice.kept, kept);
        }
    }

    #[test]
    fn odd_values_and_no_candidates_do_not_panic() {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut mirostat = mirostat(odd, odd);
            for _ in 0..3 {
                let mut items = with_probabilities(&[0.5, 0.5]);
                assert!(mirostat.choose(&mut items, 1.0, 0.5).kept > 0);
            }
            assert_eq!(
                mirostat.choose(&mut Vec::new(), 1.0, 0.5),
                SampledToken::none()
            );
        }
    }
}

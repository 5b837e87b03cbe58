//! Samplers, which choose a token based on a model's logits. The input is plain numbers, and the
//! output is a token id.
//!
//! The stages and their order are llama.cpp's default. The order cannot be changed:
//!
//! | stage | file | has no effect at |
//! |---|---|---|
//! | penalties | `penalties` | `repetition_penalty` 1, `presence_penalty` 0, `frequency_penalty` 0, or `repetition_range` 0 |
//! | dry | `dry` | `dry_multiplier` 0, or `dry_penalty_last_n` 0 |
//! | top_n_sigma | `nsigma` | 0 |
//! | top_k | `candidates` | 0 |
//! | typical_p | `truncation` | 1 |
//! | top_p | `truncation` | 1 |
//! | min_p | `truncation` | 0 |
//! | xtc | `xtc` | `xtc_probability` 0, or `xtc_threshold` above 0.5 |
//! | temperature | `temperature` | 1 |
//!
//! Mirostat 2 replaces all the stages from top_n_sigma to xtc and comes after the temperature.
//! Unlike in llama.cpp, penalties and dry also apply with mirostat. At temperature 0, the best
//! token after penalties and dry is chosen. The stages from top_n_sigma to xtc are then skipped,
//! since typical_p or xtc might remove the best token.
//!
//! **Seed contract.** Each call of [`Sampler::sample`] takes exactly two numbers from the
//! [`rng::Rng`] of its seed, whether or not they are used: the first for XTC, the second for
//! choosing the token. So token number n of a passage depends on the random numbers 2n and 2n + 1
//! whatever the settings. Switching a stage on or off or changing the temperature does not shift
//! later random numbers. Equal logits, settings and seeds result in equal tokens on any machine:
//! the platform's `exp` is never called, sums have a fixed order, and of several equal logits, the
//! one with the lowest id counts as the best.
//!
//! **Cost.** Top-k, top-nσ and min-p compare logits. Exponentials are computed only for the tokens
//! that these stages leave, except when typical-p, top-p without top-k, or mirostat need the whole
//! vocabulary. With a vocabulary of 49,152 tokens, this takes about 40 µs per token instead of a
//! millisecond.
//!
//! This crate uses no tensors, text or story, and its seed is its only source of randomness.

#![warn(unreachable_pub)]

pub mod ban;
mod candidates;
pub mod dry;
mod mirostat;
mod nsigma;
mod params;
mod penalties;
pub mod rng;
mod sequence_breakers;
mod stages;
mod temperature;
mod truncation;
mod xtc;

use candidates::Candidate;
use dry::{Dry, SequenceBreakers};
use mirostat::Mirostat;
use penalties::Penalties;
use rng::Rng;
use stages::Stage;

pub use ban::Ban;
pub use params::{DRY_BREAKERS, Sampling};
pub use temperature::SampledToken;

/// Samples the tokens of one passage. A sampler contains its settings, its random numbers and the
/// tokens so far. A clone samples the same tokens as the original. To return to an earlier token,
/// use a clone that was made before that token.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    rng: Rng,
    protected: Vec<u32>,
    penalties: Penalties,
    dry: Dry,
    mirostat: Mirostat,
    history: Vec<u32>,
    /// The logit floor set by the stages that have run. Tokens with a lower logit are not
    /// candidates.
    floor: f64,
    /// The cleaned logits of the current token, stored here so that their memory is reused.
    logits: Vec<f32>,
    items: Vec<Candidate>,
}

impl Sampler {
    /// Creates a sampler that uses `seed`; `sampling.seed` is ignored. A setting with an invalid
    /// value counts as off.
    pub fn new(sampling: &Sampling, seed: u64, breakers: SequenceBreakers) -> Sampler {
        Sampler {
            sampling: sampling.clone(),
            rng: Rng::new(seed),
            protected: Vec::new(),
            penalties: Penalties::new(sampling),
            dry: Dry::new(sampling, breakers),
            mirostat: Mirostat::new(sampling),
            history: Vec::new(),
            floor: candidates::ALL,
            logits: Vec::new(),
            items: Vec::new(),
        }
    }

    /// Sets the tokens that XTC must not remove, namely newline and end of text.
    pub fn protect_from_xtc(mut self, tokens: impl IntoIterator<Item = u32>) -> Sampler {
        self.protected.extend(tokens);
        self
    }

    /// Adds a token of the prompt or of the answer to the history. [`Self::sample`] does not do
    /// this by itself, since a sampled token may still be rejected.
    pub fn accept(&mut self, token: u32) {
        self.history.push(token);
        self.penalties.accept(&self.history);
        self.dry.accept(token);
    }

    /// Samples the next token. `logits` contains one number for each token of the vocabulary; NaN
    /// and `-inf` rule a token out. If all tokens are ruled out, the result is 0.
    pub fn sample(&mut self, logits: &[f32]) -> u32 {
        self.sample_with(logits).token
    }

    /// Samples the next token. The result also contains the token's probability.
    pub fn sample_with(&mut self, logits: &[f32]) -> SampledToken {
        let (xtc_draw, draw) = (self.rng.next_f64(), self.rng.next_f64());
        candidates::clean(logits, &mut self.logits);
        self.run(&Stage::PENALTIES, xtc_draw);
        let temperature = self.temperature();
        if temperature == 0.0 {
            return self.greedy();
        }
        if self.sampling.mirostat == 2 {
            candidates::gather(&self.logits, candidates::ALL, 0, &mut self.items);
            return self.mirostat.choose(&mut self.items, temperature, draw);
        }
        self.run(&Stage::CUTS, xtc_draw);
        let total = temperature::weigh(&mut self.items, temperature);
        temperature::pick(&self.items, total, draw)
    }

    /// Returns the candidates after all stages, each with its probability, in order of id. No
    /// random number is used, and XTC removes nothing.
    pub fn distribution(&self, logits: &[f32]) -> Vec<(u32, f64)> {
        let mut copy = self.clone();
        candidates::clean(logits, &mut copy.logits);
        // No draw is as high as this, so XTC removes nothing.
        let no_xtc = 1.0;
        copy.run(&Stage::PENALTIES, no_xtc);
        let temperature = copy.temperature();
        if temperature == 0.0 {
            let best = candidates::best(&copy.logits);
            return best.into_iter().map(|token| (token, 1.0)).collect();
        }
        match copy.sampling.mirostat {
            2 => candidates::gather(&copy.logits, candidates::ALL, 0, &mut copy.items),
            _ => copy.run(&Stage::CUTS, no_xtc),
        }
        let total = temperature::weigh(&mut copy.items, temperature);
        let share = |item: &Candidate| (item.token, item.weight / total);
        copy.items.iter().map(share).collect()
    }

    fn greedy(&self) -> SampledToken {
        match candidates::best(&self.logits) {
            None => SampledToken::none(),
            Some(token) => SampledToken {
                token,
                probability: 1.0,
                kept: 1,
            },
        }
    }

    /// The sampling temperature. A value that is negative or not a number counts as 0.
    fn temperature(&self) -> f32 {
        self.sampling.temperature.max(0.0)
    }

    /// Runs the given stages of the chain. The penalties change `logits`; `items` holds the
    /// candidates that the other stages leave.
    fn run(&mut self, stages: &[Stage], xtc_draw: f64) {
        for stage in stages {
            let s = &self.sampling;
            match stage {
                Stage::Penalties => self.penalties.apply(&mut self.logits),
                Stage::Dry => self.dry.apply(&self.history, &mut self.logits),
                Stage::TopNSigma => {
                    let floor = nsigma::floor(&self.logits, s.top_n_sigma);
                    self.floor = floor.unwrap_or(candidates::ALL);
                }
                Stage::TopK => {
                    let floor = self.floor.max(self.early_min_p());
                    candidates::gather(&self.logits, floor, s.top_k as usize, &mut self.items);
                }
                Stage::TypicalP => truncation::typical(&mut self.items, s.typical_p),
                Stage::TopP => truncation::top_p(&mut self.items, s.top_p),
                Stage::MinP => truncation::min_p(&mut self.items, s.min_p),
                Stage::Xtc => {
                    let (threshold, probability) = (s.xtc_threshold, s.xtc_probability);
                    let protected = &self.protected;
                    xtc::xtc(&mut self.items, threshold, probability, xtc_draw, protected);
                }
                // These sample the token from the candidates that the others left.
                Stage::Mirostat | Stage::Temperature => {}
            }
        }
    }

    /// The logit floor of min-p if min-p may run before top-k; otherwise, a floor that excludes
    /// nothing.
    fn early_min_p(&self) -> f64 {
        let floor = || {
            let highest = f64::from(candidates::highest(&self.logits));
            truncation::min_p_floor(highest, self.sampling.min_p)
        };
        let first = self.min_p_may_go_first();
        first.then(floor).flatten().unwrap_or(candidates::ALL)
    }
}

/// The natural logarithm of a token's probability before any stage; `-inf` for a token that is
/// ruled out. This function computes an exponential of every logit, so sampling does not use it.
pub fn log_probability(logits: &[f32], token: u32) -> f64 {
    let mut clean = Vec::new();
    candidates::clean(logits, &mut clean);
    let highest = f64::from(candidates::highest(&clean));
    match clean.get(token as usize) {
        Some(&logit) if logit > f32::NEG_INFINITY => {
            let terms = clean.iter().map(|z| libm::exp(f64::from(*z) - highest));
            f64::from(logit) - highest - libm::log(terms.sum())
        }
        _ => f64::NEG_INFINITY,
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

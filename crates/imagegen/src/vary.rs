//! Variations: samples a part of a picture again.
//!
//! The token design masks a share of the tokens and predicts them again. The other tokens do not
//! change.

use super::config::TOKENS;
use super::design::{DesignInput, Generated, KeepGoing};
use super::encoded::EncodedPicture;
use super::quantizer::FsqCodes;
use super::sampling::KnownTokens;
use super::token_design::{TokenDesign, TokenInput};
use super::{GeneratedImages, Illuminator, ImageSpec};
use crate::ImageError;
use sampler::rng::{Rng, derive};

/// The identifier of the random stream that chooses the masked tokens.
const MASK: u64 = 1;
/// The identifier of the random stream for sampling the masked tokens.
const SAMPLE: u64 = 2;

impl Illuminator {
    /// Draws one variation of a picture for each seed, with the conditioning of `spec`. `amount` is
    /// the share of the picture to change, from 0 (none) to 1 (all).
    pub fn vary(
        &self,
        spec: &ImageSpec,
        picture: &EncodedPicture,
        amount: f64,
        keep_going: KeepGoing,
    ) -> Result<Option<GeneratedImages>, ImageError> {
        let text = self.text_condition(spec)?;
        self.accepts(picture)?;
        let input = self.input(spec, &text);
        let output = self.design.vary(&input, picture, amount, keep_going)?;
        self.finish(output, text)
    }
}

impl TokenDesign {
    /// Samples a share of a picture's tokens again. `amount` is the share, from 0 to 1.
    pub(super) fn resample(
        &self,
        input: &DesignInput,
        picture: &EncodedPicture,
        amount: f64,
        keep_going: KeepGoing,
    ) -> Generated {
        let seeds = &input.spec.seeds;
        let masked = (amount.clamp(0.0, 1.0) * TOKENS as f64).round() as usize;
        let known: Vec<bool> = seeds.iter().flat_map(|seed| kept(*seed, masked)).collect();
        let tokens = FsqCodes(picture.0.repeat(seeds.len()));
        let from = TokenInput {
            known: Some(KnownTokens {
                tokens: &tokens,
                known: &known,
            }),
            examples: None,
        };
        self.sample(input, from, &mut input.rngs(Some(SAMPLE)), keep_going)
    }
}

/// Chooses `masked` tokens at random, all with equal probability (Fisher and Yates). Returns, for
/// each token, whether it is kept, that is, was not chosen.
fn kept(seed: u64, masked: usize) -> Vec<bool> {
    let mut rng = Rng::new(derive(seed, MASK));
    let mut places: Vec<usize> = (0..TOKENS).collect();
    let mut known = vec![true; TOKENS];
    for at in 0..masked {
        let other = at + (rng.next_f64() * (TOKENS - at) as f64) as usize;
        places.swap(at, other.min(TOKENS - 1));
        known[places[at]] = false;
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_tokens_go_as_were_asked_for_and_others_for_another_seed() {
        for forget in [0, 1, 20, TOKENS] {
            let gone = kept(7, forget).iter().filter(|known| !**known).count();
            assert_eq!(gone, forget);
        }
        assert_eq!(kept(7, 20), kept(7, 20));
        assert_ne!(kept(7, 20), kept(8, 20));
    }
}

//! Variations: a share of a picture's tokens is forgotten and written anew, the rest stays; or its
//! latent is moved that far towards another.

use super::composed::{Composed, GenerationInput};
use super::config::TOKENS;
use super::direct::{Direct, moved};
use super::encoded::EncodedPicture;
use super::sampling::KnownTokens;
use super::tokens::FsqCodes;
use super::{Design, GeneratedImages, Illuminator, ImageSpec, TextCondition, foreign, streams};
use crate::ImageError;
use sampler::rng::{Rng, derive};

/// Numbers of the streams that choose what is forgotten, and that write.
const FORGET: u64 = 1;
const WRITE: u64 = 2;

impl Illuminator {
    /// One variation of a picture's code for each seed. Of its tokens, `amount` (0 to 1) is written
    /// anew under the order's words and style, or its latent is moved by that: 0 paints the same.
    pub fn vary(
        &self,
        spec: &ImageSpec,
        code: &EncodedPicture,
        amount: f64,
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<Option<GeneratedImages>, ImageError> {
        let text = self.text_condition(spec)?;
        match (&self.design, code) {
            (Design::Composed(by), EncodedPicture::Tokens(tokens)) => {
                self.fits(tokens)?;
                self.rewrite(by, (spec, &text), tokens, amount, keep_going)
            }
            (Design::Direct(by), EncodedPicture::Latent(z)) => {
                let latents = around(by, spec, z, (amount, WRITE))?;
                self.pass(by, (spec, &text), latents, keep_going)
            }
            _ => Err(foreign()),
        }
    }

    fn rewrite(
        &self,
        by: &Composed,
        text: (&ImageSpec, &TextCondition),
        tokens: &FsqCodes,
        amount: f64,
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<Option<GeneratedImages>, ImageError> {
        let (spec, _) = text;
        let forget = (amount.clamp(0.0, 1.0) * TOKENS as f64).round() as usize;
        let known = spec.seeds.iter().flat_map(|seed| kept(*seed, forget));
        let known: Vec<bool> = known.collect();
        let all = FsqCodes(tokens.0.repeat(spec.seeds.len()));
        let known = Some(KnownTokens {
            tokens: &all,
            known: &known,
        });
        let basis = GenerationInput {
            known,
            retrieved: None,
        };
        self.compose(by, text, basis, &mut streams(spec, Some(WRITE)), keep_going)
    }

    pub(super) fn fits(&self, tokens: &FsqCodes) -> Result<(), ImageError> {
        match tokens.0.len() == TOKENS * self.config.codes_per_token() {
            true => Ok(()),
            false => Err(foreign()),
        }
    }
}

/// For each seed of an order a latent `amount` away from `z`, by the stream of that number.
pub(super) fn around(
    by: &Direct,
    spec: &ImageSpec,
    z: &[f32],
    (amount, stream): (f64, u64),
) -> Result<Vec<Vec<f32>>, ImageError> {
    let others = by.chance(&mut streams(spec, Some(stream)), &spec.sampling);
    let fit = others.iter().all(|other| other.len() == z.len());
    let near = others.iter().map(|other| moved(z, other, amount));
    fit.then(|| near.collect()).ok_or_else(foreign)
}

/// Which tokens stay when `forget` of them go: any with the same chance (Fisher and Yates).
fn kept(seed: u64, forget: usize) -> Vec<bool> {
    let mut rng = Rng::new(derive(seed, FORGET));
    let mut places: Vec<usize> = (0..TOKENS).collect();
    let mut known = vec![true; TOKENS];
    for at in 0..forget {
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

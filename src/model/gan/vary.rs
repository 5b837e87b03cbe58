//! Variations: a share of a picture's tokens is forgotten and written anew, the rest stays.

use super::config::TOKENS;
use super::sampling::Given;
use super::tokens::Digits;
use super::{Basis, Drawn, Illuminator, Order, streams};
use crate::model::ModelError;
use crate::model::sampler::rng::{Rng, derive};

/// Numbers of the streams that choose what is forgotten, and that write.
const FORGET: u64 = 1;
const WRITE: u64 = 2;

impl Illuminator {
    /// One variation of a picture's `tokens` `[64][digits]` for each seed. Of the tokens, `amount`
    /// (0 to 1) is written anew under the order's words and style: 0 paints the same tokens.
    pub fn vary(
        &self,
        order: &Order,
        tokens: &Digits,
        amount: f64,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Drawn>, ModelError> {
        self.fits(tokens)?;
        let led = self.led(order)?;
        let forget = (amount.clamp(0.0, 1.0) * TOKENS as f64).round() as usize;
        let known = order.seeds.iter().flat_map(|seed| kept(*seed, forget));
        let known: Vec<bool> = known.collect();
        let all = Digits(tokens.0.repeat(order.seeds.len()));
        let given = Some(Given {
            tokens: &all,
            known: &known,
        });
        let basis = Basis {
            given,
            source: None,
        };
        self.make(order, &led, basis, &mut streams(order, Some(WRITE)), go_on)
    }

    pub(super) fn fits(&self, tokens: &Digits) -> Result<(), ModelError> {
        match tokens.0.len() == TOKENS * self.config.digits() {
            true => Ok(()),
            false => Err(ModelError::Illuminator(
                "the picture's tokens are of other weights".into(),
            )),
        }
    }
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

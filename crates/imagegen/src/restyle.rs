//! The same thing in another style: a picture is shown to the token Transformer, which learned from
//! drawings of one thing in several styles, in place of what it remembers; in one pass, its latent is
//! painted under the other style.

use super::code::Code;
use super::composed::Basis;
use super::memory::unknown;
use super::vary::around;
use super::{Design, Drawn, Illuminator, Order, foreign, streams};
use crate::ImageError;

/// The number of the stream that writes.
const WRITE: u64 = 3;
/// How far a latent moves, so that another seed is another picture.
const LOOSE: f64 = 0.2;

impl Illuminator {
    /// For each seed the picture of a code, redrawn in the order's style.
    pub fn restyle(
        &self,
        order: &Order,
        source: &Code,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Drawn>, ImageError> {
        let led = self.led(order)?;
        match (&self.design, source) {
            (Design::Composed(by), Code::Tokens(source)) => {
                self.fits(source)?;
                let basis = Basis {
                    given: None,
                    shown: Some(vec![(unknown(&self.config), source.clone())]),
                };
                let rngs = &mut streams(order, Some(WRITE));
                self.compose(by, (order, &led), basis, rngs, go_on)
            }
            (Design::Direct(by), Code::Latent(z)) => {
                let latents = around(by, order, z, (LOOSE, WRITE))?;
                self.pass(by, (order, &led), latents, go_on)
            }
            _ => Err(foreign()),
        }
    }
}

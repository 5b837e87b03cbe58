//! The same thing in another style: a picture is shown to the token Transformer as a source, which
//! learned from drawings of one thing in two styles.

use super::tokens::Digits;
use super::{Basis, Drawn, Illuminator, Order, streams};
use crate::model::ModelError;

/// The number of the stream that writes.
const WRITE: u64 = 3;

impl Illuminator {
    /// For each seed the picture of `source` `[64][digits]`, redrawn in the order's style.
    pub fn restyle(
        &self,
        order: &Order,
        source: &Digits,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Drawn>, ModelError> {
        self.fits(source)?;
        let led = self.led(order)?;
        let source = Digits(source.0.repeat(order.seeds.len()));
        let basis = Basis {
            given: None,
            source: Some(&source),
        };
        self.make(order, &led, basis, &mut streams(order, Some(WRITE)), go_on)
    }
}

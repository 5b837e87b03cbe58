//! Mixing: half of one picture's tokens, and all that leads the rest of another.

use super::tokens::Digits;
use super::{Drawn, Illuminator, Order};
use crate::model::ModelError;

/// The share of tokens that is written anew. Painting all of one picture's tokens under another's
/// words alone hardly changes it.
pub const SHARE: f64 = 0.5;

impl Illuminator {
    /// For each seed a picture with half of the tokens of one `[64][digits]`, led by `order`: the
    /// words and style of the other.
    pub fn mix(
        &self,
        order: &Order,
        tokens: &Digits,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Drawn>, ModelError> {
        self.vary(order, tokens, SHARE, go_on)
    }
}

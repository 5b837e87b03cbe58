//! Mixing: half of what one picture was drawn from, and all that leads the rest of another.

use super::encoded::EncodedPicture;
use super::{GeneratedImages, Illuminator, ImageSpec};
use crate::ImageError;

/// The share that is drawn anew. Painting all of one picture's tokens under another's words alone
/// hardly changes it.
pub const MIX_SHARE: f64 = 0.5;

impl Illuminator {
    /// For each seed a picture with half of the code of one, led by `order`: the words and style of
    /// the other.
    pub fn mix(
        &self,
        spec: &ImageSpec,
        code: &EncodedPicture,
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<Option<GeneratedImages>, ImageError> {
        self.vary(spec, code, MIX_SHARE, keep_going)
    }
}

//! Mixing: half of one picture's encoded form with another's conditioning.

use super::design::KeepGoing;
use super::encoded::EncodedPicture;
use super::{GeneratedImages, Illuminator, ImageSpec};
use crate::ImageError;

/// The share that is sampled again. Decoding all of a picture's tokens under other conditioning
/// alone hardly changes it.
pub const MIX_SHARE: f64 = 0.5;

impl Illuminator {
    /// For each seed a picture with half of the tokens of one picture and the conditioning of
    /// another, which `spec` has.
    pub fn mix(
        &self,
        spec: &ImageSpec,
        picture: &EncodedPicture,
        keep_going: KeepGoing,
    ) -> Result<Option<GeneratedImages>, ImageError> {
        self.vary(spec, picture, MIX_SHARE, keep_going)
    }
}

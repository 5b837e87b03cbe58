//! Mixing: half of one picture's encoded form with another's conditioning.

use super::design::KeepGoing;
use super::encoded::EncodedPicture;
use super::{GeneratedImages, Illuminator, ImageSpec};
use crate::ImageError;

/// The share that is sampled again. Decoding all of a picture's tokens with other conditioning
/// hardly changes it.
pub const MIX_SHARE: f64 = 0.5;

impl Illuminator {
    /// One picture for each seed, with half of one picture's tokens and the conditioning of
    /// another, from `spec`.
    pub fn mix(
        &self,
        spec: &ImageSpec,
        picture: &EncodedPicture,
        keep_going: KeepGoing,
    ) -> Result<Option<GeneratedImages>, ImageError> {
        self.vary(spec, picture, MIX_SHARE, keep_going)
    }
}

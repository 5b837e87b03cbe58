//! Mixing: keeps half of one picture's encoded form and generates the rest with another's
//! conditioning.

use super::design::KeepGoing;
use super::encoded::EncodedPicture;
use super::{GeneratedImages, Illuminator, ImageSpec};
use crate::ImageError;

/// The share of the tokens that is sampled again. Merely decoding a picture's tokens with other
/// conditioning would hardly change the picture.
pub const MIX_SHARE: f64 = 0.5;

impl Illuminator {
    /// For each seed, a picture that keeps half of the tokens of `picture`; the others are sampled
    /// again with the conditioning of `spec`.
    pub fn mix(
        &self,
        spec: &ImageSpec,
        picture: &EncodedPicture,
        keep_going: KeepGoing,
    ) -> Result<Option<GeneratedImages>, ImageError> {
        self.vary(spec, picture, MIX_SHARE, keep_going)
    }
}

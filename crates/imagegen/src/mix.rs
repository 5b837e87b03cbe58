//! Mixing: keeps half of the tokens of one picture, and generates the other half with the
//! conditioning of another picture.

use super::design::KeepGoing;
use super::encoded::EncodedPicture;
use super::{GeneratedImages, Illuminator, ImageSpec};
use crate::ImageError;

/// The share of the tokens that is sampled again. Merely decoding all of a picture's tokens with
/// different conditioning would hardly change the picture.
pub const MIX_SHARE: f64 = 0.5;

impl Illuminator {
    /// Draws, for each seed, a picture that has half of the tokens of `picture`. The other half is
    /// sampled again with the conditioning of `spec`.
    pub fn mix(
        &self,
        spec: &ImageSpec,
        picture: &EncodedPicture,
        keep_going: KeepGoing,
    ) -> Result<Option<GeneratedImages>, ImageError> {
        self.vary(spec, picture, MIX_SHARE, keep_going)
    }
}

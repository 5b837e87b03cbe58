//! Restyling: draws the same picture in another style.
//!
//! The token design passes the picture to the token Transformer as the only retrieved example. This
//! works because the token Transformer was trained with examples that show the same concept in
//! other styles.

use super::design::{DesignInput, Generated, KeepGoing};
use super::encoded::EncodedPicture;
use super::quantizer::FsqCodes;
use super::retrieval_index::unknown_style;
use super::token_design::{TokenDesign, TokenInput};
use super::{GeneratedImages, Illuminator, ImageSpec};
use crate::ImageError;

/// The identifier of the random stream for sampling the tokens.
const SAMPLE: u64 = 3;

impl Illuminator {
    /// Draws the picture again in the style of `spec`, once for each seed.
    pub fn restyle(
        &self,
        spec: &ImageSpec,
        picture: &EncodedPicture,
        keep_going: KeepGoing,
    ) -> Result<Option<GeneratedImages>, ImageError> {
        let text = self.text_condition(spec)?;
        self.accepts(picture)?;
        let input = self.input(spec, &text);
        let output = self.design.restyle(&input, picture, keep_going)?;
        self.finish(output, text)
    }
}

impl TokenDesign {
    /// Samples all tokens of a new picture, with `picture` as the only retrieved example.
    pub(super) fn redraw(
        &self,
        input: &DesignInput,
        picture: &EncodedPicture,
        keep_going: KeepGoing,
    ) -> Generated {
        let example = (unknown_style(input.config), FsqCodes(picture.0.clone()));
        let from = TokenInput {
            known: None,
            examples: Some(vec![example]),
        };
        self.sample(input, from, &mut input.rngs(Some(SAMPLE)), keep_going)
    }
}

//! The same thing in another style: a picture is shown to the token Transformer, which learned from
//! drawings of one thing in several styles, in place of what it remembers; in one pass, its latent is
//! painted under the other style.

use super::composed::GenerationInput;
use super::encoded::EncodedPicture;
use super::retrieval_index::unknown_style;
use super::vary::around;
use super::{Design, GeneratedImages, Illuminator, ImageSpec, foreign, streams};
use crate::ImageError;

/// The number of the stream that writes.
const WRITE: u64 = 3;
/// How far a latent moves, so that another seed is another picture.
const LOOSE: f64 = 0.2;

impl Illuminator {
    /// For each seed the picture of a code, redrawn in the order's style.
    pub fn restyle(
        &self,
        spec: &ImageSpec,
        source: &EncodedPicture,
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<Option<GeneratedImages>, ImageError> {
        let text = self.text_condition(spec)?;
        match (&self.design, source) {
            (Design::Composed(by), EncodedPicture::Tokens(source)) => {
                self.fits(source)?;
                let basis = GenerationInput {
                    known: None,
                    retrieved: Some(vec![(unknown_style(&self.config), source.clone())]),
                };
                let rngs = &mut streams(spec, Some(WRITE));
                self.compose(by, (spec, &text), basis, rngs, keep_going)
            }
            (Design::Direct(by), EncodedPicture::Latent(z)) => {
                let latents = around(by, spec, z, (LOOSE, WRITE))?;
                self.pass(by, (spec, &text), latents, keep_going)
            }
            _ => Err(foreign()),
        }
    }
}

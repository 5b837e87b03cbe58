//! Errors of image generation; each is a sentence that says what to do.

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error(
        "The network that enlarges pictures cannot be read ({0}); `illumine models verify esrgan-slim` checks its file"
    )]
    Upscaler(String),
    #[error("The illuminator's weights cannot be used ({0}); `--weights` names another folder")]
    Illuminator(String),
    #[error(
        "The illuminator's weights are not here; --weights or ILLUMINE_WEIGHTS names their folder, and `illumine train` makes one"
    )]
    NoIlluminator,
    #[error("The picture could not be computed: {0}")]
    Compute(String),
}

impl From<candle_core::Error> for ImageError {
    fn from(error: candle_core::Error) -> ImageError {
        ImageError::Compute(base::untrusted::clean_line(&error.to_string()))
    }
}

//! The errors of image generation. Each message is a sentence that says what to do.

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error(
        "Cannot load the upscaler ({0}); check its file with `illumine models verify esrgan-slim`"
    )]
    Upscaler(String),
    #[error("Cannot use the image model's weights ({0}); choose another folder with --weights")]
    Illuminator(String),
    #[error(
        "Cannot find the image model's weights; give their folder with --weights or ILLUMINE_WEIGHTS, or train your own with `illumine train`"
    )]
    NoIlluminator,
    #[error("The image model failed to run: {0}")]
    Compute(String),
}

impl From<candle_core::Error> for ImageError {
    fn from(error: candle_core::Error) -> ImageError {
        ImageError::Compute(base::untrusted::clean_line(&error.to_string()))
    }
}

//! The image pipeline: text encoder and image model together, from a prompt to pixels.
//!
//! It uses no sessions, and no files except the weights. The same request, weights and seed give
//! the same pixels, as long as the compute backend is the same.

mod describe;
mod job;
mod prompt;
mod scene;

use base::progress::Observer;
use base::untrusted::clean_line;
use imagegen::ImageError;
use imagegen::concepts::best_similarity;
use imagegen::design::DesignLoader;
use imagegen::encoded::EncodedPicture;
use imagegen::picture_file::{PictureFileError, decode_square};
use imagegen::sampling::Sampling;
use imagegen::upscaler::{SCALE, Upscaler};
use imagegen::{Illuminator, ImageSpec, MIX_SHARE, is_complete};
use job::ImageJob;
use llm::sentence_encoder::SentenceEncoder;
use llm::{ModelError, device};
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use story::picture::{
    DrawnPicture, Layer, PictureProvenance, PictureRequest, PictureTask, PromptOrPicture,
    PromptSource, SourcePicture, StyleChoice,
};

/// The models for drawing: the text encoder, the image model and, once a request has needed it, the
/// upscaler.
pub struct ImagePipeline {
    pub encoder: Rc<SentenceEncoder>,
    pub illuminator: Illuminator,
    /// The name of the compute backend. A picture can be reproduced exactly only on the same
    /// backend.
    pub backend: String,
    /// The upscaler. It is loaded when a request first needs it.
    pub upscaler: OnceCell<Upscaler>,
}

/// The maximum length of a prompt in characters.
pub const MAX_PROMPT_CHARS: usize = 2000;
/// The maximum number of pictures per request.
pub const MAX_PICTURES: usize = 64;
/// The number of pictures that are drawn in one batch. A stop request takes effect between two
/// decoding steps of a batch.
const BATCH: usize = 4;

/// The reason why nothing was drawn. The message also says what the user can do.
#[derive(Debug, thiserror::Error)]
pub enum DrawError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("The prompt is empty; describe the picture, for example \"a red dragon asleep\"")]
    NoWords,
    #[error(
        "The prompt is too long ({0} characters); describe the picture in at most {MAX_PROMPT_CHARS}"
    )]
    TooLong(usize),
    #[error("Unknown style '{0}'; available styles: {1}")]
    Style(String, String),
    #[error("Cannot draw {0} pictures at once; the maximum is {MAX_PICTURES}")]
    Many(usize),
    #[error("Cannot use {0}: {1}")]
    Unreadable(String, PictureFileError),
    #[error("The upscaler is not loaded; use `illumine draw --enlarge`")]
    NoUpscaler,
    #[error(
        "That picture was drawn before these weights were stored in 8 bits; draw it again with --device cpu"
    )]
    BeforeEightBits,
    #[error("That picture was drawn with different weights; give their folder with --weights")]
    OtherWeights,
    #[error("Temperature must be 0 to 10, guidance -20 to 20, retrieval strength 0 to 20")]
    Sampling,
}

/// A function that is called between decoding steps and returns false to stop drawing.
type KeepGoing<'a> = &'a mut dyn FnMut() -> bool;

/// The loaders of image model designs that imagegen does not contain. The only such design is the
/// one-pass design of the trainer.
#[cfg(feature = "train")]
const DESIGNS: &[DesignLoader] = &[train::one_pass::LOADER];
#[cfg(not(feature = "train"))]
const DESIGNS: &[DesignLoader] = &[];

/// Returns the first complete folder of weights. If `places` contains only one folder, returns that
/// folder even if it is incomplete.
pub fn find_weights(places: &[PathBuf]) -> Result<PathBuf, ImageError> {
    match places {
        // A folder named by the user is loaded even if incomplete: the loader reports
        // what it lacks.
        [named] => Ok(named.clone()),
        places => {
            let found = places
                .iter()
                .find(|folder| is_complete(folder, DESIGNS))
                .cloned();
            found.ok_or(ImageError::NoIlluminator)
        }
    }
}

/// Loads the image model from a folder of weights. Returns the model and the name of the compute
/// backend.
pub fn load_illuminator(
    folder: &Path,
    choice: device::DeviceChoice,
    threads: usize,
) -> Result<(Illuminator, String), DrawError> {
    let device = device::open(choice)?;
    let illuminator = Illuminator::load(folder, &device, threads, DESIGNS)?;
    Ok((illuminator, device::name(&device)))
}

impl ImagePipeline {
    pub fn new(
        encoder: Rc<SentenceEncoder>,
        (illuminator, backend): (Illuminator, String),
    ) -> ImagePipeline {
        ImagePipeline {
            encoder,
            illuminator,
            backend,
            upscaler: OnceCell::new(),
        }
    }

    /// Draws the pictures of a request. The progress is the number of finished pictures. Returns
    /// None if the request was stopped.
    pub fn draw(
        &self,
        request: &PictureRequest,
        observer: &dyn Observer,
    ) -> Result<Option<Vec<DrawnPicture>>, DrawError> {
        self.check_weights(request)?;
        let sampling = self.illuminator.supported_sampling(sampling(request)?);
        let mut job = ImageJob {
            pipeline: self,
            request,
            sampling,
            done: Vec::new(),
            total: 0,
            observer,
        };
        let whole = match &request.task {
            PictureTask::Prompt(words) => job.words(prompt_text(words)?)?,
            PictureTask::Scene(words) => job.scene(prompt_text(words)?)?,
            PictureTask::Vary { of, amount } => {
                let (code, own) = self.encoded_source(of)?;
                let sight = PromptOrPicture::Picture(Box::new(own));
                job.vary(&code, &sight, *amount)?
            }
            PictureTask::Mix { of, with } => {
                let (code, _) = self.encoded_source(of)?;
                job.vary(&code, with, MIX_SHARE)?
            }
            PictureTask::Restyle { of, words } => {
                let (code, own) = self.encoded_source(of)?;
                let words = words.clone().unwrap_or(own.prompt);
                job.restyle(&code, &words)?
            }
            PictureTask::Lerp { from, to, at } => job.lerp(from, to, at)?,
        };
        let mut done = job.done;
        if whole && request.enlarged {
            for layer in done.iter_mut().flat_map(|drawing| &mut drawing.layers) {
                if observer.is_cancelled() {
                    return Ok(None);
                }
                self.upscale(layer)?;
            }
        }
        Ok(whole.then_some(done))
    }

    /// Returns an error if the request needs weights other than those that are loaded.
    fn check_weights(&self, request: &PictureRequest) -> Result<(), DrawError> {
        let illuminator = &self.illuminator;
        match &request.weights {
            None => Ok(()),
            Some(wanted) if illuminator.reproduces(wanted) => Ok(()),
            Some(wanted) if illuminator.config.same_pictures_as.contains(wanted) => {
                Err(DrawError::BeforeEightBits)
            }
            Some(_) => Err(DrawError::OtherWeights),
        }
    }

    fn upscale(&self, layer: &mut Layer) -> Result<(), DrawError> {
        let upscaler = self.upscaler.get().ok_or(DrawError::NoUpscaler)?;
        layer.pixels = upscaler.upscale(&layer.pixels, layer.size)?;
        layer.size *= SCALE;
        Ok(())
    }

    /// Creates the image spec for a prompt and a style, with the default sampling settings.
    pub fn image_spec(
        &self,
        words: &str,
        style: &str,
        seeds: Vec<u64>,
    ) -> Result<ImageSpec, DrawError> {
        let style = self.style_numbers(&StyleChoice::Named(style.to_string()), None)?;
        let embedding = self.embed_prompt(words)?;
        Ok(ImageSpec {
            embedding: embedding.words,
            subject: embedding.subject,
            style: style.first().copied().flatten(),
            seeds,
            sampling: self.illuminator.supported_sampling(Sampling::default()),
        })
    }

    /// Returns the encoded form and the provenance of a picture. If the picture was drawn with the
    /// loaded weights, the encoded form comes from the provenance; otherwise the encoder computes
    /// it.
    fn encoded_source(
        &self,
        source: &SourcePicture,
    ) -> Result<(EncodedPicture, PictureProvenance), DrawError> {
        let own = source.provenance.clone().unwrap_or_default();
        let same = self.illuminator.reproduces(&own.weights);
        if let Some(code) = self
            .illuminator
            .encoded_from_hex(&own.tokens)
            .filter(|_| same)
        {
            return Ok((code, own));
        }
        let size = self.illuminator.config.size;
        let picture = decode_square(&source.file, size)
            .map_err(|why| DrawError::Unreadable(clean_line(&source.name), why))?;
        let known = |style: &String| self.illuminator.style(style).is_some();
        let how = PictureProvenance {
            prompt: match own.prompt.is_empty() {
                true => self.prompt_from_file_name(&source.name)?,
                false => own.prompt,
            },
            style: own.style.filter(known),
            seed: own.seed,
            ..PictureProvenance::default()
        };
        Ok((self.illuminator.encode(&picture)?, how))
    }

    /// Returns the name of a file, for use as a prompt, if the name is similar to a concept;
    /// otherwise an empty string.
    fn prompt_from_file_name(&self, name: &str) -> Result<String, DrawError> {
        let stem = Path::new(name).file_stem().unwrap_or_default();
        let words = clean_line(&stem.to_string_lossy()).replace(['-', '_'], " ");
        Ok(match self.similarity(&words)? >= NAME_SIMILARITY {
            true => words,
            false => String::new(),
        })
    }

    /// The similarity between a prompt and the concept nearest to it.
    fn similarity(&self, words: &str) -> Result<f32, DrawError> {
        if words.trim().is_empty() {
            return Ok(0.0);
        }
        let concepts = &self.illuminator.concepts;
        Ok(best_similarity(
            &concepts.nearest(&self.encoder.embed(words)?, &|_| true),
        ))
    }

    /// Returns the indices of the styles that a request needs; None means any style. `own` is the
    /// style of the source picture.
    fn style_numbers(
        &self,
        style: &StyleChoice,
        own: PictureStyle,
    ) -> Result<Vec<Option<u32>>, DrawError> {
        let number = |name: &str| {
            let short = || clean_line(&name.chars().take(40).collect::<String>());
            let styles = || self.illuminator.config.styles.join(", ");
            let found = self.illuminator.style(name);
            found.ok_or_else(|| DrawError::Style(short(), styles()))
        };
        Ok(match (style, own) {
            (StyleChoice::Any, _) => vec![None],
            (StyleChoice::All, _) => (0..self.illuminator.config.styles.len() as u32)
                .map(Some)
                .collect(),
            (StyleChoice::Named(name), _) => vec![Some(number(name)?)],
            (StyleChoice::Default, Some(own)) => {
                vec![own.and_then(|own| self.illuminator.style(own))]
            }
            (StyleChoice::Default, None) => vec![Some(0)],
        })
    }

    fn style_name(&self, style: Option<u32>) -> Option<String> {
        let styles = &self.illuminator.config.styles;
        style.and_then(|at| styles.get(at as usize)).cloned()
    }
}

/// The style of the source picture. The outer option is None if there is no source picture; the
/// inner option is None if the picture may have any style.
type PictureStyle<'a> = Option<Option<&'a str>>;

/// The name of a file is used as a prompt only if its similarity to a concept is at least this.
const NAME_SIMILARITY: f32 = 0.6;

fn prompt_text(words: &PromptSource) -> Result<&str, DrawError> {
    let words = match words {
        PromptSource::Given(words) => words.trim(),
        PromptSource::Passage { text, .. } => text.trim(),
    };
    match words.chars().count() {
        0 => Err(DrawError::NoWords),
        letters if letters > MAX_PROMPT_CHARS => Err(DrawError::TooLong(letters)),
        _ => Ok(words),
    }
}

fn sampling(request: &PictureRequest) -> Result<Sampling, DrawError> {
    let PictureRequest {
        temperature,
        guidance,
        retrieval_strength: recall,
        steps,
        ..
    } = request;
    Sampling::with([*temperature, *guidance, *recall], *steps).ok_or(DrawError::Sampling)
}

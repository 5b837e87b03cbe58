//! The interface between the illuminator and an image design, which encodes pictures and generates
//! them from conditioning.
//!
//! The token design (`super::token_design`) is the one that ships. The trainer has another, which
//! it passes in as a [`DesignLoader`].

use super::conditioning::Conditioning;
use super::config::Config;
use super::encoded::EncodedPicture;
use super::folder::WeightsFolder;
use super::sampling::Sampling;
use super::{ImageSpec, TextCondition};
use crate::ImageError;
use candle_core::{Device, Result, Tensor};
use sampler::rng::{Rng, derive};

/// The networks of a set of weights.
pub trait Design {
    /// The settings as the design uses them: those that it does not support are set to values that
    /// turn them off.
    fn supported_sampling(&self, sampling: Sampling) -> Sampling {
        sampling
    }

    /// Whether a concept can be drawn in a style; None means any style.
    fn covers(&self, _concept: u32, _style: Option<u32>) -> bool {
        true
    }

    /// Keeps only the stored drawings whose concept and style get new numbers, and renumbers them.
    /// `counts`: how many concepts and styles remain.
    fn remove_drawings(&mut self, _renumber: Renumber, _counts: (usize, usize)) {}

    /// Generates one picture for each seed.
    fn generate(&self, input: &DesignInput, keep_going: KeepGoing) -> Generated;

    /// Generates one variation of a picture for each seed; `amount`: 0 (the same picture) to 1.
    fn vary(
        &self,
        input: &DesignInput,
        picture: &EncodedPicture,
        amount: f64,
        keep_going: KeepGoing,
    ) -> Generated;

    /// Draws the picture in another style, once for each seed.
    fn restyle(
        &self,
        input: &DesignInput,
        picture: &EncodedPicture,
        keep_going: KeepGoing,
    ) -> Generated;

    /// The picture at a position (0 to 1) between two others; `between` holds the interpolated
    /// text, and the nearer end's style and seeds.
    fn interpolate(
        &self,
        _ends: [&DesignInput; 2],
        between: &DesignInput,
        _at: f64,
        keep_going: KeepGoing,
    ) -> Generated {
        self.generate(between, keep_going)
    }

    /// The encoded form of a picture `[1, 4, size, size]` with premultiplied values from -1 to 1.
    fn encode(&self, picture: &Tensor) -> std::result::Result<EncodedPicture, ImageError>;

    /// Whether these weights could have produced an encoded picture.
    fn accepts(&self, picture: &EncodedPicture) -> bool;
}

/// Called between decoding steps; returning false ends generation with None.
pub type KeepGoing<'a> = &'a mut dyn FnMut() -> bool;

/// The new numbers of a concept and a style; None if the drawing is to be removed.
pub type Renumber<'a> = &'a dyn Fn(u32, u32) -> Option<(u32, u32)>;

/// The result of generation; None if it was stopped.
pub type Generated = std::result::Result<Option<DesignOutput>, ImageError>;

/// The pictures that a design generated.
pub struct DesignOutput {
    /// `[batch, 4, size, size]`: premultiplied values from -1 to 1.
    pub pixels: Tensor,
    /// The encoded form of each picture.
    pub encoded: Vec<EncodedPicture>,
}

/// The input of a design.
pub struct DesignInput<'a> {
    pub spec: &'a ImageSpec,
    pub text: &'a TextCondition,
    pub config: &'a Config,
    pub device: &'a Device,
}

impl DesignInput<'_> {
    /// The conditioning of one network. `null_text`, which belongs to the network, replaces the
    /// embedding of an empty prompt.
    pub fn conditioning(&self, null_text: &Tensor) -> Result<Conditioning> {
        let count = self.spec.seeds.len();
        let embedding = &self.text.embedding;
        let text = match embedding.is_empty() {
            true => null_text.clone(),
            false => Tensor::new(self.config.normalize_text(embedding), self.device)?,
        };
        Ok(Conditioning {
            text: text.unsqueeze(0)?.repeat((count, 1))?,
            style: vec![self.spec.style; count],
            flip: vec![false; count],
        })
    }

    /// One random stream per picture; a `purpose` selects separate streams.
    pub fn rngs(&self, purpose: Option<u64>) -> Vec<Rng> {
        let seeds = self.spec.seeds.iter().map(|seed| match purpose {
            None => *seed,
            Some(purpose) => derive(*seed, purpose),
        });
        seeds.map(Rng::new).collect()
    }
}

/// Loads the weights of a design that this crate does not contain.
pub struct DesignLoader {
    /// The names of all weights files of the design.
    pub files: &'static [&'static str],
    /// Whether weights with this config belong to the design.
    pub owns: fn(&Config) -> bool,
    pub load: LoadDesign,
}

/// Loads the networks of a design.
pub type LoadDesign =
    fn(&mut WeightsFolder, &Config) -> std::result::Result<Box<dyn Design>, ImageError>;

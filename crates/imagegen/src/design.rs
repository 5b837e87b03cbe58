//! The interface between the illuminator and an image design. A design encodes pictures, and
//! generates pictures from conditioning.
//!
//! The shipped weights use the token design (`super::token_design`). The trainer has another
//! design, which it passes in as a [`DesignLoader`].

use super::conditioning::Conditioning;
use super::config::Config;
use super::encoded::EncodedPicture;
use super::folder::WeightsFolder;
use super::sampling::Sampling;
use super::{ImageSpec, TextCondition};
use crate::ImageError;
use candle_core::{Device, Result, Tensor};
use sampler::rng::{Rng, derive};

/// An image design: the networks of a set of weights.
pub trait Design {
    /// Returns the settings that the design will use. Settings that the design does not support are
    /// set to values that turn them off.
    fn supported_sampling(&self, sampling: Sampling) -> Sampling {
        sampling
    }

    /// Whether a concept can be drawn in a style. A style of None means any style.
    fn covers(&self, _concept: u32, _style: Option<u32>) -> bool {
        true
    }

    /// Removes the stored drawings for which `_renumber` returns None, and renumbers the concepts
    /// and styles of the remaining drawings. `_counts` are the numbers of concepts and styles that
    /// are left.
    fn remove_drawings(&mut self, _renumber: Renumber, _counts: (usize, usize)) {}

    /// Generates one picture for each seed.
    fn generate(&self, input: &DesignInput, keep_going: KeepGoing) -> Generated;

    /// Generates one variation of a picture for each seed. `amount` is the share of the picture to
    /// change, from 0 (none) to 1 (all).
    fn vary(
        &self,
        input: &DesignInput,
        picture: &EncodedPicture,
        amount: f64,
        keep_going: KeepGoing,
    ) -> Generated;

    /// Draws the picture in the style of `input`, once for each seed.
    fn restyle(
        &self,
        input: &DesignInput,
        picture: &EncodedPicture,
        keep_going: KeepGoing,
    ) -> Generated;

    /// Generates the picture at position `_at` (0 to 1) between two other pictures, the `_ends`.
    /// `between` contains the interpolated text, and the style and the seeds of the nearer end.
    fn interpolate(
        &self,
        _ends: [&DesignInput; 2],
        between: &DesignInput,
        _at: f64,
        keep_going: KeepGoing,
    ) -> Generated {
        self.generate(between, keep_going)
    }

    /// Encodes a picture `[1, 4, size, size]`, whose values are premultiplied and range from -1 to
    /// 1.
    fn encode(&self, picture: &Tensor) -> std::result::Result<EncodedPicture, ImageError>;

    /// Whether these weights could have produced an encoded picture.
    fn accepts(&self, picture: &EncodedPicture) -> bool;
}

/// A function that is called between decoding steps. If it returns false, generation stops with the
/// result None.
pub type KeepGoing<'a> = &'a mut dyn FnMut() -> bool;

/// A function that maps the concept index and style index of a drawing to new indices. It returns
/// None if the drawing is to be removed.
pub type Renumber<'a> = &'a dyn Fn(u32, u32) -> Option<(u32, u32)>;

/// The result of generation. It is None if generation was stopped.
pub type Generated = std::result::Result<Option<DesignOutput>, ImageError>;

/// The pictures that a design generated.
pub struct DesignOutput {
    /// The pixels `[batch, 4, size, size]`: premultiplied values from -1 to 1.
    pub pixels: Tensor,
    /// The encoded form of each picture.
    pub encoded: Vec<EncodedPicture>,
}

/// The input from which a design generates pictures.
pub struct DesignInput<'a> {
    pub spec: &'a ImageSpec,
    pub text: &'a TextCondition,
    pub config: &'a Config,
    pub device: &'a Device,
}

impl DesignInput<'_> {
    /// Returns the conditioning for a network. `null_text` is the network's embedding for an empty
    /// prompt.
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

    /// Returns one random stream for each picture. Each `purpose` has its own streams.
    pub fn rngs(&self, purpose: Option<u64>) -> Vec<Rng> {
        let seeds = self.spec.seeds.iter().map(|seed| match purpose {
            None => *seed,
            Some(purpose) => derive(*seed, purpose),
        });
        seeds.map(Rng::new).collect()
    }
}

/// Loads the weights of a design that is not part of this crate.
pub struct DesignLoader {
    /// The names of the design's weights files.
    pub files: &'static [&'static str],
    /// Whether weights with this config belong to the design.
    pub owns: fn(&Config) -> bool,
    pub load: LoadDesign,
}

/// A function that loads the networks of a design.
pub type LoadDesign =
    fn(&mut WeightsFolder, &Config) -> std::result::Result<Box<dyn Design>, ImageError>;

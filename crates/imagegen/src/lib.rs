//! The illuminator: words become a small picture.
//!
//! Two designs share the generator's body, the discriminator and all that leads them. Composed: a
//! token Transformer composes ([`tokens`], [`sampling`]), a refiner looks over it ([`refiner`]; both
//! read by [`reader`]), a generator paints ([`generator`]), and an encoder makes tokens of pictures
//! for them to learn from ([`encoder`], [`quantizer`]); what was learned from is remembered
//! ([`memory`]), and looked at ([`recall`]). Direct ([`direct`]): chance, words and style become a
//! picture in one pass. In training a discriminator judges pictures ([`discriminator`]), or a critic
//! what another network sees in them ([`critic`]). What there is can be varied, mixed, text to
//! another and redrawn in another style: a file each. All are made from [`weights`] and [`layers`],
//! sized by [`config`]. tests/peers/illuminator has the same networks in PyTorch.
//!
//! Knows no words beyond the embedding that it is handed, and no files beyond its weights.

#[cfg(feature = "train")]
use ::autograd;
#[cfg(not(feature = "train"))]
#[path = "without_autograd.rs"]
mod autograd;

mod attention;
pub mod backbone;
mod code_head;
mod composed;
pub mod concepts;
pub mod conditioning;
pub mod config;
pub mod critic;
pub mod direct;
pub mod discriminator;
pub mod encoded;
pub mod encoder;
mod error;
mod folder;
mod fused;
pub mod generator;
mod halton;
pub mod layers;
mod lerp;
mod mix;
pub mod patches;
pub mod picture_file;
pub mod quantizer;
pub mod refiner;
mod restyle;
mod retrieval_encoder;
pub mod retrieval_index;
pub mod sampling;
mod style_coverage;
pub mod tokens;
pub mod upscaler;
mod vary;
pub mod weights;

pub use error::ImageError;
pub use mix::MIX_SHARE;

use candle_core::{Device, Tensor};
use composed::{Composed, GenerationInput};
use concepts::{Concepts, Match, best_similarity};
use conditioning::Conditioning;
use config::{CHANNELS, Config};
use direct::Direct;
use encoded::EncodedPicture;
use folder::WeightsFolder;
use sampler::rng::{Rng, derive};
use sampling::Sampling;
use std::path::Path;

/// Everything that draws, in memory.
pub struct Illuminator {
    pub config: Config,
    pub concepts: Concepts,
    /// SHA-256 over all files, in hexadecimal digits: what provenance records.
    pub sha256: String,
    design: Design,
    device: Device,
}

/// The networks of one of the designs.
enum Design {
    Composed(Box<Composed>),
    Direct(Box<Direct>),
}

/// A picture: rows from the top, premultiplied RGBA, `size * size * 4` bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub size: usize,
    pub pixels: Vec<u8>,
}

/// What to draw.
#[derive(Clone, Debug)]
pub struct ImageSpec {
    /// The prompt's embedding, of length one; empty where there are no words.
    pub embedding: Vec<f32>,
    /// The embedding of the words that name the thing, where they are not all; else empty.
    pub subject: Vec<f32>,
    /// The number of a style; None leaves it to the model.
    pub style: Option<u32>,
    /// One picture for each.
    pub seeds: Vec<u64>,
    pub sampling: Sampling,
}

/// Pictures, and what they are of.
#[derive(Clone, Debug)]
pub struct GeneratedImages {
    pub pictures: Vec<Picture>,
    /// What each was drawn from besides its words.
    pub encoded: Vec<EncodedPicture>,
    /// The concepts nearest to the prompt, the nearest first.
    pub concepts: Vec<Match>,
}

/// Words as the networks hear them (empty for none), and what they were taken for.
#[derive(Clone, Debug, Default)]
struct TextCondition {
    embedding: Vec<f32>,
    concepts: Vec<Match>,
}

/// The files of a set of weights that composes; [`direct::FILES`] are those of the others.
pub const FILES: [&str; 6] = [
    "config.json",
    "concepts.safetensors",
    "generator.safetensors",
    "tokens.safetensors",
    "encoder.safetensors",
    "memory.safetensors",
];

/// One more file of weights that compose, which they may lack: what looks over what was composed.
pub const REFINER_FILE: &str = "refiner.safetensors";

/// Whether a folder has all files of a set of weights.
pub fn is_complete(folder: &Path) -> bool {
    let there = |name: &str| folder.join(name).is_file();
    let direct = || {
        let config = std::fs::read(folder.join(FILES[0])).unwrap_or_default();
        Config::parse(&config).is_ok_and(|config| config.direct.is_some())
    };
    FILES.iter().all(|name| there(name))
        || (direct::FILES.iter().all(|name| there(name)) && direct())
}

impl Illuminator {
    /// Reads a folder of weights; on a CPU matrices are packed to 8 bits.
    pub fn load(path: &Path, device: &Device, threads: usize) -> Result<Illuminator, ImageError> {
        let mut folder = WeightsFolder::new(path, device, threads);
        let [json, table, ..] = FILES;
        let config = folder.read_file(json)?;
        let config = Config::parse(&config).map_err(|why| folder.unreadable(json, &why))?;
        let concepts = folder.read_file(table)?;
        let concepts =
            Concepts::parse(&concepts, &config).map_err(|why| folder.unreadable(table, &why))?;
        let design = match config.direct {
            None => {
                let composed = Composed::load(&mut folder, &config, &concepts, device)?;
                Design::Composed(Box::new(composed))
            }
            Some(_) => Design::Direct(Box::new(Direct::load(&mut folder, &config)?)),
        };
        Ok(Illuminator {
            design,
            concepts,
            sha256: folder.sha256(),
            device: device.clone(),
            config,
        })
    }

    /// The number of a style by its name.
    pub fn style(&self, name: &str) -> Option<u32> {
        let named = |style: &String| style.eq_ignore_ascii_case(name);
        self.config
            .styles
            .iter()
            .position(named)
            .map(|at| at as u32)
    }

    /// Draws one picture for each seed. `go_on` is asked between rounds; false ends it with None.
    pub fn draw(
        &self,
        spec: &ImageSpec,
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<Option<GeneratedImages>, ImageError> {
        let text = self.text_condition(spec)?;
        let mut rngs = streams(spec, None);
        match &self.design {
            Design::Composed(by) => self.compose(
                by,
                (spec, &text),
                GenerationInput::default(),
                &mut rngs,
                keep_going,
            ),
            Design::Direct(by) => {
                let latents = by.chance(&mut rngs, &spec.sampling);
                self.pass(by, (spec, &text), latents, keep_going)
            }
        }
    }

    /// What of these settings the weights heed: one pass has no rounds and nothing to be guided by.
    pub fn supported_sampling(&self, sampling: Sampling) -> Sampling {
        match &self.design {
            Design::Composed(_) => sampling,
            Design::Direct(_) => Sampling {
                steps: 1,
                guidance: 1.0,
                retrieval_strength: 0.0,
                ..sampling
            },
        }
    }

    /// What leads the pictures of an order, and the concepts that it was taken for.
    fn text_condition(&self, spec: &ImageSpec) -> Result<TextCondition, ImageError> {
        if spec.embedding.is_empty() {
            return Ok(TextCondition::default());
        }
        let want = self.config.text;
        let given = [&spec.embedding, &spec.subject].into_iter();
        let mut given = given.map(Vec::len).filter(|have| *have > 0);
        if let Some(have) = given.find(|have| *have != want) {
            let why =
                format!("their text embeddings have {want} dimensions, the text encoder's {have}");
            return Err(ImageError::Illuminator(why));
        }
        let mut concepts = self.nearest(&spec.embedding, spec.style);
        if !spec.subject.is_empty() {
            let named = self.nearest(&spec.subject, spec.style);
            if best_similarity(&named) > best_similarity(&concepts) + SUBJECT_MARGIN {
                concepts = named;
            }
        }
        let embedding = self.concepts.blend(&spec.embedding, &concepts);
        Ok(TextCondition {
            embedding,
            concepts,
        })
    }

    /// The concepts nearest to words, those before others that can be drawn in the style.
    fn nearest(&self, embedding: &[f32], style: Option<u32>) -> Vec<Match> {
        self.concepts
            .nearest(embedding, &|concept| match &self.design {
                Design::Composed(by) => by.fits(concept, style),
                Design::Direct(_) => true,
            })
    }

    /// Forgets drawings of things (by label and style), and things of which no drawing is left, so
    /// that they are drawn as what was never seen is.
    pub fn remove_drawings(&mut self, which: &dyn Fn(&str, &str) -> bool) {
        let styles = self.config.styles.clone();
        let gone = |label: &str| styles.iter().all(|style| which(label, style));
        let (concepts, numbers) = self.concepts.without(&gone);
        if let Design::Composed(by) = &mut self.design {
            let drawing = |concept: u32, style: u32| {
                let label = &self.concepts.labels()[concept as usize];
                let named = styles.get(style as usize);
                let held = named.is_some_and(|style| which(label, style));
                Some((numbers[concept as usize].filter(|_| !held)?, style))
            };
            by.remove_drawings(&drawing, (concepts.labels().len(), styles.len()));
        }
        self.concepts = concepts;
    }

    /// `none` stands for words that are not given: each network has its own.
    fn conditioning(
        &self,
        spec: &ImageSpec,
        text: &TextCondition,
        none: &Tensor,
    ) -> Result<Conditioning, ImageError> {
        let count = spec.seeds.len();
        let text = match text.embedding.is_empty() {
            true => none.clone(),
            false => Tensor::new(self.config.normalize_text(&text.embedding), &self.device)?,
        };
        Ok(Conditioning {
            text: text.unsqueeze(0)?.repeat((count, 1))?,
            style: vec![spec.style; count],
            flip: vec![false; count],
        })
    }

    /// The code that was spelled in hexadecimal digits; none where it is not this model's.
    pub fn encoded_from_hex(&self, text: &str) -> Option<EncodedPicture> {
        EncodedPicture::from_hex(text, &self.config)
    }

    /// `[batch, 4, size, size]` as pictures.
    fn pictures(&self, pictures: &Tensor) -> Result<Vec<Picture>, ImageError> {
        let pictures = pictures.permute((0, 2, 3, 1))?.flatten_from(1)?;
        let rows = pictures.to_vec2::<f32>()?;
        let size = self.config.size;
        let pixels = |row: Vec<f32>| Picture {
            size,
            pixels: to_pixel_bytes(&row),
        };
        Ok(rows.into_iter().map(pixels).collect())
    }

    /// The code of a picture of the model's size.
    pub fn encode(&self, picture: &Picture) -> Result<EncodedPicture, ImageError> {
        let shape = (1, self.config.size, self.config.size, CHANNELS);
        let numbers = picture
            .pixels
            .iter()
            .map(|byte| f32::from(*byte) / 127.5 - 1.0);
        let x = Tensor::from_vec(numbers.collect(), shape, &self.device)?;
        let x = x.permute((0, 3, 1, 2))?.contiguous()?;
        match &self.design {
            Design::Composed(by) => by.encode(&x),
            Design::Direct(by) => by.encode(&x),
        }
    }
}

/// So much nearer a part of the words must come than all of them, to be taken for what is meant.
const SUBJECT_MARGIN: f32 = 0.02;

/// A picture of other weights, or of the other design.
fn foreign() -> ImageError {
    ImageError::Illuminator("the picture's codes come from different weights".into())
}

/// A stream of chance for each picture; that of another purpose has a number.
fn streams(spec: &ImageSpec, purpose: Option<u64>) -> Vec<Rng> {
    let seeds = spec.seeds.iter().map(|seed| match purpose {
        None => *seed,
        Some(purpose) => derive(*seed, purpose),
    });
    seeds.map(Rng::new).collect()
}

/// -1 to 1 as bytes; no colour is stronger than its opacity.
pub fn to_pixel_bytes(values: &[f32]) -> Vec<u8> {
    let mut bytes: Vec<u8> = values
        .iter()
        .map(|x| ((x + 1.0) * 127.5).round() as u8)
        .collect();
    for pixel in bytes.chunks_exact_mut(CHANNELS) {
        let opacity = pixel[CHANNELS - 1];
        pixel
            .iter_mut()
            .for_each(|colour| *colour = (*colour).min(opacity));
    }
    bytes
}

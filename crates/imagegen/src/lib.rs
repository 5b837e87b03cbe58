//! The illuminator: conditional generation of small pictures from prompt embeddings.
//!
//! An [`Illuminator`] consists of a config, concepts and the networks of a [`design::Design`]. The
//! token design (`token_design`) samples tokens with a token Transformer ([`tokens`], [`sampling`])
//! from conditioning ([`conditioning`]) and retrieved examples ([`retrieval_index`],
//! `retrieval_encoder`), corrects them with a refiner ([`refiner`], which has the same kind of
//! [`backbone`] as the token Transformer) and decodes them ([`generator`]); an encoder
//! ([`encoder`], [`quantizer`]) turns pictures into tokens. In training a discriminator
//! ([`discriminator`]) or a critic on pretrained features ([`critic`]) scores pictures. Varying,
//! interpolating, mixing and restyling each have their own module. All networks are built from
//! [`weights`] and [`layers`] and sized by [`config`]; tests/peers/illuminator has the same
//! networks in PyTorch.
//!
//! The crate receives prompts as embeddings, and accesses no files but its weights.

#[cfg(feature = "train")]
use ::autograd;
#[cfg(not(feature = "train"))]
#[path = "without_autograd.rs"]
mod autograd;

mod attention;
pub mod backbone;
mod code_head;
pub mod concepts;
pub mod conditioning;
pub mod config;
pub mod critic;
pub mod design;
pub mod discriminator;
pub mod eight_bit;
pub mod eight_bit_files;
pub mod encoded;
pub mod encoder;
mod error;
pub mod folder;
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
pub mod retriever;
pub mod sampling;
mod style_coverage;
mod token_design;
pub mod tokens;
pub mod upscaler;
mod vary;
pub mod weights;

pub use error::ImageError;
pub use lerp::slerp;
pub use mix::MIX_SHARE;

use candle_core::{Device, Tensor};
use concepts::{Concepts, Match, best_similarity};
use config::{CHANNELS, Config};
use design::{Design, DesignInput, DesignLoader, DesignOutput, KeepGoing};
use encoded::EncodedPicture;
use folder::WeightsFolder;
use sampling::Sampling;
use std::path::Path;
use token_design::TokenDesign;

/// A set of weights in memory, with which pictures can be drawn.
pub struct Illuminator {
    pub config: Config,
    pub concepts: Concepts,
    /// The SHA-256 of all weights files in hexadecimal, which provenance records.
    pub sha256: String,
    design: Box<dyn Design>,
    device: Device,
}

/// A picture of premultiplied RGBA pixels, `size * size * 4` bytes. The rows are stored from top to
/// bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub size: usize,
    pub pixels: Vec<u8>,
}

/// The specification of one or more pictures that differ only in their seeds.
#[derive(Clone, Debug)]
pub struct ImageSpec {
    /// The prompt's unit embedding, which is empty if there is no prompt.
    pub embedding: Vec<f32>,
    /// The unit embedding of the prompt's subject, which is empty if the subject is the whole
    /// prompt.
    pub subject: Vec<f32>,
    /// The index of the style to draw in; None for any style.
    pub style: Option<u32>,
    /// The seeds; one picture is drawn for each.
    pub seeds: Vec<u64>,
    pub sampling: Sampling,
}

/// The generated pictures and their encoded forms.
#[derive(Clone, Debug)]
pub struct GeneratedImages {
    pub pictures: Vec<Picture>,
    pub encoded: Vec<EncodedPicture>,
    /// The concepts nearest to the prompt, best first.
    pub concepts: Vec<Match>,
}

/// The embedding that conditions the networks, and the concepts matched to the prompt. Both are
/// empty if there is no prompt.
#[derive(Clone, Debug, Default)]
pub struct TextCondition {
    pub embedding: Vec<f32>,
    pub concepts: Vec<Match>,
}

/// The names of the weights files that the token design requires.
pub const FILES: [&str; 6] = [
    "config.json",
    "concepts.safetensors",
    "generator.safetensors",
    "tokens.safetensors",
    "encoder.safetensors",
    "memory.safetensors",
];

/// The name of a weights file that is optional in the token design.
pub const REFINER_FILE: &str = "refiner.safetensors";

/// Whether a folder contains all the weights files that the token design, or one of `designs`,
/// requires.
pub fn is_complete(folder: &Path, designs: &[DesignLoader]) -> bool {
    let has = |name: &&str| folder.join(name).is_file();
    let config = || {
        let json = std::fs::read(folder.join(FILES[0])).unwrap_or_default();
        Config::parse(&json).ok()
    };
    let other = |design: &DesignLoader| {
        design.files.iter().all(has) && config().is_some_and(|config| (design.owns)(&config))
    };
    FILES.iter().all(has) || designs.iter().any(other)
}

/// Concepts are matched to the subject alone if its best similarity to a concept exceeds the whole
/// prompt's best similarity by more than this.
const SUBJECT_MARGIN: f32 = 0.02;

impl Illuminator {
    /// Loads a folder of weights. On a CPU, matrices are packed to 8 bits. `designs` are the
    /// supported designs that are not part of this crate.
    pub fn load(
        path: &Path,
        device: &Device,
        threads: usize,
        designs: &[DesignLoader],
    ) -> Result<Illuminator, ImageError> {
        let mut folder = WeightsFolder::new(path, device, threads);
        let [json, table, ..] = FILES;
        let config = folder.read_file(json)?;
        let config = Config::parse(&config).map_err(|why| folder.unreadable(json, &why))?;
        let concepts = folder.read_file(table)?;
        let concepts =
            Concepts::parse(&concepts, &config).map_err(|why| folder.unreadable(table, &why))?;
        let design: Box<dyn Design> = match &config.other_design {
            None => Box::new(TokenDesign::load(&mut folder, &config, &concepts, device)?),
            Some(_) => {
                let loader = designs.iter().find(|design| (design.owns)(&config));
                let loader = loader.ok_or_else(unknown_design)?;
                (loader.load)(&mut folder, &config)?
            }
        };
        Ok(Illuminator {
            design,
            concepts,
            sha256: folder.sha256(),
            device: device.clone(),
            config,
        })
    }

    /// Whether these weights draw the same pictures as weights with this SHA-256. Weights stored in
    /// 8 bits list the checksums of the float weights from which they were made. On a CPU, the
    /// float weights draw the same pictures, since packing converts them to the same 8-bit values.
    pub fn reproduces(&self, sha256: &str) -> bool {
        let other = || self.config.same_pictures_as.iter().any(|own| own == sha256);
        self.sha256 == sha256 || (self.device.is_cpu() && other())
    }

    /// Returns the index of the style with this name, ignoring case.
    pub fn style(&self, name: &str) -> Option<u32> {
        let named = |style: &String| style.eq_ignore_ascii_case(name);
        self.config
            .styles
            .iter()
            .position(named)
            .map(|at| at as u32)
    }

    /// Draws one picture for each seed. `keep_going` is called between decoding steps; if it
    /// returns false, the result is None.
    pub fn draw(
        &self,
        spec: &ImageSpec,
        keep_going: KeepGoing,
    ) -> Result<Option<GeneratedImages>, ImageError> {
        let text = self.text_condition(spec)?;
        let output = self.design.generate(&self.input(spec, &text), keep_going)?;
        self.finish(output, text)
    }

    /// Returns the settings that these weights will use. Settings that the design does not support
    /// are set to values that turn them off.
    pub fn supported_sampling(&self, sampling: Sampling) -> Sampling {
        self.design.supported_sampling(sampling)
    }

    fn input<'a>(&'a self, spec: &'a ImageSpec, text: &'a TextCondition) -> DesignInput<'a> {
        DesignInput {
            spec,
            text,
            config: &self.config,
            device: &self.device,
        }
    }

    /// Converts the output of the design to pictures. The result is None if generation was stopped.
    fn finish(
        &self,
        output: Option<DesignOutput>,
        text: TextCondition,
    ) -> Result<Option<GeneratedImages>, ImageError> {
        let Some(DesignOutput { pixels, encoded }) = output else {
            return Ok(None);
        };
        Ok(Some(GeneratedImages {
            pictures: self.pictures(&pixels)?,
            encoded,
            concepts: text.concepts,
        }))
    }

    /// Computes the text condition of a spec.
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

    /// Returns the concepts nearest to an embedding, best first. Concepts that the style does not
    /// cover rank lower.
    fn nearest(&self, embedding: &[f32], style: Option<u32>) -> Vec<Match> {
        let covers = |concept| self.design.covers(concept, style);
        self.concepts.nearest(embedding, &covers)
    }

    /// Removes the drawings for which `which` returns true from the retrieval index. `which`
    /// receives the label and the style of a drawing. Concepts without any remaining drawing are
    /// removed too, as if they had never been in the weights.
    pub fn remove_drawings(&mut self, which: &dyn Fn(&str, &str) -> bool) {
        let styles = self.config.styles.clone();
        let gone = |label: &str| styles.iter().all(|style| which(label, style));
        let (concepts, numbers) = self.concepts.without(&gone);
        let drawing = |concept: u32, style: u32| {
            let label = &self.concepts.labels()[concept as usize];
            let named = styles.get(style as usize);
            let removed = named.is_some_and(|style| which(label, style));
            Some((numbers[concept as usize].filter(|_| !removed)?, style))
        };
        let counts = (concepts.labels().len(), styles.len());
        self.design.remove_drawings(&drawing, counts);
        self.concepts = concepts;
    }

    /// Parses the encoded picture in a picture's provenance. Returns None if these weights could
    /// not have produced it.
    pub fn encoded_from_hex(&self, text: &str) -> Option<EncodedPicture> {
        EncodedPicture::from_hex(text).filter(|picture| self.design.accepts(picture))
    }

    fn accepts(&self, picture: &EncodedPicture) -> Result<(), ImageError> {
        match self.design.accepts(picture) {
            true => Ok(()),
            false => Err(ImageError::Illuminator(
                "the picture's codes come from different weights".into(),
            )),
        }
    }

    /// Converts pixels `[batch, 4, size, size]`, with values from -1 to 1, to pictures.
    fn pictures(&self, pixels: &Tensor) -> Result<Vec<Picture>, ImageError> {
        let pixels = pixels.permute((0, 2, 3, 1))?.flatten_from(1)?;
        let rows = pixels.to_vec2::<f32>()?;
        let picture = |row: Vec<f32>| Picture {
            size: self.config.size,
            pixels: to_pixel_bytes(&row),
        };
        Ok(rows.into_iter().map(picture).collect())
    }

    /// Encodes a picture, which must have the size that the weights draw.
    pub fn encode(&self, picture: &Picture) -> Result<EncodedPicture, ImageError> {
        let shape = (1, self.config.size, self.config.size, CHANNELS);
        let numbers = picture
            .pixels
            .iter()
            .map(|byte| f32::from(*byte) / 127.5 - 1.0);
        let x = Tensor::from_vec(numbers.collect(), shape, &self.device)?;
        self.design.encode(&x.permute((0, 3, 1, 2))?.contiguous()?)
    }
}

fn unknown_design() -> ImageError {
    ImageError::Illuminator("they need an image design that this build of illumine lacks; build it with the feature `train`".into())
}

/// Converts values in the range -1 to 1 to bytes, and limits each pixel's colours to its opacity.
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

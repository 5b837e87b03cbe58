//! The illuminator: words become a small picture.
//!
//! A token Transformer composes ([`tokens`], [`sampling`]), a generator paints ([`generator`]);
//! an encoder makes tokens of pictures for both to learn from ([`encoder`], [`quantizer`]), and a
//! discriminator judges in training ([`discriminator`]). What there is can be varied, mixed, led to
//! another and redrawn in another style: a file each. All are made from [`weights`] and [`layers`],
//! sized by [`config`]. tests/peers/illuminator has the same networks in PyTorch.
//!
//! Knows no words beyond the embedding that it is handed, and no files beyond its weights.

mod attend;
pub mod concepts;
pub mod condition;
pub mod config;
pub mod discriminator;
pub mod encoder;
mod fused;
pub mod generator;
pub mod layers;
mod lerp;
mod mix;
pub mod patches;
pub mod quantizer;
pub mod reading;
mod restyle;
pub mod sampling;
pub mod tokens;
mod vary;
pub mod weights;

pub use mix::SHARE as MIXED;

use super::ModelError;
use super::linear::Pool;
use super::sampler::rng::{Rng, derive};
use crate::story::hash::hexadecimal;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use concepts::{Concepts, Match};
use condition::Wish;
use config::{CHANNELS, Config, GRID, TOKENS};
use encoder::Encoder;
use generator::Generator;
use quantizer::Quantizer;
use sampling::{Given, Sampling};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use tokens::{Digits, TokenTransformer};
use weights::Weights;

/// Everything that draws, in memory.
pub struct Illuminator {
    pub config: Config,
    pub concepts: Concepts,
    /// SHA-256 over all files, in hexadecimal digits: what provenance records.
    pub sha256: String,
    generator: Generator,
    tokens: TokenTransformer,
    encoder: Encoder,
    quantizer: Quantizer,
    device: Device,
}

/// A picture: rows from the top, premultiplied RGBA, `size * size * 4` bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub size: usize,
    pub pixels: Vec<u8>,
}

/// What to draw.
#[derive(Clone, Debug)]
pub struct Order {
    /// The prompt's embedding, of length one; empty where there are no words.
    pub embedding: Vec<f32>,
    /// The number of a style; None leaves it to the model.
    pub style: Option<u32>,
    /// One picture for each.
    pub seeds: Vec<u64>,
    pub sampling: Sampling,
}

/// Pictures, and what they are of.
#[derive(Clone, Debug)]
pub struct Drawn {
    pub pictures: Vec<Picture>,
    /// The tokens of each.
    pub tokens: Vec<Digits>,
    /// The concepts nearest to the prompt, the nearest first.
    pub concepts: Vec<Match>,
}

/// Words as the networks hear them (empty for none), and what they were taken for.
#[derive(Clone, Debug, Default)]
struct Led {
    text: Vec<f32>,
    concepts: Vec<Match>,
}

/// What pictures are drawn from besides words.
#[derive(Default)]
struct Basis<'a> {
    given: Option<Given<'a>>,
    /// Another picture's tokens, for each picture.
    source: Option<&'a Digits>,
}

/// The files of a set of weights.
pub const FILES: [&str; 5] = [
    "config.json",
    "generator.safetensors",
    "tokens.safetensors",
    "encoder.safetensors",
    "concepts.safetensors",
];

impl Illuminator {
    /// Reads a folder of weights; on a CPU matrices are packed to 8 bits.
    pub fn load(folder: &Path, device: &Device, threads: usize) -> Result<Illuminator, ModelError> {
        let unreadable = |name: &str, why: &dyn std::fmt::Display| {
            let path = folder.join(name);
            ModelError::Illuminator(format!("{}: {}", path.display(), short(why)))
        };
        let mut digest = Sha256::new();
        let mut files = Vec::new();
        for name in FILES {
            let bytes = std::fs::read(folder.join(name)).map_err(|why| unreadable(name, &why))?;
            digest.update(&bytes);
            files.push(bytes);
        }
        let [config, generator, tokens, encoder, concepts] = <[Vec<u8>; 5]>::try_from(files)
            .map_err(|_| unreadable("config.json", &"a file is missing"))?;
        let config = Config::read(&config).map_err(|why| unreadable(FILES[0], &why))?;
        let pool = device.is_cpu().then(|| Arc::new(Pool::new(threads)));
        let weights = |bytes: Vec<u8>| {
            let tensors = VarBuilder::from_buffered_safetensors(bytes, DType::F32, device)?;
            Ok(match &pool {
                Some(pool) => Weights::packed(tensors, pool.clone()),
                None => Weights::plain(tensors),
            })
        };
        let bad = |name: &'static str| move |why: candle_core::Error| unreadable(name, &why);
        Ok(Illuminator {
            generator: weights(generator)
                .and_then(|weights| Generator::new(&weights, &config))
                .map_err(bad(FILES[1]))?,
            tokens: weights(tokens)
                .and_then(|weights| TokenTransformer::new(&weights, &config))
                .map_err(bad(FILES[2]))?,
            encoder: weights(encoder)
                .and_then(|weights| Encoder::new(&weights, &config))
                .map_err(bad(FILES[3]))?,
            concepts: Concepts::read(&concepts, &config)
                .map_err(|why| unreadable(FILES[4], &why))?,
            quantizer: Quantizer::new(&config.levels, device)?,
            sha256: hexadecimal(&digest.finalize()),
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
        order: &Order,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Drawn>, ModelError> {
        let led = self.led(order)?;
        self.make(
            order,
            &led,
            Basis::default(),
            &mut streams(order, None),
            go_on,
        )
    }

    /// What leads the pictures of an order, and the concepts that it was taken for.
    fn led(&self, order: &Order) -> Result<Led, ModelError> {
        let (have, want) = (order.embedding.len(), self.config.text);
        if have == 0 {
            return Ok(Led::default());
        }
        if have != want {
            let why = format!("their words have {want} numbers, the encoder's {have}");
            return Err(ModelError::Illuminator(why));
        }
        let concepts = self.concepts.nearest(&order.embedding);
        let text = self.concepts.lead(&order.embedding, &concepts);
        Ok(Led { text, concepts })
    }

    /// What all ways of drawing share: tokens are written, then painted.
    fn make(
        &self,
        order: &Order,
        led: &Led,
        basis: Basis,
        rngs: &mut [Rng],
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Drawn>, ModelError> {
        let wish = self.wish(order, led, self.tokens.no_words())?;
        let Basis { given, source } = basis;
        let sampling = &order.sampling;
        let written = sampling::write(&self.tokens, &wish, sampling, rngs, given, source, go_on)?;
        let Some(digits) = written else {
            return Ok(None);
        };
        let wish = self.wish(order, led, self.generator.no_words())?;
        let pictures = self.paint(&digits, &wish)?;
        let own = digits.0.chunks(TOKENS * self.config.digits());
        Ok(Some(Drawn {
            pictures,
            tokens: own.map(|own| Digits(own.to_vec())).collect(),
            concepts: led.concepts.clone(),
        }))
    }

    /// `none` stands for words that are not given: each network has its own.
    fn wish(&self, order: &Order, led: &Led, none: &Tensor) -> Result<Wish, ModelError> {
        let count = order.seeds.len();
        let text = match led.text.is_empty() {
            true => none.clone(),
            false => Tensor::new(self.config.centre(&led.text), &self.device)?,
        };
        Ok(Wish {
            text: text.unsqueeze(0)?.repeat((count, 1))?,
            style: vec![order.style; count],
            flip: vec![false; count],
        })
    }

    /// The tokens that were spelled in hexadecimal digits; none where they are not this model's.
    pub fn spelled(&self, text: &str) -> Option<Digits> {
        let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        let count = TOKENS * self.config.digits();
        let digits: Option<Vec<u8>> = (0..count).map(|at| pair(at * 2)).collect();
        let digits = digits.filter(|_| text.len() == count * 2)?;
        let levels = self.config.levels.iter().cycle();
        let fit = digits.iter().zip(levels).all(|(d, n)| usize::from(*d) < *n);
        fit.then_some(Digits(digits))
    }

    /// Tokens to pictures.
    fn paint(&self, digits: &Digits, wish: &Wish) -> Result<Vec<Picture>, ModelError> {
        let shape = (wish.len(), GRID * GRID, self.config.digits());
        let numbers: Vec<f32> = digits.0.iter().map(|digit| f32::from(*digit)).collect();
        let values = self
            .quantizer
            .values(&Tensor::from_vec(numbers, shape, &self.device)?)?;
        let pictures = self.generator.forward(&values, wish)?;
        let pictures = pictures.permute((0, 2, 3, 1))?.flatten_from(1)?;
        let rows = pictures.to_vec2::<f32>()?;
        let size = self.config.size;
        let pixels = |row: Vec<f32>| Picture {
            size,
            pixels: bytes(&row),
        };
        Ok(rows.into_iter().map(pixels).collect())
    }

    /// A picture of the model's size as tokens, `[64][digits]`.
    pub fn read(&self, picture: &Picture) -> Result<Digits, ModelError> {
        let shape = (1, self.config.size, self.config.size, CHANNELS);
        let numbers = picture
            .pixels
            .iter()
            .map(|byte| f32::from(*byte) / 127.5 - 1.0);
        let x = Tensor::from_vec(numbers.collect(), shape, &self.device)?;
        let values = self
            .encoder
            .forward(&x.permute((0, 3, 1, 2))?.contiguous()?)?;
        let digits = self.quantizer.digits(&self.quantizer.quantize(&values)?)?;
        let digits = digits.flatten_all()?.to_vec1::<f32>()?;
        Ok(Digits(
            digits.into_iter().map(|digit| digit as u8).collect(),
        ))
    }
}

/// A stream of chance for each picture; that of another purpose has a number.
fn streams(order: &Order, purpose: Option<u64>) -> Vec<Rng> {
    let seeds = order.seeds.iter().map(|seed| match purpose {
        None => *seed,
        Some(purpose) => derive(*seed, purpose),
    });
    seeds.map(Rng::new).collect()
}

/// -1 to 1 as bytes; no colour is stronger than its opacity.
pub fn bytes(values: &[f32]) -> Vec<u8> {
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

/// What a library says, on one line and without control characters.
fn short(why: &dyn std::fmt::Display) -> String {
    super::clean_key(&why.to_string())
}

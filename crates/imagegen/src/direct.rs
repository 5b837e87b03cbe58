//! The direct design, a conditional GAN with an encoder (CVAE-GAN, Bao et al. 2017): chance, words
//! and style become a picture in one pass.
//!
//! The encoder says of a picture where its latent lies; a small network makes a grid of latent and
//! condition, which the generator paints as it paints tokens.

use super::conditioning::Conditioning;
use super::config::{Config, Direct as Sizes, TOKENS};
use super::encoded::EncodedPicture;
use super::encoder::Encoder;
use super::folder::WeightsFolder;
use super::generator::Generator;
use super::layers::leaky_relu;
use super::sampling::Sampling;
use super::weights::{Linear, Weights};
use super::{GeneratedImages, Illuminator, ImageSpec, TextCondition};
use crate::ImageError;
use candle_core::{Error, Result, Tensor};
use sampler::rng::Rng;
use std::f64::consts::FRAC_PI_2;

/// The files of a set of weights that draws in one pass.
pub const FILES: [&str; 4] = [
    "config.json",
    "generator.safetensors",
    "encoder.safetensors",
    "concepts.safetensors",
];

/// A picture to a normal distribution of latents.
pub struct DirectEncoder {
    encoder: Encoder,
    moments: Linear,
}

/// What the encoder says of pictures, `[batch, latent]` each.
pub struct Moments {
    pub mean: Tensor,
    pub log_variance: Tensor,
}

/// No variance is farther from one than by this power of e, so that none is zero or endless.
const WIDEST: f64 = 8.0;

impl DirectEncoder {
    pub fn new(weights: &Weights, config: &Config) -> Result<DirectEncoder> {
        let Sizes { latent, depth, .. } = sizes(config)?;
        let moments = weights.pp("moments");
        Ok(DirectEncoder {
            encoder: Encoder::new(weights, config)?,
            moments: Linear::half_scale(&moments, TOKENS * depth, 2 * latent)?,
        })
    }

    /// `[batch, 4, size, size]`, -1 to 1 premultiplied.
    pub fn forward(&self, pictures: &Tensor) -> Result<Moments> {
        let seen = self.encoder.forward(pictures)?.flatten_from(1)?;
        let both = self.moments.forward(&seen)?;
        let latent = both.dim(1)? / 2;
        let spread = both.narrow(1, latent, latent)?;
        Ok(Moments {
            mean: both.narrow(1, 0, latent)?,
            log_variance: ((spread / WIDEST)?.tanh()? * WIDEST)?,
        })
    }
}

impl Moments {
    /// A latent of each distribution, by `noise` `[batch, latent]` (Kingma and Welling 2014).
    pub fn sample(&self, noise: &Tensor) -> Result<Tensor> {
        let deviation = (&self.log_variance * 0.5)?.exp()?;
        &self.mean + (deviation * noise)?
    }
}

/// Latent, words and style to a picture.
pub struct DirectGenerator {
    generator: Generator,
    into: Linear,
    mid: Linear,
    out: Linear,
}

impl DirectGenerator {
    pub fn new(weights: &Weights, config: &Config) -> Result<DirectGenerator> {
        let Sizes {
            latent,
            hidden,
            depth,
        } = sizes(config)?;
        let grid = weights.pp("grid");
        let inputs = latent + config.condition;
        Ok(DirectGenerator {
            generator: Generator::new(weights, config)?,
            into: Linear::new(&grid.pp("in_"), inputs, hidden)?,
            mid: Linear::new(&grid.pp("mid"), hidden, hidden)?,
            out: Linear::new(&grid.pp("out"), hidden, TOKENS * depth)?,
        })
    }

    /// What stands for words that are not given: `[text]`.
    pub fn null_text(&self) -> &Tensor {
        self.generator.null_text()
    }

    /// What leads the picture: `[batch, condition]`.
    pub fn condition(&self, conditioning: &Conditioning) -> Result<Tensor> {
        self.generator.condition(conditioning)
    }

    /// `z` `[batch, latent]` to `[batch, 4, 64, 64]`, -1 to 1 premultiplied.
    pub fn forward(&self, z: &Tensor, conditioning: &Conditioning) -> Result<Tensor> {
        self.forward_conditioned(z, &self.condition(conditioning)?)
    }

    /// [`DirectGenerator::forward`], led by what [`DirectGenerator::condition`] gave.
    pub fn forward_conditioned(&self, z: &Tensor, condition: &Tensor) -> Result<Tensor> {
        self.generator
            .forward_conditioned(&self.grid(z, condition)?, condition)
    }

    /// What is painted: `[batch, 64, depth]`.
    pub fn grid(&self, z: &Tensor, condition: &Tensor) -> Result<Tensor> {
        let x = Tensor::cat(&[z, condition], 1)?;
        let x = leaky_relu(&self.into.forward(&x)?)?;
        let x = leaky_relu(&self.mid.forward(&x)?)?;
        self.out.forward(&x)?.reshape((z.dim(0)?, TOKENS, ()))
    }
}

fn sizes(config: &Config) -> Result<Sizes> {
    let none = || Error::Msg("its config.json has no direct section".into());
    config.direct.ok_or_else(none)
}

/// Both networks, ready to draw.
pub(super) struct Direct {
    generator: DirectGenerator,
    encoder: DirectEncoder,
    latent: usize,
}

impl Direct {
    pub fn load(
        folder: &mut WeightsFolder,
        config: &Config,
    ) -> std::result::Result<Direct, ImageError> {
        let [_, generator, encoder, _] = FILES;
        Ok(Direct {
            generator: folder.load_network(generator, |w| DirectGenerator::new(w, config))?,
            encoder: folder.load_network(encoder, |w| DirectEncoder::new(w, config))?,
            latent: sizes(config)?.latent,
        })
    }

    /// The likeliest latent of a picture `[1, 4, size, size]`.
    pub fn encode(&self, picture: &Tensor) -> std::result::Result<EncodedPicture, ImageError> {
        let mean = self.encoder.forward(picture)?.mean;
        Ok(EncodedPicture::Latent(mean.flatten_all()?.to_vec1()?))
    }

    /// A latent by chance for each stream: the temperature truncates, as it draws them in to the
    /// middle.
    pub fn chance(&self, rngs: &mut [Rng], sampling: &Sampling) -> Vec<Vec<f32>> {
        let one = |rng: &mut Rng| (rng.next_normal() * sampling.temperature) as f32;
        let latent = |rng: &mut Rng| (0..self.latent).map(|_| one(rng)).collect();
        rngs.iter_mut().map(latent).collect()
    }
}

impl Illuminator {
    /// One picture for each latent, led by an order's words and style.
    pub(super) fn pass(
        &self,
        by: &Direct,
        (spec, text): (&ImageSpec, &TextCondition),
        latents: Vec<Vec<f32>>,
        keep_going: &mut dyn FnMut() -> bool,
    ) -> std::result::Result<Option<GeneratedImages>, ImageError> {
        let condition = self.condition(by, spec, text)?;
        self.pass_under(by, &condition, text, latents, keep_going)
    }

    /// What leads the pictures of an order.
    pub(super) fn condition(
        &self,
        by: &Direct,
        spec: &ImageSpec,
        text: &TextCondition,
    ) -> std::result::Result<Tensor, ImageError> {
        let conditioning = self.conditioning(spec, text, by.generator.null_text())?;
        Ok(by.generator.condition(&conditioning)?)
    }

    /// [`Illuminator::pass`] under a condition that is there.
    pub(super) fn pass_under(
        &self,
        by: &Direct,
        condition: &Tensor,
        text: &TextCondition,
        latents: Vec<Vec<f32>>,
        keep_going: &mut dyn FnMut() -> bool,
    ) -> std::result::Result<Option<GeneratedImages>, ImageError> {
        if !keep_going() {
            return Ok(None);
        }
        let z = Tensor::new(latents.clone(), &self.device)?;
        let pictures = self.pictures(&by.generator.forward_conditioned(&z, condition)?)?;
        Ok(Some(GeneratedImages {
            pictures,
            encoded: latents.into_iter().map(EncodedPicture::Latent).collect(),
            concepts: text.concepts.clone(),
        }))
    }
}

/// A latent moved by `amount` (0 to 1) towards another, on an arc: of two that are normal by
/// chance, what comes of them is too.
pub(super) fn moved(z: &[f32], other: &[f32], amount: f64) -> Vec<f32> {
    let angle = amount.clamp(0.0, 1.0) * FRAC_PI_2;
    let (stay, go) = (libm::cos(angle) as f32, libm::sin(angle) as f32);
    let pairs = z.iter().zip(other);
    pairs.map(|(z, other)| stay * z + go * other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn moving_a_latent_keeps_its_variance() {
        let mut rng = Rng::new(1);
        let mut normal = || {
            (0..20_000)
                .map(|_| rng.next_normal() as f32)
                .collect::<Vec<f32>>()
        };
        let (z, other) = (normal(), normal());
        assert_eq!(moved(&z, &other, 0.0), z);
        let variance = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32;
        let half = variance(&moved(&z, &other, 0.5));
        assert!((half - 1.0).abs() < 0.03, "{half}");
    }

    #[test]
    fn a_latent_is_drawn_from_the_distribution_that_the_encoder_gives() {
        let row = |a: f32, b: f32| Tensor::new(&[[a, b]], &Device::Cpu).unwrap();
        let moments = Moments {
            mean: row(1.0, -2.0),
            log_variance: row(0.0, 4f32.ln()),
        };
        let z = moments.sample(&row(0.5, -1.0)).unwrap();
        assert_eq!(z.to_vec2::<f32>().unwrap(), [[1.5, -4.0]]);
    }
}

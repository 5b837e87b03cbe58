//! The networks of the one-pass design. An encoder computes the distribution of a picture's latent.
//! A small network expands a latent and a condition vector to a grid, which a generator decodes to
//! a picture.

use super::Sizes;
use candle_core::{Error, Result, Tensor};
use imagegen::conditioning::Conditioning;
use imagegen::config::{Config, TOKENS};
use imagegen::encoder::Encoder;
use imagegen::generator::Generator;
use imagegen::layers::leaky_relu;
use imagegen::weights::{Linear, Weights};

/// The encoder, which turns a picture into a normal distribution of latents.
pub struct OnePassEncoder {
    encoder: Encoder,
    moments: Linear,
}

/// The mean and the log-variance of the latent of each picture in a batch. Both tensors are
/// `[batch, latent]`.
pub struct Moments {
    pub mean: Tensor,
    pub log_variance: Tensor,
}

/// The maximum absolute value of the log-variance, so that no variance is zero or infinite.
const WIDEST: f64 = 8.0;

impl OnePassEncoder {
    pub fn new(weights: &Weights, config: &Config) -> Result<OnePassEncoder> {
        let Sizes { latent, depth, .. } = sizes(config)?;
        let moments = weights.pp("moments");
        Ok(OnePassEncoder {
            encoder: Encoder::with_depth(weights, config, depth)?,
            moments: Linear::half_scale(&moments, TOKENS * depth, 2 * latent)?,
        })
    }

    /// Encodes pictures `[batch, 4, size, size]`, premultiplied, from -1 to 1.
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
    /// Samples a latent from each distribution. `noise` is a tensor `[batch, latent]` of standard
    /// normal values (Kingma and Welling 2014).
    pub fn sample(&self, noise: &Tensor) -> Result<Tensor> {
        let deviation = (&self.log_variance * 0.5)?.exp()?;
        &self.mean + (deviation * noise)?
    }
}

/// The generator, which decodes a latent and a conditioning to a picture.
pub struct OnePassGenerator {
    generator: Generator,
    into: Linear,
    mid: Linear,
    out: Linear,
}

impl OnePassGenerator {
    pub fn new(weights: &Weights, config: &Config) -> Result<OnePassGenerator> {
        let Sizes {
            latent,
            hidden,
            depth,
        } = sizes(config)?;
        let grid = weights.pp("grid");
        let inputs = latent + config.condition;
        Ok(OnePassGenerator {
            generator: Generator::with_depth(weights, config, depth)?,
            into: Linear::new(&grid.pp("in_"), inputs, hidden)?,
            mid: Linear::new(&grid.pp("mid"), hidden, hidden)?,
            out: Linear::new(&grid.pp("out"), hidden, TOKENS * depth)?,
        })
    }

    /// The embedding that is used if there is no text: `[text]`.
    pub fn null_text(&self) -> &Tensor {
        self.generator.null_text()
    }

    /// Computes the condition vectors: `[batch, condition]`.
    pub fn condition(&self, conditioning: &Conditioning) -> Result<Tensor> {
        self.generator.condition(conditioning)
    }

    /// Decodes `z` `[batch, latent]` to pictures `[batch, 4, 64, 64]`, premultiplied, from -1 to 1.
    pub fn forward(&self, z: &Tensor, conditioning: &Conditioning) -> Result<Tensor> {
        self.forward_conditioned(z, &self.condition(conditioning)?)
    }

    /// Like [`OnePassGenerator::forward`], but takes condition vectors computed by
    /// [`OnePassGenerator::condition`].
    pub fn forward_conditioned(&self, z: &Tensor, condition: &Tensor) -> Result<Tensor> {
        self.generator
            .forward_conditioned(&self.grid(z, condition)?, condition)
    }

    /// Computes the grid that the generator decodes: `[batch, 64, depth]`.
    pub fn grid(&self, z: &Tensor, condition: &Tensor) -> Result<Tensor> {
        let x = Tensor::cat(&[z, condition], 1)?;
        let x = leaky_relu(&self.into.forward(&x)?)?;
        let x = leaky_relu(&self.mid.forward(&x)?)?;
        self.out.forward(&x)?.reshape((z.dim(0)?, TOKENS, ()))
    }
}

fn sizes(config: &Config) -> Result<Sizes> {
    Sizes::of(config).map_err(Error::Msg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

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

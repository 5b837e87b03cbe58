//! Draws pictures with the one-pass design.

use super::latent::{decoded_latent, encoded_latent, moved, random_latents};
use super::networks::{OnePassEncoder, OnePassGenerator};
use super::{FILES, Sizes};
use candle_core::{Device, Tensor};
use imagegen::config::Config;
use imagegen::design::{Design, DesignInput, DesignOutput, Generated, KeepGoing};
use imagegen::encoded::EncodedPicture;
use imagegen::folder::WeightsFolder;
use imagegen::sampling::Sampling;
use imagegen::{ImageError, slerp};

/// The index of the random stream used to vary a picture.
const VARY: u64 = 2;
/// The index of the random stream used to restyle a picture.
const RESTYLE: u64 = 3;
/// How far restyling moves a latent towards a random latent (0: not at all, 1: all the way).
/// Because of this, different seeds produce different pictures.
const RESTYLE_AMOUNT: f64 = 0.2;

struct OnePassDesign {
    generator: OnePassGenerator,
    encoder: OnePassEncoder,
    latent: usize,
}

/// Loads the generator and the encoder.
pub fn load(folder: &mut WeightsFolder, config: &Config) -> Result<Box<dyn Design>, ImageError> {
    let [json, generator, encoder, _] = FILES;
    let sizes = Sizes::of(config).map_err(|why| folder.unreadable(json, &why))?;
    Ok(Box::new(OnePassDesign {
        generator: folder.load_network(generator, |w| OnePassGenerator::new(w, config))?,
        encoder: folder.load_network(encoder, |w| OnePassEncoder::new(w, config))?,
        latent: sizes.latent,
    }))
}

impl OnePassDesign {
    fn condition(&self, input: &DesignInput) -> candle_core::Result<Tensor> {
        let conditioning = input.conditioning(self.generator.null_text())?;
        self.generator.condition(&conditioning)
    }

    fn random(&self, input: &DesignInput, purpose: Option<u64>) -> Vec<Vec<f32>> {
        let temperature = input.spec.sampling.temperature;
        random_latents(&mut input.rngs(purpose), self.latent, temperature)
    }

    /// For each seed, returns a latent that is moved by `amount` (0 to 1) away from the picture's
    /// latent.
    fn near(
        &self,
        input: &DesignInput,
        picture: &EncodedPicture,
        amount: f64,
        purpose: u64,
    ) -> Vec<Vec<f32>> {
        let z = decoded_latent(picture, self.latent).unwrap_or_default();
        let others = self.random(input, Some(purpose));
        others
            .iter()
            .map(|other| moved(&z, other, amount))
            .collect()
    }

    /// Decodes each latent to a picture.
    fn decode(
        &self,
        device: &Device,
        latents: Vec<Vec<f32>>,
        condition: &Tensor,
        keep_going: KeepGoing,
    ) -> Generated {
        if !keep_going() {
            return Ok(None);
        }
        let encoded = latents.iter().map(|z| encoded_latent(z)).collect();
        let z = Tensor::new(latents, device)?;
        Ok(Some(DesignOutput {
            pixels: self.generator.forward_conditioned(&z, condition)?,
            encoded,
        }))
    }
}

impl Design for OnePassDesign {
    /// Turns off decoding steps, guidance and retrieval, which the one-pass design does not have.
    fn supported_sampling(&self, sampling: Sampling) -> Sampling {
        Sampling {
            steps: 1,
            guidance: 1.0,
            retrieval_strength: 0.0,
            ..sampling
        }
    }

    fn generate(&self, input: &DesignInput, keep_going: KeepGoing) -> Generated {
        let latents = self.random(input, None);
        self.decode(input.device, latents, &self.condition(input)?, keep_going)
    }

    fn vary(
        &self,
        input: &DesignInput,
        picture: &EncodedPicture,
        amount: f64,
        keep_going: KeepGoing,
    ) -> Generated {
        let latents = self.near(input, picture, amount, VARY);
        self.decode(input.device, latents, &self.condition(input)?, keep_going)
    }

    fn restyle(
        &self,
        input: &DesignInput,
        picture: &EncodedPicture,
        keep_going: KeepGoing,
    ) -> Generated {
        let latents = self.near(input, picture, RESTYLE_AMOUNT, RESTYLE);
        self.decode(input.device, latents, &self.condition(input)?, keep_going)
    }

    /// Interpolates latents along an arc, and condition vectors (which include the style) along a
    /// straight line.
    fn interpolate(
        &self,
        [from, to]: [&DesignInput; 2],
        between: &DesignInput,
        at: f64,
        keep_going: KeepGoing,
    ) -> Generated {
        if at <= 0.0 || at >= 1.0 {
            return self.generate(between, keep_going);
        }
        let first = (self.condition(from)? * (1.0 - at))?;
        let condition = (first + (self.condition(to)? * at)?)?;
        let pairs = self
            .random(from, None)
            .into_iter()
            .zip(self.random(to, None));
        let latents = pairs
            .map(|(z, other)| slerp(&z, &other, at as f32))
            .collect();
        self.decode(between.device, latents, &condition, keep_going)
    }

    /// Encodes a picture as its most likely latent.
    fn encode(&self, picture: &Tensor) -> Result<EncodedPicture, ImageError> {
        let mean = self.encoder.forward(picture)?.mean;
        Ok(encoded_latent(&mean.flatten_all()?.to_vec1::<f32>()?))
    }

    fn accepts(&self, picture: &EncodedPicture) -> bool {
        decoded_latent(picture, self.latent).is_some()
    }
}

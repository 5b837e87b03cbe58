//! The phase `direct`: trains encoder and generator together to reconstruct pictures from their
//! latents, and the generator against the discriminator, both on reconstructions and on pictures from
//! random latents (CVAE-GAN, Bao et al. 2017).

use super::Sizes;
use super::networks::{OnePassEncoder, OnePassGenerator};
use crate::TrainError;
use crate::batches::{Batches, without_some};
use crate::checkpoint::Parts;
use crate::judge::{Judge, Means, scalar, spread};
use crate::losses::{divergence, reconstruction};
use crate::reconstruct::{Trained, bytes, squares};
use crate::run::{Metrics, Phase, Sheet};
use crate::variables::{Tensors, fixed, make, noise};
use candle_core::{Error, Result};
use imagegen::config::Config;
use sampler::rng::Rng;

/// Trains both networks.
pub struct OnePassPhase<'a> {
    batches: &'a Batches<'a>,
    config: Config,
    batch: usize,
    /// Numbers of a latent.
    latent: usize,
    means: Means,
    encoder: Trained<OnePassEncoder>,
    generator: Trained<OnePassGenerator>,
    judge: Judge,
    /// Whether the generator knows nothing yet.
    fresh: bool,
}

const CLIP: f64 = 5.0;
/// The discriminator learns more slowly than the generator, or it wins.
const SLOWER: f64 = 0.3;
/// Steps over which the adversarial part comes in.
const RAMP: f64 = 1_250.0;
/// Steps over which latents are drawn in to the normal distribution: at first they must say
/// something, or the generator learns not to listen.
const WARM: f64 = 625.0;

impl<'a> OnePassPhase<'a> {
    /// Begins with `known` tensors of encoder and generator where there are some.
    pub fn new(
        batches: &'a Batches<'a>,
        config: &Config,
        (batch, seed): (usize, u64),
        known: (Tensors, Tensors),
        means: Means,
    ) -> Result<OnePassPhase<'a>> {
        let device = batches.device();
        let fresh = known.1.is_empty();
        let encoder = make(known.0, seed, device, |w| {
            OnePassEncoder::new(&w.with_autograd(), config)
        })?;
        let generator = make(known.1, seed, device, |w| {
            OnePassGenerator::new(&w.with_autograd(), config)
        })?;
        Ok(OnePassPhase {
            latent: Sizes::of(config).map_err(Error::Msg)?.latent,
            encoder: Trained::new(encoder, 0.9, CLIP)?,
            generator: Trained::new(generator, 0.9, CLIP)?,
            judge: Judge::new(config, seed, device, means)?,
            config: config.clone(),
            batches,
            batch,
            means,
            fresh,
        })
    }
}

impl Phase for OnePassPhase<'_> {
    fn name(&self) -> &'static str {
        "direct"
    }

    fn parts(&self) -> std::result::Result<Parts, TrainError> {
        let mut parts = Parts::new();
        self.encoder.keep("encoder", &mut parts)?;
        self.generator.keep("generator", &mut parts)?;
        self.judge.keep(&mut parts)?;
        Ok(parts)
    }

    fn restore(&mut self, mut parts: Parts) -> std::result::Result<(), TrainError> {
        self.encoder.restore("encoder", &mut parts)?;
        self.generator.restore("generator", &mut parts)?;
        Ok(self.judge.restore(&mut parts)?)
    }

    fn step(
        &mut self,
        number: u64,
        rate: f64,
        rng: &mut Rng,
    ) -> std::result::Result<Metrics, TrainError> {
        let batch = self.batches.draw(self.batch, rng)?;
        let (real, conditioning) = (&batch.pictures, &batch.conditioning);
        let (encoder, generator) = (&self.encoder.network, &self.generator.network);
        let some = without_some(conditioning, generator.null_text(), rng)?;
        let device = self.batches.device();
        let mut chance = || noise(&[self.batch, self.latent], rng, device);
        let moments = encoder.forward(real)?;
        let back = generator.forward(&moments.sample(&chance()?)?, &some)?;
        let free = generator.forward(&chance()?, conditioning)?;
        let given = [back.detach(), free.detach()];
        let slower = (rate * SLOWER, number);
        let judged = self.judge.learn(real, &given, conditioning, slower)?;

        let drawn = [back, free];
        let verdict = self.judge.tell(real, &drawn, conditioning)?;
        let [back, free] = drawn;
        let same = reconstruction(real, &back)?;
        let far = divergence(&moments.mean, &moments.log_variance)?;
        let square = (real - &back)?.sqr()?.mean_all()?;
        let by = |steps: f64| (number as f64 / steps).min(1.0);
        let loss = (&same + (square * squares(number, self.fresh))?)?;
        let loss = (loss + (&far * (self.means.divergence * by(WARM)))?)?;
        let loss = (loss + (verdict.loss * by(RAMP))?)?;
        let gradients = loss.backward()?;
        self.encoder.step(&gradients, rate, number)?;
        self.generator.step(&gradients, rate, number)?;
        Ok(vec![
            ("loss", scalar(&same)?),
            ("divergence", scalar(&far)?),
            ("discriminator", judged),
            ("generator", scalar(&verdict.fooled)?),
            ("gap", verdict.gap),
            ("spread", spread(&free)?),
        ])
    }

    /// Rows of pictures, each above what comes back from its latent, and above what is drawn of its
    /// label in its style.
    fn sheet(&self) -> std::result::Result<Sheet, TrainError> {
        const ROW: usize = 12;
        let device = self.batches.device();
        let encoder = fixed(&self.encoder.mean, device, |w| {
            OnePassEncoder::new(w, &self.config)
        })?;
        let generator = fixed(&self.generator.mean, device, |w| {
            OnePassGenerator::new(w, &self.config)
        })?;
        let pictures = self.batches.pictures();
        let step = (pictures.len() / (2 * ROW)).max(1);
        let index: Vec<usize> = (0..pictures.len()).step_by(step).take(2 * ROW).collect();
        let mut rng = Rng::new(1);
        let mut rows = Vec::new();
        for some in index.chunks(ROW) {
            let batch = self.batches.labelled(some)?;
            let z = noise(&[some.len(), self.latent], &mut rng, device)?;
            let mean = encoder.forward(&batch.pictures)?.mean;
            rows.push(bytes(&batch.pictures)?);
            rows.push(bytes(&generator.forward(&mean, &batch.conditioning)?)?);
            rows.push(bytes(&generator.forward(&z, &batch.conditioning)?)?);
        }
        Ok(Sheet {
            size: pictures.size as usize,
            rows,
        })
    }
}

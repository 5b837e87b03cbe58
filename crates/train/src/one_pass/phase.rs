//! The training phase of the one-pass design (CVAE-GAN, Bao et al. 2017). It trains the encoder and
//! the generator to reconstruct pictures from latents. It also trains the generator against the
//! discriminator, on reconstructions and on pictures from random latents.

use super::Sizes;
use super::networks::{OnePassEncoder, OnePassGenerator};
use crate::TrainError;
use crate::adam::AdamOptions;
use crate::batches::drop_conditioning;
use crate::discriminator::{DiscriminatorTrainer, batch_deviation};
use crate::losses::{LossWeights, kl_divergence, reconstruction_loss, scalar};
use crate::phase::{Autoencoder, Phase, PhaseInput, PhaseKind, SampleSheet};
use crate::reconstruct::squared_error_weight;
use crate::step::{Metrics, Step};
use crate::trained::{NetworkState, TrainedNetwork};
use crate::variables::noise;
use candle_core::{Error, Result};
use sampler::rng::Rng;

pub struct OnePassPhase<'a> {
    input: PhaseInput<'a>,
    /// The number of values in a latent.
    latent: usize,
    weights: LossWeights,
    encoder: TrainedNetwork<OnePassEncoder>,
    generator: TrainedNetwork<OnePassGenerator>,
    discriminator: DiscriminatorTrainer,
    /// Whether the generator started with random weights.
    from_scratch: bool,
}

const ADAM: AdamOptions = AdamOptions {
    beta1: 0.9,
    clip_norm: 5.0,
    orthogonal: false,
};
/// The factor by which the discriminator's learning rate is multiplied. At the full rate, the
/// discriminator would overpower the generator.
const DISCRIMINATOR_RATE: f64 = 0.3;
/// The number of steps over which the adversarial loss reaches its full weight.
const RAMP_STEPS: f64 = 1_250.0;
/// The number of steps over which the KL loss reaches its full weight. At full weight from the
/// start, this loss would teach the generator to ignore latents.
const KL_RAMP_STEPS: f64 = 625.0;

impl<'a> OnePassPhase<'a> {
    /// Creates the phase. Weights are taken from `start`; weights that `start` lacks are random.
    pub fn new(
        input: PhaseInput<'a>,
        start: Autoencoder,
        weights: LossWeights,
    ) -> Result<OnePassPhase<'a>> {
        Ok(OnePassPhase {
            latent: Sizes::of(input.config).map_err(Error::Msg)?.latent,
            from_scratch: start.generator.is_empty(),
            encoder: input.trainable(start.encoder, ADAM, |w, config| {
                OnePassEncoder::new(&w.with_autograd(), config)
            })?,
            generator: input.trainable(start.generator, ADAM, |w, config| {
                OnePassGenerator::new(&w.with_autograd(), config)
            })?,
            discriminator: DiscriminatorTrainer::new(&input, weights)?,
            weights,
            input,
        })
    }
}

impl Phase for OnePassPhase<'_> {
    fn name(&self) -> &'static str {
        PhaseKind::Direct.name()
    }

    fn networks(&mut self) -> Vec<(&'static str, &mut NetworkState)> {
        vec![
            ("encoder", &mut self.encoder.state),
            ("generator", &mut self.generator.state),
            ("discriminator", self.discriminator.state()),
        ]
    }

    fn step(&mut self, step: Step, rng: &mut Rng) -> std::result::Result<Metrics, TrainError> {
        let size = self.input.batch_size;
        let batch = self.input.batches.sample(size, rng)?;
        let (real, conditioning) = (&batch.pictures, &batch.conditioning);
        let (encoder, generator) = (&self.encoder.network, &self.generator.network);
        let dropped = drop_conditioning(conditioning, generator.null_text(), rng)?;
        let mut latents = || noise(&[size, self.latent], rng, self.input.device());
        let moments = encoder.forward(real)?;
        let back = generator.forward(&moments.sample(&latents()?)?, &dropped)?;
        let free = generator.forward(&latents()?, conditioning)?;
        let detached = [back.detach(), free.detach()];
        let discriminator_step = step.scaled(DISCRIMINATOR_RATE);
        let discriminator_loss =
            self.discriminator
                .train_step(real, &detached, conditioning, discriminator_step)?;

        let generated = [back, free];
        let adversarial = self
            .discriminator
            .generator_loss(real, &generated, conditioning)?;
        let [back, free] = generated;
        let reconstruction = reconstruction_loss(real, &back)?;
        let kl = kl_divergence(&moments.mean, &moments.log_variance)?;
        let square = (real - &back)?.sqr()?.mean_all()?;
        let squared = squared_error_weight(step.number, self.from_scratch);
        let loss = (&reconstruction + (square * squared)?)?;
        let loss = (loss + (&kl * (self.weights.kl * step.ramp(KL_RAMP_STEPS)))?)?;
        let loss = (loss + (adversarial.weighted * step.ramp(RAMP_STEPS))?)?;
        let gradients = loss.backward()?;
        self.encoder.step(&gradients, step)?;
        self.generator.step(&gradients, step)?;
        Ok(vec![
            ("loss", scalar(&reconstruction)?),
            ("divergence", scalar(&kl)?),
            ("discriminator", discriminator_loss),
            ("generator", scalar(&adversarial.generator)?),
            ("gap", adversarial.gap),
            ("spread", batch_deviation(&free)?),
        ])
    }

    /// Returns a sample sheet. Below each real picture are its reconstruction and a drawing of the
    /// same label in the same style.
    fn sheet(&self) -> std::result::Result<Option<SampleSheet>, TrainError> {
        const ROW: usize = 12;
        let (input, batches) = (&self.input, self.input.batches);
        let encoder = input.frozen(&self.encoder.state.ema, OnePassEncoder::new)?;
        let generator = input.frozen(&self.generator.state.ema, OnePassGenerator::new)?;
        let mut rng = Rng::new(1);
        let mut rows = Vec::new();
        for index in batches.evenly_spaced(2 * ROW).chunks(ROW) {
            let batch = batches.labelled(index)?;
            let z = noise(&[index.len(), self.latent], &mut rng, input.device())?;
            let mean = encoder.forward(&batch.pictures)?.mean;
            let back = generator.forward(&mean, &batch.conditioning)?;
            let drawn = generator.forward(&z, &batch.conditioning)?;
            rows.extend([batch.pictures, back, drawn]);
        }
        Ok(Some(SampleSheet::new(batches.size(), &rows)?))
    }
}

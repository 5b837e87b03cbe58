//! The third phase, which trains the generator against the discriminator. The encoder is frozen, so
//! that tokens keep their meaning.

use super::TrainError;
use super::adam::AdamOptions;
use super::discriminator::{DiscriminatorTrainer, batch_deviation};
use super::losses::{LossWeights, reconstruction_loss, scalar};
use super::perceptual::{PerceptualLoss, add_perceptual_loss};
use super::phase::{Autoencoder, Phase, PhaseInput, PhaseKind, SampleSheet};
use super::reconstruct::reconstruction_sheet;
use super::step::{Metrics, Step};
use super::trained::{NetworkState, TrainedNetwork};
use candle_core::Result;
use imagegen::encoder::Encoder;
use imagegen::generator::Generator;
use imagegen::quantizer::Quantizer;
use sampler::rng::Rng;

pub struct PaintPhase<'a> {
    input: PhaseInput<'a>,
    encoder: Encoder,
    generator: TrainedNetwork<Generator>,
    discriminator: DiscriminatorTrainer,
    quantizer: Quantizer,
    perceptual_loss: Option<PerceptualLoss>,
}

const ADAM: AdamOptions = AdamOptions {
    beta1: 0.9,
    clip_norm: 5.0,
    orthogonal: false,
};
/// The factor by which the run's learning rate is multiplied in this phase. The rate is lower
/// because the generator and the discriminator must adapt to each other.
const LEARNING_RATE: f64 = 0.3;
/// The number of steps over which the adversarial loss reaches its full weight.
const RAMP_STEPS: f64 = 500.0;

impl<'a> PaintPhase<'a> {
    /// Creates the phase. `start` contains the encoder and generator of the first phase.
    pub fn new(
        input: PhaseInput<'a>,
        start: Autoencoder,
        weights: LossWeights,
        perceptual_loss: Option<PerceptualLoss>,
    ) -> Result<PaintPhase<'a>> {
        Ok(PaintPhase {
            encoder: input.frozen(&start.encoder, Encoder::new)?,
            generator: input.trainable(start.generator, ADAM, |w, config| {
                Generator::new(&w.with_autograd(), config)
            })?,
            discriminator: DiscriminatorTrainer::new(&input, weights)?,
            quantizer: Quantizer::new(&input.config.levels, input.device())?,
            perceptual_loss,
            input,
        })
    }
}

impl Phase for PaintPhase<'_> {
    fn name(&self) -> &'static str {
        PhaseKind::Paint.name()
    }

    fn networks(&mut self) -> Vec<(&'static str, &mut NetworkState)> {
        vec![
            ("generator", &mut self.generator.state),
            ("discriminator", self.discriminator.state()),
        ]
    }

    fn step(&mut self, step: Step, rng: &mut Rng) -> std::result::Result<Metrics, TrainError> {
        let step = step.scaled(LEARNING_RATE);
        let batch = self.input.batches.sample(self.input.batch_size, rng)?;
        let (real, conditioning) = (&batch.pictures, &batch.conditioning);
        let z = self.encoder.forward(real)?;
        let values = self.quantizer.quantize(&z)?.detach();
        let generated = [self.generator.network.forward(&values, conditioning)?];
        let detached = [generated[0].detach()];
        let discriminator_loss =
            self.discriminator
                .train_step(real, &detached, conditioning, step)?;

        let adversarial = self
            .discriminator
            .generator_loss(real, &generated, conditioning)?;
        let [generated] = generated;
        let reconstruction = reconstruction_loss(real, &generated)?;
        let loss = (&reconstruction + (adversarial.weighted * step.ramp(RAMP_STEPS))?)?;
        let mut metrics = vec![("loss", scalar(&reconstruction)?)];
        let perceptual = self.perceptual_loss.as_ref();
        let loss = add_perceptual_loss(perceptual, real, &generated, loss, &mut metrics)?;
        let gradients = loss.backward()?;
        self.generator.step(&gradients, step)?;
        metrics.extend([
            ("discriminator", discriminator_loss),
            ("generator", scalar(&adversarial.generator)?),
            ("gap", adversarial.gap),
            ("spread", batch_deviation(&generated)?),
        ]);
        Ok(metrics)
    }

    fn sheet(&self) -> std::result::Result<Option<SampleSheet>, TrainError> {
        let generator = self
            .input
            .frozen(&self.generator.state.ema, Generator::new)?;
        reconstruction_sheet(
            self.input.batches,
            &self.encoder,
            &generator,
            &self.quantizer,
        )
        .map(Some)
    }
}

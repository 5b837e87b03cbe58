//! The first phase, in which the encoder and the generator learn to reconstruct pictures from their
//! tokens.

use super::TrainError;
use super::adam::AdamOptions;
use super::batches::{Batches, drop_conditioning, random_shift, shifted};
use super::losses::{reconstruction_loss, scalar};
use super::perceptual::{PerceptualLoss, add_perceptual_loss};
use super::phase::{Autoencoder, Phase, PhaseInput, PhaseKind, SampleSheet};
use super::step::{Metrics, Step};
use super::trained::{NetworkState, TrainedNetwork};
use candle_core::Result;
use imagegen::encoder::Encoder;
use imagegen::generator::Generator;
use imagegen::quantizer::Quantizer;
use sampler::rng::Rng;

pub struct ReconstructPhase<'a> {
    input: PhaseInput<'a>,
    encoder: TrainedNetwork<Encoder>,
    generator: TrainedNetwork<Generator>,
    quantizer: Quantizer,
    perceptual_loss: Option<PerceptualLoss>,
    /// Whether the generator started with random weights.
    from_scratch: bool,
}

const ADAM: AdamOptions = AdamOptions {
    beta1: 0.9,
    clip_norm: 5.0,
    orthogonal: true,
};
/// The maximum shift of a picture in each direction, in pixels. Pixels that are shifted out of the
/// picture reappear at the opposite edge.
const MAX_SHIFT: usize = 2;

impl<'a> ReconstructPhase<'a> {
    /// Creates the phase. Weights are taken from `start`; weights that `start` lacks are random.
    pub fn new(
        input: PhaseInput<'a>,
        start: Autoencoder,
        perceptual_loss: Option<PerceptualLoss>,
    ) -> Result<ReconstructPhase<'a>> {
        Ok(ReconstructPhase {
            from_scratch: start.generator.is_empty(),
            encoder: input.trainable(start.encoder, ADAM, |w, config| {
                Encoder::new(&w.with_autograd(), config)
            })?,
            generator: input.trainable(start.generator, ADAM, |w, config| {
                Generator::new(&w.with_autograd(), config)
            })?,
            quantizer: Quantizer::new(&input.config.levels, input.device())?,
            perceptual_loss,
            input,
        })
    }
}

impl Phase for ReconstructPhase<'_> {
    fn name(&self) -> &'static str {
        PhaseKind::Reconstruct.name()
    }

    fn networks(&mut self) -> Vec<(&'static str, &mut NetworkState)> {
        vec![
            ("encoder", &mut self.encoder.state),
            ("generator", &mut self.generator.state),
        ]
    }

    fn step(&mut self, step: Step, rng: &mut Rng) -> std::result::Result<Metrics, TrainError> {
        let batch = self.input.batches.sample(self.input.batch_size, rng)?;
        let generator = &self.generator.network;
        let conditioning = drop_conditioning(&batch.conditioning, generator.null_text(), rng)?;
        let pictures = shifted(&batch.pictures, random_shift(MAX_SHIFT, rng))?;
        let z = self.encoder.network.forward(&pictures)?;
        let values = self.quantizer.quantize(&z)?;
        let back = generator.forward(&values, &conditioning)?;
        let reconstruction = reconstruction_loss(&pictures, &back)?;
        let mut metrics = vec![("loss", scalar(&reconstruction)?)];
        let perceptual = self.perceptual_loss.as_ref();
        let mut loss =
            add_perceptual_loss(perceptual, &pictures, &back, reconstruction, &mut metrics)?;
        let squared = squared_error_weight(step.number, self.from_scratch);
        if squared > 0.0 {
            let square = (&pictures - &back)?.sqr()?.mean_all()?;
            loss = (loss + (square * squared)?)?;
        }
        let gradients = loss.backward()?;
        let norm = self.encoder.step(&gradients, step)?;
        let other = self.generator.step(&gradients, step)?;
        metrics.push(("gradient", norm.hypot(other)));
        Ok(metrics)
    }

    fn sheet(&self) -> std::result::Result<Option<SampleSheet>, TrainError> {
        let encoder = self.input.frozen(&self.encoder.state.ema, Encoder::new)?;
        let generator = self
            .input
            .frozen(&self.generator.state.ema, Generator::new)?;
        reconstruction_sheet(self.input.batches, &encoder, &generator, &self.quantizer).map(Some)
    }
}

/// The weight of the squared error relative to the other losses. It falls from a maximum to 0 over
/// the first steps. If training starts from existing weights, it is always 0.
///
/// If drawings fill only a small part of the square, an untrained generator can reduce the absolute
/// error most by drawing nothing. Its tanh is then saturated and has too little gradient to
/// recover. The squared error is lowest for the mean of all pictures, and from this mean training
/// can proceed.
pub fn squared_error_weight(number: u64, from_scratch: bool) -> f64 {
    const WEIGHT: f64 = 8.0;
    const STEPS: f64 = 400.0;
    match from_scratch {
        true => WEIGHT * (1.0 - number as f64 / STEPS).max(0.0),
        false => 0.0,
    }
}

/// Returns a sample sheet, in which each picture is above its reconstruction.
pub fn reconstruction_sheet(
    batches: &Batches,
    encoder: &Encoder,
    generator: &Generator,
    quantizer: &Quantizer,
) -> std::result::Result<SampleSheet, TrainError> {
    const ROW: usize = 12;
    let mut rows = Vec::new();
    for index in batches.evenly_spaced(2 * ROW).chunks(ROW) {
        let batch = batches.labelled(index)?;
        let values = quantizer.quantize(&encoder.forward(&batch.pictures)?)?;
        let back = generator.forward(&values, &batch.conditioning)?;
        rows.extend([batch.pictures, back]);
    }
    Ok(SampleSheet::new(batches.size(), &rows)?)
}

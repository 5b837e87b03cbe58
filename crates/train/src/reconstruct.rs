//! The first phase: encoder and generator, so that a picture comes back from its tokens.

use super::TrainError;
use super::adam::Adam;
use super::batches::{Batches, a_little, moved, without_some};
use super::checkpoint::Parts;
use super::discriminator::scalar;
use super::losses::reconstruction;
use super::perceptual::{PerceptualLoss, with_looks};
use super::run::{Metrics, Phase, SampleSheet};
use super::variables::{Tensors, Variables, average, fixed, make};
use candle_core::{Result, Tensor};
use imagegen::config::{CHANNELS, Config};
use imagegen::encoder::Encoder;
use imagegen::generator::Generator;
use imagegen::quantizer::Quantizer;
use sampler::rng::Rng;

pub struct ReconstructPhase<'a> {
    batches: &'a Batches<'a>,
    config: Config,
    batch: usize,
    encoder: TrainedNetwork<Encoder>,
    generator: TrainedNetwork<Generator>,
    quantizer: Quantizer,
    look: Option<PerceptualLoss>,
    /// Whether the generator knows nothing yet.
    fresh: bool,
}

/// A network that is trained: its variables, their mean, and what Adam remembers of them.
pub struct TrainedNetwork<N> {
    pub network: N,
    pub variables: Variables,
    pub mean: Tensors,
    pub adam: Adam,
}

impl<N> TrainedNetwork<N> {
    pub fn new(
        (network, variables): (N, Variables),
        beta: f64,
        clip: f64,
    ) -> Result<TrainedNetwork<N>> {
        Ok(TrainedNetwork {
            mean: variables.tensors()?,
            adam: Adam::new(&variables, beta, clip)?,
            network,
            variables,
        })
    }

    /// The same, its blocks' matrices moved by orthogonal steps.
    pub fn orthogonal(self) -> TrainedNetwork<N> {
        let adam = self.adam.orthogonal();
        TrainedNetwork { adam, ..self }
    }

    /// One step against the gradients of a loss, and the mean after it.
    pub fn step(
        &mut self,
        gradients: &candle_core::backprop::GradStore,
        rate: f64,
        number: u64,
    ) -> Result<f64> {
        let length = self.adam.step(&self.variables, gradients, rate, number)?;
        average(&mut self.mean, &self.variables, number)?;
        Ok(length)
    }

    /// Adds all that has to be kept, under `name`.
    pub fn keep(&self, name: &str, parts: &mut Parts) -> Result<()> {
        let [first, second] = self.adam.moments();
        parts.insert(name.to_string(), self.variables.tensors()?);
        parts.insert(format!("{name}.mean"), self.mean.clone());
        parts.insert(format!("{name}.first"), first.clone());
        parts.insert(format!("{name}.second"), second.clone());
        Ok(())
    }

    /// Takes back what was kept under `name`.
    pub fn restore(&mut self, name: &str, parts: &mut Parts) -> Result<()> {
        let missing = || candle_core::Error::Msg(format!("the checkpoint has no {name}"));
        let mut part = |suffix: &str| parts.remove(&format!("{name}{suffix}")).ok_or_else(missing);
        self.variables.restore(&part("")?)?;
        self.mean = part(".mean")?;
        self.adam.restore(part(".first")?, part(".second")?);
        Ok(())
    }
}

const CLIP: f64 = 5.0;
/// How far a picture may be moved, in pixels; what leaves on one side comes in on the other.
const SHIFT: usize = 2;

impl<'a> ReconstructPhase<'a> {
    /// Begins with `known` tensors of encoder and generator where there are some.
    pub fn new(
        batches: &'a Batches<'a>,
        config: &Config,
        (batch, seed): (usize, u64),
        known: (Tensors, Tensors),
        look: Option<PerceptualLoss>,
    ) -> Result<ReconstructPhase<'a>> {
        let device = batches.device();
        let fresh = known.1.is_empty();
        let encoder = make(known.0, seed, device, |weights| {
            Encoder::new(&weights.with_autograd(), config)
        })?;
        let generator = make(known.1, seed, device, |weights| {
            Generator::new(&weights.with_autograd(), config)
        })?;
        Ok(ReconstructPhase {
            quantizer: Quantizer::new(&config.levels, device)?,
            encoder: TrainedNetwork::new(encoder, 0.9, CLIP)?.orthogonal(),
            generator: TrainedNetwork::new(generator, 0.9, CLIP)?.orthogonal(),
            config: config.clone(),
            look,
            fresh,
            batches,
            batch,
        })
    }
}

impl Phase for ReconstructPhase<'_> {
    fn name(&self) -> &'static str {
        "reconstruct"
    }

    fn parts(&self) -> std::result::Result<Parts, TrainError> {
        let mut parts = Parts::new();
        self.encoder.keep("encoder", &mut parts)?;
        self.generator.keep("generator", &mut parts)?;
        Ok(parts)
    }

    fn restore(&mut self, mut parts: Parts) -> std::result::Result<(), TrainError> {
        self.encoder.restore("encoder", &mut parts)?;
        Ok(self.generator.restore("generator", &mut parts)?)
    }

    fn step(
        &mut self,
        number: u64,
        rate: f64,
        rng: &mut Rng,
    ) -> std::result::Result<Metrics, TrainError> {
        let drawn = self.batches.draw(self.batch, rng)?;
        let generator = &self.generator.network;
        let conditioning = without_some(&drawn.conditioning, generator.null_text(), rng)?;
        let pictures = moved(&drawn.pictures, a_little(SHIFT, rng))?;
        let z = self.encoder.network.forward(&pictures)?;
        let values = self.quantizer.quantize(&z)?;
        let back = generator.forward(&values, &conditioning)?;
        let same = reconstruction(&pictures, &back)?;
        let mut metrics = vec![("loss", scalar(&same)?)];
        let look = self.look.as_ref();
        let mut loss = with_looks(look, (&pictures, &back), same, &mut metrics)?;
        let squares = squares(number, self.fresh);
        if squares > 0.0 {
            let square = (&pictures - &back)?.sqr()?.mean_all()?;
            loss = (loss + (square * squares)?)?;
        }
        let gradients = loss.backward()?;
        let length = self.encoder.step(&gradients, rate, number)?;
        let other = self.generator.step(&gradients, rate, number)?;
        metrics.push(("gradient", length.hypot(other)));
        Ok(metrics)
    }

    fn sheet(&self) -> std::result::Result<SampleSheet, TrainError> {
        let device = self.batches.device();
        let encoder = fixed(&self.encoder.mean, device, |w| {
            Encoder::new(w, &self.config)
        })?;
        let generator = fixed(&self.generator.mean, device, |w| {
            Generator::new(w, &self.config)
        })?;
        reconstructions(self.batches, &encoder, &generator, &self.quantizer)
    }
}

/// How much squared differences count beside the others, which is nothing later on, nor where a run
/// goes on from weights.
///
/// Where drawings fill little of the square, the least sum of absolute differences that knows
/// nothing yet is an empty picture, and there the generator's tanh has no slope left to leave it
/// by; of squares it is the mean of all pictures, from which it goes on.
pub fn squares(number: u64, fresh: bool) -> f64 {
    const WEIGHT: f64 = 8.0;
    const STEPS: f64 = 400.0;
    match fresh {
        true => WEIGHT * (1.0 - number as f64 / STEPS).max(0.0),
        false => 0.0,
    }
}

/// Rows of pictures, each above what comes back from its tokens.
pub fn reconstructions(
    batches: &Batches,
    encoder: &Encoder,
    generator: &Generator,
    quantizer: &Quantizer,
) -> std::result::Result<SampleSheet, TrainError> {
    const ROW: usize = 12;
    let pictures = batches.pictures();
    let step = (pictures.len() / (2 * ROW)).max(1);
    let index: Vec<usize> = (0..pictures.len()).step_by(step).take(2 * ROW).collect();
    let mut rows = Vec::new();
    for some in index.chunks(ROW) {
        let batch = batches.labelled(some)?;
        let values = quantizer.quantize(&encoder.forward(&batch.pictures)?)?;
        let back = generator.forward(&values, &batch.conditioning)?;
        rows.push(bytes(&batch.pictures)?);
        rows.push(bytes(&back)?);
    }
    Ok(SampleSheet {
        size: pictures.size as usize,
        rows,
    })
}

/// `[batch, 4, size, size]` as each picture's bytes.
pub fn bytes(pictures: &Tensor) -> Result<Vec<Vec<u8>>> {
    let rows = pictures
        .permute((0, 2, 3, 1))?
        .flatten_from(1)?
        .to_vec2::<f32>()?;
    let picture = |row: &Vec<f32>| imagegen::to_pixel_bytes(row);
    debug_assert!(rows.iter().all(|row| row.len() % CHANNELS == 0));
    Ok(rows.iter().map(picture).collect())
}

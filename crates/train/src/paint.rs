//! The third phase: the generator against the discriminator, the encoder frozen so that its tokens
//! stay what they were.

use super::TrainError;
use super::batches::Batches;
use super::checkpoint::Parts;
use super::discriminator::{DiscriminatorTrainer, LossWeights, scalar, spread};
use super::losses::reconstruction;
use super::perceptual::{PerceptualLoss, with_looks};
use super::reconstruct::{TrainedNetwork, reconstructions};
use super::run::{Metrics, Phase, SampleSheet};
use super::variables::{Tensors, fixed, make};
use candle_core::Result;
use imagegen::config::Config;
use imagegen::encoder::Encoder;
use imagegen::generator::Generator;
use imagegen::quantizer::Quantizer;
use sampler::rng::Rng;

pub struct PaintPhase<'a> {
    batches: &'a Batches<'a>,
    config: Config,
    batch: usize,
    encoder: Encoder,
    generator: TrainedNetwork<Generator>,
    judge: DiscriminatorTrainer,
    quantizer: Quantizer,
    look: Option<PerceptualLoss>,
}

const CLIP: f64 = 5.0;
/// Both learn more slowly than the first phase does.
const SLOWER: f64 = 0.3;
/// Steps over which the adversarial part comes in.
const RAMP: f64 = 500.0;

impl<'a> PaintPhase<'a> {
    /// `encoder` and `generator`: those of the first phase.
    pub fn new(
        batches: &'a Batches<'a>,
        config: &Config,
        (batch, seed): (usize, u64),
        (encoder, generator): (&Tensors, Tensors),
        (means, look): (LossWeights, Option<PerceptualLoss>),
    ) -> Result<PaintPhase<'a>> {
        let device = batches.device();
        let generator = make(generator, seed, device, |weights| {
            Generator::new(&weights.with_autograd(), config)
        })?;
        Ok(PaintPhase {
            quantizer: Quantizer::new(&config.levels, device)?,
            encoder: fixed(encoder, device, |weights| Encoder::new(weights, config))?,
            generator: TrainedNetwork::new(generator, 0.9, CLIP)?,
            judge: DiscriminatorTrainer::new(config, seed, device, means)?,
            config: config.clone(),
            look,
            batches,
            batch,
        })
    }
}

impl Phase for PaintPhase<'_> {
    fn name(&self) -> &'static str {
        "paint"
    }

    fn parts(&self) -> std::result::Result<Parts, TrainError> {
        let mut parts = Parts::new();
        self.generator.keep("generator", &mut parts)?;
        self.judge.keep(&mut parts)?;
        Ok(parts)
    }

    fn restore(&mut self, mut parts: Parts) -> std::result::Result<(), TrainError> {
        self.generator.restore("generator", &mut parts)?;
        Ok(self.judge.restore(&mut parts)?)
    }

    fn step(
        &mut self,
        number: u64,
        rate: f64,
        rng: &mut Rng,
    ) -> std::result::Result<Metrics, TrainError> {
        let rate = rate * SLOWER;
        let drawn = self.batches.draw(self.batch, rng)?;
        let (real, conditioning) = (&drawn.pictures, &drawn.conditioning);
        let values = self
            .quantizer
            .quantize(&self.encoder.forward(real)?)?
            .detach();
        let painted = self.generator.network.forward(&values, conditioning)?;
        let given = [painted.detach()];
        let judged = self
            .judge
            .learn(real, &given, conditioning, (rate, number))?;

        let painted = [painted];
        let verdict = self.judge.tell(real, &painted, conditioning)?;
        let [painted] = painted;
        let same = reconstruction(real, &painted)?;
        let ramp = (number as f64 / RAMP).min(1.0);
        let loss = (&same + (verdict.loss * ramp)?)?;
        let mut metrics = vec![("loss", scalar(&same)?)];
        let look = self.look.as_ref();
        let loss = with_looks(look, (real, &painted), loss, &mut metrics)?;
        let gradients = loss.backward()?;
        self.generator.step(&gradients, rate, number)?;
        metrics.extend([
            ("discriminator", judged),
            ("generator", scalar(&verdict.fooled)?),
            ("gap", verdict.gap),
            ("spread", spread(&painted)?),
        ]);
        Ok(metrics)
    }

    fn sheet(&self) -> std::result::Result<SampleSheet, TrainError> {
        let device = self.batches.device();
        let generator = fixed(&self.generator.mean, device, |w| {
            Generator::new(w, &self.config)
        })?;
        reconstructions(self.batches, &self.encoder, &generator, &self.quantizer)
    }
}

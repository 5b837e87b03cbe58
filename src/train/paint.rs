//! The third phase: the generator against the discriminator, the encoder frozen so that its tokens
//! stay what they were.

use super::TrainError;
use super::batches::Batches;
use super::checkpoint::Parts;
use super::losses::{Adversarial, matching, one_centred, reconstruction, slope, zero_centred};
use super::reconstruct::{Trained, reconstructions};
use super::run::{Metrics, Phase, Sheet};
use super::variables::{Tensors, fixed, make};
use crate::model::gan::condition::Wish;
use crate::model::gan::config::Config;
use crate::model::gan::discriminator::Discriminator;
use crate::model::gan::encoder::Encoder;
use crate::model::gan::generator::Generator;
use crate::model::gan::quantizer::Quantizer;
use crate::model::sampler::rng::Rng;
use candle_core::{Result, Tensor};

pub struct Paint<'a> {
    batches: &'a Batches<'a>,
    config: Config,
    batch: usize,
    means: Means,
    encoder: Encoder,
    generator: Trained<Generator>,
    discriminator: Trained<Discriminator>,
    quantizer: Quantizer,
}

/// How generator and discriminator are set against each other.
#[derive(Clone, Copy, Debug)]
pub struct Means {
    pub loss: Adversarial,
    /// Weight of the adversarial part beside reconstruction.
    pub adversarial: f64,
    /// Weight of feature matching.
    pub matching: f64,
    /// Weight of the gradient penalty.
    pub r1: f64,
}

impl Default for Means {
    fn default() -> Means {
        Means {
            loss: Adversarial::Relativistic,
            adversarial: 0.03,
            matching: 0.2,
            r1: 0.02,
        }
    }
}

const CLIP: f64 = 5.0;
/// Both learn more slowly than the first phase does.
const SLOWER: f64 = 0.3;
/// Steps between gradient penalties, whose weight makes up for it.
const LAZY: u64 = 8;
/// Steps over which the adversarial part comes in.
const RAMP: f64 = 500.0;
/// Weight of real pictures beside the words of others, as false ones.
const MISMATCHED: f64 = 0.5;

impl<'a> Paint<'a> {
    /// `encoder` and `generator`: those of the first phase.
    pub fn new(
        batches: &'a Batches<'a>,
        config: &Config,
        (batch, seed): (usize, u64),
        (encoder, generator): (&Tensors, Tensors),
        means: Means,
    ) -> Result<Paint<'a>> {
        let device = batches.device();
        let none = Tensors::new();
        let judge = make(none, seed, device, |w| Discriminator::new(w, config))?;
        let generator = make(generator, seed, device, |weights| {
            Generator::new(weights, config)
        })?;
        Ok(Paint {
            quantizer: Quantizer::new(&config.levels, device)?,
            encoder: fixed(encoder, device, |weights| Encoder::new(weights, config))?,
            generator: Trained::new(generator, 0.9, CLIP)?,
            discriminator: Trained::new(judge, 0.5, CLIP)?,
            config: config.clone(),
            means,
            batches,
            batch,
        })
    }

    /// The discriminator's loss, on real pictures, drawn ones, and real ones beside other words.
    fn judge(&self, real: &Tensor, drawn: &Tensor, wish: &Wish, number: u64) -> Result<Tensor> {
        let judge = &self.discriminator.network;
        let style = wish.styles(0)?;
        let score = |pictures: &Tensor| Ok(judge.forward(pictures, &wish.text, &style)?.scores);
        let other = wish.text.roll(1, 0)?;
        let (true_, false_) = (score(real)?, score(drawn)?);
        let mismatched = judge.forward(real, &other, &style)?.scores;
        let loss = self.means.loss;
        let mismatched = (loss.discriminator(&true_, &mismatched)? * MISMATCHED)?;
        let mut total = (loss.discriminator(&true_, &false_)? + mismatched)?;
        if self.means.r1 > 0.0 && (number - 1).is_multiple_of(LAZY) {
            let penalty = match loss {
                Adversarial::Wasserstein => one_centred(&slope(&between(real, drawn)?, &score)?)?,
                Adversarial::Relativistic => {
                    let on_drawn = zero_centred(&slope(drawn, &score)?)?;
                    (zero_centred(&slope(real, &score)?)? + on_drawn)?
                }
                _ => zero_centred(&slope(real, &score)?)?,
            };
            total = (total + (penalty * (self.means.r1 * LAZY as f64))?)?;
        }
        Ok(total)
    }
}

/// Pictures half way between real and drawn ones.
fn between(real: &Tensor, drawn: &Tensor) -> Result<Tensor> {
    (real + drawn)? * 0.5
}

/// How much the pictures of a batch differ: the mean deviation of a pixel over the batch.
fn spread(pictures: &Tensor) -> Result<f64> {
    let centred = pictures.broadcast_sub(&pictures.mean_keepdim(0)?)?;
    let deviation = centred.sqr()?.mean(0)?.sqrt()?.mean_all()?;
    Ok(f64::from(deviation.to_scalar::<f32>()?))
}

impl Phase for Paint<'_> {
    fn name(&self) -> &'static str {
        "paint"
    }

    fn parts(&self) -> std::result::Result<Parts, TrainError> {
        let mut parts = Parts::new();
        self.generator.keep("generator", &mut parts)?;
        self.discriminator.keep("discriminator", &mut parts)?;
        Ok(parts)
    }

    fn restore(&mut self, mut parts: Parts) -> std::result::Result<(), TrainError> {
        self.generator.restore("generator", &mut parts)?;
        Ok(self.discriminator.restore("discriminator", &mut parts)?)
    }

    fn step(
        &mut self,
        number: u64,
        rate: f64,
        rng: &mut Rng,
    ) -> std::result::Result<Metrics, TrainError> {
        let rate = rate * SLOWER;
        let drawn = self.batches.draw(self.batch, rng)?;
        let (real, wish) = (&drawn.pictures, &drawn.wish);
        let values = self
            .quantizer
            .quantize(&self.encoder.forward(real)?)?
            .detach();
        let painted = self.generator.network.forward(&values, wish)?;

        let judged = self.judge(real, &painted.detach(), wish, number)?;
        let gradients = judged.backward()?;
        self.discriminator.step(&gradients, rate, number)?;

        let judge = &self.discriminator.network;
        let style = wish.styles(0)?;
        let of_real = judge.forward(real, &wish.text, &style)?;
        let of_painted = judge.forward(&painted, &wish.text, &style)?;
        let true_ = of_real.scores.detach();
        let fooled = self.means.loss.generator(&true_, &of_painted.scores)?;
        let alike = matching(&of_real.features, &of_painted.features)?;
        let same = reconstruction(real, &painted)?;
        let ramp = (number as f64 / RAMP).min(1.0);
        let adversarial = ((&fooled * self.means.adversarial)? + (alike * self.means.matching)?)?;
        let loss = (&same + (adversarial * ramp)?)?;
        let gradients = loss.backward()?;
        self.generator.step(&gradients, rate, number)?;

        let number = |tensor: &Tensor| Ok::<f64, TrainError>(f64::from(tensor.to_scalar::<f32>()?));
        let gap = (true_ - of_painted.scores)?.mean_all()?;
        Ok(vec![
            ("loss", number(&same)?),
            ("discriminator", number(&judged)?),
            ("generator", number(&fooled)?),
            ("gap", number(&gap)?),
            ("spread", spread(&painted)?),
        ])
    }

    fn sheet(&self) -> std::result::Result<Sheet, TrainError> {
        let device = self.batches.device();
        let generator = fixed(&self.generator.mean, device, |w| {
            Generator::new(w, &self.config)
        })?;
        reconstructions(self.batches, &self.encoder, &generator, &self.quantizer)
    }
}

//! The discriminator in training: how it learns, and what it tells the generator. Shared by the
//! phases that set the two against each other.

use super::checkpoint::Parts;
use super::losses::{GanLoss, matching, one_centred, slope, zero_centred};
use super::reconstruct::TrainedNetwork;
use super::variables::{Tensors, make};
use candle_core::{Device, Error, Result, Tensor};
use imagegen::conditioning::Conditioning;
use imagegen::config::Config;
use imagegen::discriminator::{Discriminator, DiscriminatorOutput};

/// How generator and discriminator are set against each other.
#[derive(Clone, Copy, Debug)]
pub struct LossWeights {
    pub loss: GanLoss,
    /// Weight of the adversarial part beside reconstruction.
    pub adversarial: f64,
    /// Weight of feature matching.
    pub matching: f64,
    /// Weight of the gradient penalty.
    pub r1: f64,
    /// Weight of the latents' distance from the normal distribution, in the direct design.
    pub divergence: f64,
}

impl Default for LossWeights {
    fn default() -> LossWeights {
        LossWeights {
            loss: GanLoss::Relativistic,
            adversarial: 0.03,
            matching: 0.2,
            r1: 0.02,
            divergence: 0.005,
        }
    }
}

/// The discriminator and its means.
pub struct DiscriminatorTrainer {
    trained: TrainedNetwork<Discriminator>,
    means: LossWeights,
}

/// What the discriminator tells the generator.
pub struct AdversarialLoss {
    /// The generator's adversarial loss, the mean over all that was drawn.
    pub fooled: Tensor,
    /// Both losses that the discriminator gives, weighed.
    pub loss: Tensor,
    /// How far the last of the drawn batches scores below the real one.
    pub gap: f64,
}

const CLIP: f64 = 5.0;
/// Steps between gradient penalties, whose weight makes up for it.
const LAZY: u64 = 8;
/// Weight of real pictures beside the words of others, as false ones.
const MISMATCHED: f64 = 0.5;

impl DiscriminatorTrainer {
    pub fn new(
        config: &Config,
        seed: u64,
        device: &Device,
        means: LossWeights,
    ) -> Result<DiscriminatorTrainer> {
        let network = make(Tensors::new(), seed, device, |weights| {
            Discriminator::new(weights, config)
        })?;
        Ok(DiscriminatorTrainer {
            trained: TrainedNetwork::new(network, 0.5, CLIP)?,
            means,
        })
    }

    pub fn keep(&self, parts: &mut Parts) -> Result<()> {
        self.trained.keep("discriminator", parts)
    }

    pub fn restore(&mut self, parts: &mut Parts) -> Result<()> {
        self.trained.restore("discriminator", parts)
    }

    /// One step on real pictures of what was wished, on each of the batches `drawn` of the same,
    /// and on the real ones beside other words. Returns the loss.
    pub fn learn(
        &mut self,
        real: &Tensor,
        drawn: &[Tensor],
        conditioning: &Conditioning,
        (rate, number): (f64, u64),
    ) -> Result<f64> {
        let loss = self.loss(real, drawn, conditioning, number)?;
        let gradients = loss.backward()?;
        self.trained.step(&gradients, rate, number)?;
        scalar(&loss)
    }

    fn loss(
        &self,
        real: &Tensor,
        drawn: &[Tensor],
        conditioning: &Conditioning,
        number: u64,
    ) -> Result<Tensor> {
        let (judge, loss) = (&self.trained.network, self.means.loss);
        let style = conditioning.style_rows(0)?;
        let score =
            |pictures: &Tensor| Ok(judge.forward(pictures, &conditioning.text, &style)?.scores);
        let true_ = score(real)?;
        let false_ = mean(drawn, |drawn| loss.discriminator(&true_, &score(drawn)?))?;
        let other = conditioning.text.roll(1, 0)?;
        let mismatched = judge.forward(real, &other, &style)?.scores;
        let mismatched = (loss.discriminator(&true_, &mismatched)? * MISMATCHED)?;
        let total = (false_ + mismatched)?;
        if self.means.r1 <= 0.0 || !(number - 1).is_multiple_of(LAZY) {
            return Ok(total);
        }
        let penalty = match loss {
            GanLoss::Wasserstein => mean(drawn, |drawn| {
                let between = ((real + drawn)? * 0.5)?;
                one_centred(&slope(&between, &score)?)
            })?,
            GanLoss::Relativistic => {
                let on_drawn = mean(drawn, |drawn| zero_centred(&slope(drawn, &score)?))?;
                (zero_centred(&slope(real, &score)?)? + on_drawn)?
            }
            _ => zero_centred(&slope(real, &score)?)?,
        };
        total + (penalty * (self.means.r1 * LAZY as f64))?
    }

    /// What it says of batches that were drawn; the features of the first are matched to the real
    /// pictures', which it is to be the same as.
    pub fn tell(
        &self,
        real: &Tensor,
        drawn: &[Tensor],
        conditioning: &Conditioning,
    ) -> Result<AdversarialLoss> {
        let style = conditioning.style_rows(0)?;
        let judge = |pictures: &Tensor| {
            let network = &self.trained.network;
            network.forward(pictures, &conditioning.text, &style)
        };
        let of_real = judge(real)?;
        let of_drawn: Vec<DiscriminatorOutput> = drawn.iter().map(judge).collect::<Result<_>>()?;
        let (Some(first), Some(last)) = (of_drawn.first(), of_drawn.last()) else {
            return Err(nothing());
        };
        let true_ = of_real.scores.detach();
        let loss = self.means.loss;
        let fooled = mean(&of_drawn, |it| loss.generator(&true_, &it.scores))?;
        let alike = (matching(&of_real.features, &first.features)? * self.means.matching)?;
        Ok(AdversarialLoss {
            gap: scalar(&(true_ - &last.scores)?.mean_all()?)?,
            loss: ((&fooled * self.means.adversarial)? + alike)?,
            fooled,
        })
    }
}

fn nothing() -> Error {
    Error::Msg("there is nothing to be judged".into())
}

/// The mean of a loss over all of `some`.
fn mean<T>(some: &[T], loss: impl Fn(&T) -> Result<Tensor>) -> Result<Tensor> {
    let mut losses = some.iter().map(loss);
    let first = losses.next().ok_or_else(nothing)??;
    let total = losses.try_fold(first, |total, loss| total + loss?)?;
    total / some.len() as f64
}

/// How much the pictures of a batch differ: the mean deviation of a pixel over the batch.
pub fn spread(pictures: &Tensor) -> Result<f64> {
    let centred = pictures.broadcast_sub(&pictures.mean_keepdim(0)?)?;
    scalar(&centred.sqr()?.mean(0)?.sqrt()?.mean_all()?)
}

pub fn scalar(tensor: &Tensor) -> Result<f64> {
    Ok(f64::from(tensor.to_scalar::<f32>()?))
}

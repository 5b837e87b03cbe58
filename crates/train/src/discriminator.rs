//! Trains the discriminator, and uses it to compute the generator's adversarial loss.

use super::adam::AdamOptions;
use super::losses::{
    GanLoss, LossWeights, feature_matching_loss, gradient_norm, one_centred_penalty, scalar,
    zero_centred_penalty,
};
use super::phase::PhaseInput;
use super::step::Step;
use super::trained::{NetworkState, TrainedNetwork};
use super::variables::Tensors;
use candle_core::{Error, Result, Tensor};
use imagegen::conditioning::Conditioning;
use imagegen::discriminator::{Discriminator, DiscriminatorOutput};

/// The discriminator in training, and the weights of the losses.
pub struct DiscriminatorTrainer {
    trained: TrainedNetwork<Discriminator>,
    weights: LossWeights,
}

/// The part of the generator's loss that is computed with the discriminator.
pub struct AdversarialLoss {
    /// The unweighted adversarial loss, averaged over all generated batches.
    pub generator: Tensor,
    /// The weighted sum of the adversarial loss and the feature-matching loss.
    pub weighted: Tensor,
    /// The mean score of the real batch minus the mean score of the last generated batch.
    pub gap: f64,
}

const ADAM: AdamOptions = AdamOptions {
    beta1: 0.5,
    clip_norm: 5.0,
    orthogonal: false,
};
/// The number of steps between gradient penalties. The weight of the penalty is multiplied by this
/// number to compensate (lazy regularization).
const PENALTY_EVERY: u64 = 8;
/// The weight of the loss for real pictures paired with the text of other pictures. The
/// discriminator should score such pairs as fake.
const MISMATCHED: f64 = 0.5;

impl DiscriminatorTrainer {
    /// Creates a discriminator with random weights.
    pub fn new(input: &PhaseInput, weights: LossWeights) -> Result<DiscriminatorTrainer> {
        Ok(DiscriminatorTrainer {
            trained: input.trainable(Tensors::new(), ADAM, Discriminator::new)?,
            weights,
        })
    }

    pub fn state(&mut self) -> &mut NetworkState {
        &mut self.trained.state
    }

    /// Takes one training step. Its loss covers a real batch, generated batches with the same
    /// conditioning, and the real batch with the text of other pictures. Returns the loss.
    pub fn train_step(
        &mut self,
        real: &Tensor,
        generated: &[Tensor],
        conditioning: &Conditioning,
        step: Step,
    ) -> Result<f64> {
        let loss = self.loss(real, generated, conditioning, step.number)?;
        let gradients = loss.backward()?;
        self.trained.step(&gradients, step)?;
        scalar(&loss)
    }

    fn loss(
        &self,
        real: &Tensor,
        generated: &[Tensor],
        conditioning: &Conditioning,
        number: u64,
    ) -> Result<Tensor> {
        let (network, loss) = (&self.trained.network, self.weights.gan_loss);
        let style = conditioning.style_rows(0)?;
        let score = |pictures: &Tensor| {
            Ok(network
                .forward(pictures, &conditioning.text, &style)?
                .scores)
        };
        let of_real = score(real)?;
        let of_generated = mean(generated, |fake| {
            loss.discriminator(&of_real, &score(fake)?)
        })?;
        let other = conditioning.text.roll(1, 0)?;
        let mismatched = network.forward(real, &other, &style)?.scores;
        let mismatched = (loss.discriminator(&of_real, &mismatched)? * MISMATCHED)?;
        let total = (of_generated + mismatched)?;
        if self.weights.r1 <= 0.0 || !(number - 1).is_multiple_of(PENALTY_EVERY) {
            return Ok(total);
        }
        let penalty = match loss {
            GanLoss::Wasserstein => mean(generated, |fake| {
                let between = ((real + fake)? * 0.5)?;
                one_centred_penalty(&gradient_norm(&between, &score)?)
            })?,
            GanLoss::Relativistic => {
                let on_generated = mean(generated, |fake| {
                    zero_centred_penalty(&gradient_norm(fake, &score)?)
                })?;
                (zero_centred_penalty(&gradient_norm(real, &score)?)? + on_generated)?
            }
            GanLoss::Bce | GanLoss::Hinge | GanLoss::LeastSquares => {
                zero_centred_penalty(&gradient_norm(real, &score)?)?
            }
        };
        total + (penalty * (self.weights.r1 * PENALTY_EVERY as f64))?
    }

    /// Computes the generator's loss on generated batches. The first generated batch should be a
    /// reconstruction of the real batch, so the features of these two batches are compared.
    pub fn generator_loss(
        &self,
        real: &Tensor,
        generated: &[Tensor],
        conditioning: &Conditioning,
    ) -> Result<AdversarialLoss> {
        let style = conditioning.style_rows(0)?;
        let judge = |pictures: &Tensor| {
            let network = &self.trained.network;
            network.forward(pictures, &conditioning.text, &style)
        };
        let of_real = judge(real)?;
        let of_generated: Vec<DiscriminatorOutput> =
            generated.iter().map(judge).collect::<Result<_>>()?;
        let (Some(first), Some(last)) = (of_generated.first(), of_generated.last()) else {
            return Err(no_batches());
        };
        let real_scores = of_real.scores.detach();
        let loss = self.weights.gan_loss;
        let generator = mean(&of_generated, |it| loss.generator(&real_scores, &it.scores))?;
        let matching = feature_matching_loss(&of_real.features, &first.features)?;
        let matching = (matching * self.weights.feature_matching)?;
        Ok(AdversarialLoss {
            gap: scalar(&(real_scores - &last.scores)?.mean_all()?)?,
            weighted: ((&generator * self.weights.adversarial)? + matching)?,
            generator,
        })
    }
}

fn no_batches() -> Error {
    Error::Msg("the discriminator was given no pictures".into())
}

/// Returns the mean of a loss over all batches.
fn mean<T>(batches: &[T], loss: impl Fn(&T) -> Result<Tensor>) -> Result<Tensor> {
    let mut losses = batches.iter().map(loss);
    let first = losses.next().ok_or_else(no_batches)??;
    let total = losses.try_fold(first, |total, loss| total + loss?)?;
    total / batches.len() as f64
}

/// Measures how much the pictures of a batch differ from each other: computes the standard
/// deviation of each pixel over the batch, and averages it over the pixels.
pub fn batch_deviation(pictures: &Tensor) -> Result<f64> {
    let centred = pictures.broadcast_sub(&pictures.mean_keepdim(0)?)?;
    scalar(&centred.sqr()?.mean(0)?.sqrt()?.mean_all()?)
}

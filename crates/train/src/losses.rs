//! The losses and their weights.
//!
//! Scores are tensors `[batch]`. A high score means that the discriminator takes a picture for a
//! real drawing of its caption. Each adversarial loss consists of one loss for the discriminator
//! and one loss for the generator.

use super::phase::PhaseKind;
use candle_core::{Error, Result, Tensor, Var};

/// The kind of adversarial loss, and the weight of each loss other than the reconstruction loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossWeights {
    pub gan_loss: GanLoss,
    /// The weight of the adversarial loss.
    pub adversarial: f64,
    pub feature_matching: f64,
    /// The weight of the gradient penalty.
    pub r1: f64,
    /// The weight of the loss that keeps latents close to the standard normal distribution (KL
    /// divergence). Used only by the one-pass design.
    pub kl: f64,
    /// The weight of the contrastive loss that trains the critic to match pictures to captions in
    /// the phase `refine`.
    pub caption_contrastive: f64,
    /// The weight of the perceptual loss; 0 turns the loss off.
    pub perceptual: f64,
}

impl LossWeights {
    /// The default weights of a phase.
    pub fn of(phase: PhaseKind, small: bool) -> LossWeights {
        LossWeights {
            adversarial: match phase {
                PhaseKind::Refine => 0.05,
                PhaseKind::Reconstruct
                | PhaseKind::Tokens
                | PhaseKind::Paint
                | PhaseKind::Direct => 0.03,
            },
            perceptual: match phase {
                PhaseKind::Refine => 1.0,
                PhaseKind::Reconstruct | PhaseKind::Paint if !small => 1.0,
                PhaseKind::Reconstruct
                | PhaseKind::Paint
                | PhaseKind::Tokens
                | PhaseKind::Direct => 0.0,
            },
            ..LossWeights::default()
        }
    }
}

impl Default for LossWeights {
    fn default() -> LossWeights {
        LossWeights {
            gan_loss: GanLoss::Relativistic,
            adversarial: 0.03,
            feature_matching: 0.2,
            r1: 0.02,
            kl: 0.005,
            caption_contrastive: 0.005,
            perceptual: 0.0,
        }
    }
}

/// The kinds of adversarial loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GanLoss {
    /// Cross-entropy with the non-saturating generator loss (Goodfellow et al. 2014).
    Bce,
    /// Hinge loss (Lim and Ye 2017).
    Hinge,
    /// Least squares (Mao et al. 2017).
    LeastSquares,
    /// Wasserstein loss (Arjovsky et al. 2017), which requires a gradient penalty.
    Wasserstein,
    /// Relativistic loss, which compares pairs of real and generated pictures (Jolicoeur-Martineau
    /// 2019) and requires the gradient penalties R1 and R2.
    Relativistic,
}

/// The adversarial losses, with their names on the command line.
pub const GAN_LOSSES: [(&str, GanLoss); 5] = [
    ("bce", GanLoss::Bce),
    ("hinge", GanLoss::Hinge),
    ("lsgan", GanLoss::LeastSquares),
    ("wgan", GanLoss::Wasserstein),
    ("relativistic", GanLoss::Relativistic),
];

impl std::str::FromStr for GanLoss {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<GanLoss, String> {
        let found = GAN_LOSSES.iter().find(|(known, _)| *known == name);
        let names = || GAN_LOSSES.map(|(name, _)| name).join(", ");
        found
            .map(|(_, loss)| *loss)
            .ok_or_else(|| format!("the loss must be one of {}", names()))
    }
}

impl GanLoss {
    /// Computes the loss of the discriminator. `fake` contains the scores of generated pictures, or
    /// of real pictures with the captions of other pictures.
    pub fn discriminator(self, real: &Tensor, fake: &Tensor) -> Result<Tensor> {
        match self {
            GanLoss::Bce => softplus(&real.neg()?)?.mean_all()? + softplus(fake)?.mean_all()?,
            GanLoss::Hinge => {
                let real = (1.0 - real)?.relu()?.mean_all()?;
                real + (fake + 1.0)?.relu()?.mean_all()?
            }
            GanLoss::LeastSquares => {
                let real = (real - 1.0)?.sqr()?.mean_all()?;
                (real + fake.sqr()?.mean_all()?)? * 0.5
            }
            GanLoss::Wasserstein => fake.mean_all()? - real.mean_all()?,
            GanLoss::Relativistic => softplus(&(fake - real)?)?.mean_all(),
        }
    }

    /// Computes the loss of the generator.
    pub fn generator(self, real: &Tensor, fake: &Tensor) -> Result<Tensor> {
        match self {
            GanLoss::Bce => softplus(&fake.neg()?)?.mean_all(),
            GanLoss::Hinge | GanLoss::Wasserstein => fake.neg()?.mean_all(),
            GanLoss::LeastSquares => (fake - 1.0)?.sqr()?.mean_all()? * 0.5,
            GanLoss::Relativistic => softplus(&(real - fake)?)?.mean_all(),
        }
    }
}

/// Computes ln(1 + e^x), accurately for both large and small numbers.
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    let tail = (x.abs()?.neg()?.exp()? + 1.0)?.log()?;
    x.relu()? + tail
}

/// Computes the norm of the score's gradient with respect to each picture: a tensor `[batch]`,
/// differentiable with respect to the weights.
///
/// The norm is the product of the gradient with its unit direction u. While u is held constant, the
/// product has the same derivative with respect to the weights as the norm. The difference of two
/// scores along u is therefore sufficient, and no second-order gradient is needed.
pub fn gradient_norm(x: &Tensor, score: &dyn Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    const REACH: f64 = 0.05;
    let at = Var::from_tensor(&x.detach())?;
    let gradients = score(at.as_tensor())?.sum_all()?.backward()?;
    let none = || Error::Msg("the score does not depend on the picture".into());
    let gradient = gradients.get(at.as_tensor()).ok_or_else(none)?.detach();
    let rows = gradient.flatten_from(1)?;
    let length = (rows.sqr()?.sum_keepdim(1)? + 1e-24)?.sqrt()?;
    let unit = rows.broadcast_div(&length)?.reshape(x.shape())?;
    let reach = (unit * REACH)?;
    let x = x.detach();
    (score(&(&x + &reach)?)? - score(&(&x - &reach)?)?)? / (2.0 * REACH)
}

/// Computes the zero-centred gradient penalty (Mescheder et al. 2018): the mean of half the squared
/// gradient norm. The penalty is called R1 for real pictures and R2 for generated pictures.
pub fn zero_centred_penalty(norm: &Tensor) -> Result<Tensor> {
    norm.sqr()?.mean_all()? * 0.5
}

/// Computes the one-centred gradient penalty of the Wasserstein loss (Gulrajani et al. 2017) for
/// interpolations between real and generated pictures.
pub fn one_centred_penalty(norm: &Tensor) -> Result<Tensor> {
    (norm - 1.0)?.sqr()?.mean_all()
}

/// Computes the reconstruction loss: the L1 distance at four resolutions, plus the L1 distance
/// between the differences of neighbouring pixels.
pub fn reconstruction_loss(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let difference = (x - y)?;
    let mut total = (edge_loss(&difference, 2)? + edge_loss(&difference, 3)?)?;
    let mut difference = difference;
    for size in 0..4 {
        if size > 0 {
            difference = difference.avg_pool2d(2)?;
        }
        total = (total + difference.abs()?.mean_all()?)?;
    }
    Ok(total)
}

fn edge_loss(difference: &Tensor, dim: usize) -> Result<Tensor> {
    let length = difference.dim(dim)? - 1;
    let step = (difference.narrow(dim, 1, length)? - difference.narrow(dim, 0, length)?)?;
    step.abs()?.mean_all()
}

/// Computes the L1 distance between the discriminator's features of real pictures and of generated
/// pictures, summed over the stages of the discriminator.
pub fn feature_matching_loss(real: &[Tensor], generated: &[Tensor]) -> Result<Tensor> {
    let mut total: Option<Tensor> = None;
    for (real, generated) in real.iter().zip(generated) {
        let stage = (real.detach() - generated)?.abs()?.mean_all()?;
        total = Some(match total {
            None => stage,
            Some(total) => (total + stage)?,
        });
    }
    total.ok_or_else(|| Error::Msg("the discriminator has no features".into()))
}

/// Computes the Kullback-Leibler divergence of normal distributions from the standard normal
/// distribution, summed over the dimensions and averaged over the batch. `mean` and `log_variance`
/// are `[batch, width]`.
pub fn kl_divergence(mean: &Tensor, log_variance: &Tensor) -> Result<Tensor> {
    let each = (((mean.sqr()? + log_variance.exp()?)? - 1.0)? - log_variance)?;
    each.sum(1)?.mean_all()? * 0.5
}

/// Returns the mean of a loss over pairs of real and fake scores. Each element of `real` forms a
/// pair with the element of `fake` at the same index.
pub fn mean_over_pairs(
    real: &[Tensor],
    fake: &[Tensor],
    loss: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let losses = real
        .iter()
        .zip(fake)
        .map(|(real, fake)| loss(real, fake))
        .collect::<Result<Vec<Tensor>>>()?;
    Tensor::stack(&losses, 0)?.mean_all()
}

/// Returns the value of a scalar tensor.
pub fn scalar(tensor: &Tensor) -> Result<f64> {
    Ok(f64::from(tensor.to_scalar::<f32>()?))
}

#[cfg(test)]
#[path = "losses_tests.rs"]
mod tests;

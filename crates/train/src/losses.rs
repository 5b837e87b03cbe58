//! What training makes small.
//!
//! Scores are `[batch]`, high for what the discriminator takes for a real drawing of what was
//! wished. Each adversarial loss has a part for the discriminator and one for the generator.

use candle_core::{Error, Result, Tensor, Var};

/// A way to set generator and discriminator against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GanLoss {
    /// Cross-entropy; the generator's part does not saturate (Goodfellow et al. 2014).
    Bce,
    /// Lim and Ye 2017.
    Hinge,
    /// Least squares (Mao et al. 2017).
    LeastSquares,
    /// Arjovsky et al. 2017; wants a gradient penalty.
    Wasserstein,
    /// Pairs of real and drawn (Jolicoeur-Martineau 2019); wants R1 and R2.
    Relativistic,
}

/// The losses by the names that the command line knows them by.
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
    /// The discriminator's part. `false_` are scores of drawn pictures, or of real ones beside
    /// words that are not theirs.
    pub fn discriminator(self, real: &Tensor, false_: &Tensor) -> Result<Tensor> {
        match self {
            GanLoss::Bce => softplus(&real.neg()?)?.mean_all()? + softplus(false_)?.mean_all()?,
            GanLoss::Hinge => {
                let real = (1.0 - real)?.relu()?.mean_all()?;
                real + (false_ + 1.0)?.relu()?.mean_all()?
            }
            GanLoss::LeastSquares => {
                let real = (real - 1.0)?.sqr()?.mean_all()?;
                (real + false_.sqr()?.mean_all()?)? * 0.5
            }
            GanLoss::Wasserstein => false_.mean_all()? - real.mean_all()?,
            GanLoss::Relativistic => softplus(&(false_ - real)?)?.mean_all(),
        }
    }

    /// The generator's part.
    pub fn generator(self, real: &Tensor, false_: &Tensor) -> Result<Tensor> {
        match self {
            GanLoss::Bce => softplus(&false_.neg()?)?.mean_all(),
            GanLoss::Hinge | GanLoss::Wasserstein => false_.neg()?.mean_all(),
            GanLoss::LeastSquares => (false_ - 1.0)?.sqr()?.mean_all()? * 0.5,
            GanLoss::Relativistic => softplus(&(real - false_)?)?.mean_all(),
        }
    }
}

/// ln(1 + e^x), exact for large and for small numbers.
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    let tail = (x.abs()?.neg()?.exp()? + 1.0)?.log()?;
    x.relu()? + tail
}

/// The slope of each picture's score along its own gradient: the gradient's length, `[batch]`, as
/// something that has a gradient itself.
///
/// For fixed weights the gradient's length is its product with its own direction u. With u held
/// fixed, the derivative of that product by the weights is the derivative of the length, so a
/// difference of two scores along u serves, and no gradient of a gradient is needed.
pub fn slope(x: &Tensor, score: &dyn Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
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

/// R1 on real pictures, R2 on drawn ones (Mescheder et al. 2018): the mean of half the squared
/// slope.
pub fn zero_centred(slope: &Tensor) -> Result<Tensor> {
    slope.sqr()?.mean_all()? * 0.5
}

/// Wasserstein's penalty (Gulrajani et al. 2017), for pictures between real and drawn ones.
pub fn one_centred(slope: &Tensor) -> Result<Tensor> {
    (slope - 1.0)?.sqr()?.mean_all()
}

/// L1 at four sizes, and of the differences between neighbours: edges.
pub fn reconstruction(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let difference = (x - y)?;
    let mut total = (edges(&difference, 2)? + edges(&difference, 3)?)?;
    let mut difference = difference;
    for size in 0..4 {
        if size > 0 {
            difference = difference.avg_pool2d(2)?;
        }
        total = (total + difference.abs()?.mean_all()?)?;
    }
    Ok(total)
}

fn edges(difference: &Tensor, dim: usize) -> Result<Tensor> {
    let length = difference.dim(dim)? - 1;
    let step = (difference.narrow(dim, 1, length)? - difference.narrow(dim, 0, length)?)?;
    step.abs()?.mean_all()
}

/// L1 between what the discriminator saw in real and in drawn pictures, over all its stages.
pub fn matching(real: &[Tensor], drawn: &[Tensor]) -> Result<Tensor> {
    let mut total: Option<Tensor> = None;
    for (real, drawn) in real.iter().zip(drawn) {
        let stage = (real.detach() - drawn)?.abs()?.mean_all()?;
        total = Some(match total {
            None => stage,
            Some(total) => (total + stage)?,
        });
    }
    total.ok_or_else(|| Error::Msg("the discriminator saw nothing".into()))
}

/// Kullback and Leibler's distance of normal distributions from the standard one, summed over the
/// dimensions, the mean over the batch: `mean` and `log_variance` `[batch, width]`.
pub fn divergence(mean: &Tensor, log_variance: &Tensor) -> Result<Tensor> {
    let each = (((mean.sqr()? + log_variance.exp()?)? - 1.0)? - log_variance)?;
    each.sum(1)?.mean_all()? * 0.5
}

#[cfg(test)]
#[path = "losses_tests.rs"]
mod tests;

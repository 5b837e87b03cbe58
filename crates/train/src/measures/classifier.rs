//! Classifies pictures by a ridge regression on their features. The regression is fitted only to
//! real pictures.

use super::Features;
use super::Result;
use super::distance::cholesky;
use candle_core::{Device, Tensor};

/// A fitted regression. It predicts (features - mean of the features) · matrix + mean of the
/// targets.
pub struct Classifier {
    features: Vec<f64>,
    targets: Vec<f64>,
    /// The weights of the regression: `[features, targets]`.
    matrix: Tensor,
}

impl Classifier {
    /// Fits a ridge regression: solves (XᵀX + strength · I) W = XᵀY, where X and Y are the centred
    /// features and targets.
    pub fn fit(features: &Features, targets: &Features, strength: f64) -> Result<Classifier> {
        let width = features.width;
        let x = features.centred()?;
        let across = x.t()?.contiguous()?;
        let mut square = across.matmul(&x)?.flatten_all()?.to_vec1::<f64>()?;
        square
            .iter_mut()
            .step_by(width + 1)
            .for_each(|x| *x += strength);
        let sides = across.matmul(&targets.centred()?)?;
        let mut solved = sides.flatten_all()?.to_vec1::<f64>()?;
        solve(&cholesky(square, width), &mut solved, width, targets.width);
        Ok(Classifier {
            features: features.mean(),
            targets: targets.mean(),
            matrix: Tensor::from_vec(solved, (width, targets.width), &Device::Cpu)?,
        })
    }

    /// Returns the predicted targets: `[rows, targets]`.
    pub fn apply(&self, features: &Features) -> Result<Features> {
        let less = features.values.chunks_exact(features.width);
        let less = less.flat_map(|row| row.iter().zip(&self.features).map(|(x, mean)| x - mean));
        let shape = (features.len(), features.width);
        let x = Tensor::from_vec(less.collect::<Vec<f64>>(), shape, &Device::Cpu)?;
        let mut values = x.matmul(&self.matrix)?.flatten_all()?.to_vec1::<f64>()?;
        let width = self.targets.len();
        for row in values.chunks_exact_mut(width) {
            row.iter_mut()
                .zip(&self.targets)
                .for_each(|(x, mean)| *x += mean);
        }
        Ok(Features { width, values })
    }
}

/// Solves L Lᵀ X = B in place, by forward and then backward substitution.
fn solve(lower: &[f64], sides: &mut [f64], size: usize, columns: usize) {
    for row in 0..size {
        let (before, own) = sides.split_at_mut(row * columns);
        let own = &mut own[..columns];
        for (at, known) in before.chunks_exact(columns).enumerate() {
            let factor = lower[row * size + at];
            own.iter_mut()
                .zip(known)
                .for_each(|(x, known)| *x -= factor * known);
        }
        own.iter_mut().for_each(|x| *x /= lower[row * size + row]);
    }
    for row in (0..size).rev() {
        let (own, after) = sides[row * columns..].split_at_mut(columns);
        for (at, known) in after.chunks_exact(columns).enumerate() {
            let factor = lower[(row + 1 + at) * size + row];
            own.iter_mut()
                .zip(known)
                .for_each(|(x, known)| *x -= factor * known);
        }
        own.iter_mut().for_each(|x| *x /= lower[row * size + row]);
    }
}

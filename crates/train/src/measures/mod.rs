//! Metrics of generated pictures: formulas on features from any network.
//!
//! Each metric is tested against the results of torch-fidelity or scikit-learn on the same
//! features. No metric is called FID or KID, since these names imply the features of Inception.

mod classifier;
mod distance;
mod eigen;
mod neighbours;

pub use classifier::Classifier;
pub use distance::{entropy_score, frechet_distance, kernel_distance};
pub use neighbours::{diversity, nearest_neighbours, share_within};

use crate::TrainError;
use candle_core::{Device, Tensor};

type Result<T> = std::result::Result<T, TrainError>;

/// The features of pictures: `[rows, width]`, with one row per picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    pub width: usize,
    pub values: Vec<f64>,
}

impl Features {
    pub fn new(width: usize, values: &[f32]) -> Features {
        let values = values.iter().map(|x| f64::from(*x)).collect();
        Features { width, values }
    }

    pub fn len(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub fn row(&self, at: usize) -> &[f64] {
        &self.values[at * self.width..][..self.width]
    }

    /// Returns the rows at the indices `rows`, in the order of the indices.
    pub fn pick(&self, rows: &[usize]) -> Features {
        let values = rows.iter().flat_map(|at| self.row(*at).iter().copied());
        Features {
            width: self.width,
            values: values.collect(),
        }
    }

    fn mean(&self) -> Vec<f64> {
        let mut mean = vec![0f64; self.width];
        for row in self.values.chunks_exact(self.width) {
            mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        let count = self.len() as f64;
        mean.iter_mut().for_each(|sum| *sum /= count);
        mean
    }

    /// Returns the rows minus their mean, as a tensor.
    fn centred(&self) -> Result<Tensor> {
        let mean = self.mean();
        let values = self.values.chunks_exact(self.width);
        let values = values.flat_map(|row| row.iter().zip(&mean).map(|(x, mean)| x - mean));
        let shape = (self.len(), self.width);
        Ok(Tensor::from_vec(
            values.collect::<Vec<f64>>(),
            shape,
            &Device::Cpu,
        )?)
    }

    fn tensor(&self) -> Result<Tensor> {
        let shape = (self.len(), self.width);
        Ok(Tensor::from_slice(&self.values, shape, &Device::Cpu)?)
    }

    /// Computes the squared distance of each row of `self` from each row of `other`: `[self,
    /// other]`.
    fn distances(&self, other: &Features) -> Result<Vec<f64>> {
        let squares = |rows: &Features| -> Vec<f64> {
            let rows = rows.values.chunks_exact(rows.width);
            rows.map(|row| row.iter().map(|x| x * x).sum()).collect()
        };
        let (ours, theirs) = (squares(self), squares(other));
        let products = self.tensor()?.matmul(&other.tensor()?.t()?)?;
        let mut all = products.flatten_all()?.to_vec1::<f64>()?;
        for (row, ours) in all.chunks_exact_mut(theirs.len()).zip(ours) {
            for (x, theirs) in row.iter_mut().zip(&theirs) {
                *x = (ours + theirs - 2.0 * *x).max(0.0);
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests;

//! RMSNorm with its weight.

use super::matrix::{Buffer, Matrix, Vector};
use candle_core::{Result as Computed, Tensor};
use kernels::linear::Pool;
use kernels::math;
use std::sync::Arc;

/// RMSNorm (Zhang & Sennrich 2019) with its weight `[dim]`.
pub struct Norm {
    pub weight: Vector,
    pub eps: f32,
    pool: Arc<Pool>,
}

impl Norm {
    pub fn new(weight: Vector, eps: f32, pool: Arc<Pool>) -> Norm {
        Norm { weight, eps, pool }
    }

    pub fn forward(&self, x: Matrix) -> Computed<Matrix> {
        match x {
            Matrix::Host(x) => {
                let mut out = Buffer::rows(x.tokens(), x.width());
                let rows = out.chunks_mut(x.width()).zip(x.chunks(x.width()));
                self.pool.each(rows.collect(), |(out, x)| self.row(x, out));
                Ok(Matrix::Host(out))
            }
            Matrix::Device(x) => Ok(Matrix::Device(self.tensor(&x)?)),
        }
    }

    /// On a CPU, normalizes the row `x` and writes the result to `out`.
    pub fn row(&self, x: &[f32], out: &mut [f32]) {
        math::rms_norm(self.pool.family(), x, &self.weight.values, self.eps, out);
    }

    pub fn tensor(&self, x: &Tensor) -> Computed<Tensor> {
        candle_nn::ops::rms_norm(&x.contiguous()?, &self.weight.tensor, self.eps)
    }
}

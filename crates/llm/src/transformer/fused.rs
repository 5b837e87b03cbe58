//! The first two products of a gated feed-forward network, fused on a CPU
//! ([`kernels::linear::fused_pair`]).

use super::config::Activation;
use super::linear::{Input, Linear};
use super::matrix::{Buffer, Matrix};
use super::norm::Norm;
use candle_core::Result as Computed;
use kernels::linear::{self, FusedPair, Packed, Write};
use kernels::math;

impl Linear {
    /// `activation(gate * input) * (up * input)` for `down` to multiply, computed and quantized in
    /// one pass; None if the kernels cannot do that.
    pub fn fused<'a>(
        gate: &'a Linear,
        up: &'a Linear,
        down: &'a Linear,
        activation: Activation,
        input: Input,
    ) -> Option<Computed<FusedPair<'a>>> {
        let Linear::Packed(gate, pool) = gate else {
            return None;
        };
        let (halves, down) = ([gate, up.packed()?], down.packed()?);
        if !linear::can_fuse(halves, down) {
            return None;
        }
        let join = |gate: &[f32], up: &[f32], out: &mut [f32]| {
            math::gated(pool.family(), activation, gate, up, out);
        };
        let fused = input.with_source(pool, |tokens, source| {
            linear::fused_pair(pool, halves, &join, source, tokens)
        });
        Some(fused?.map_err(candle_core::Error::wrap))
    }

    /// `x + after(product)`, for a fused pair.
    pub fn add_fused_to(
        &self,
        fused: FusedPair,
        after: Option<&Norm>,
        x: Matrix,
    ) -> Computed<Matrix> {
        match (after, x) {
            (None, Matrix::Host(mut x)) => {
                self.times_fused(fused, &mut x, Write::Add)?;
                Ok(Matrix::Host(x))
            }
            (after, x) => {
                let product = self.fused_product(fused)?;
                x.plus(match after {
                    Some(after) => after.forward(product)?,
                    None => product,
                })
            }
        }
    }

    /// The product of a fused pair with this matrix.
    pub fn fused_product(&self, fused: FusedPair) -> Computed<Matrix> {
        let width = self.packed().map_or(0, Packed::rows);
        let mut product = Buffer::rows(fused.rows(), width);
        self.times_fused(fused, &mut product, Write::Set)?;
        Ok(Matrix::Host(product))
    }

    fn times_fused(&self, fused: FusedPair, out: &mut [f32], write: Write) -> Computed<()> {
        let Some(packed) = self.packed() else {
            candle_core::bail!("a matrix of another kind")
        };
        let done = fused.times(packed, out, write);
        done.map_err(candle_core::Error::wrap)
    }
}

//! The products of a gated network, joined on a CPU where they are made
//! ([`kernels::linear::joined`]).

use super::config::Activation;
use super::matrix::{Buffer, Matrix};
use super::norm::Norm;
use super::weights::{Input, Linear};
use candle_core::Result as Computed;
use kernels::linear::{self, Joined, Packed, Write};
use kernels::math;

impl Linear {
    /// `activation(gate * input) * (up * input)` for `down` to multiply, made and quantized in one
    /// go; None where the kernels cannot.
    pub fn joined<'a>(
        [gate, up, down]: [&'a Linear; 3],
        activation: Activation,
        input: Input,
    ) -> Option<Computed<Joined<'a>>> {
        let Linear::Packed(gate, pool) = gate else {
            return None;
        };
        let (halves, down) = ([gate, up.packed()?], down.packed()?);
        if !linear::can_join(halves, down) {
            return None;
        }
        let join = |gate: &[f32], up: &[f32], out: &mut [f32]| {
            math::gated(pool.family(), activation, gate, up, out);
        };
        let joined = input.with_source(pool, |tokens, source| {
            linear::joined(pool, halves, &join, source, tokens)
        });
        Some(joined?.map_err(candle_core::Error::wrap))
    }

    /// `x + after(product)`, for what was joined.
    pub fn onto_joined(&self, joined: Joined, after: Option<&Norm>, x: Matrix) -> Computed<Matrix> {
        match (after, x) {
            (None, Matrix::Host(mut x)) => {
                self.times_joined(joined, &mut x, Write::Add)?;
                Ok(Matrix::Host(x))
            }
            (after, x) => {
                let product = self.joined_product(joined)?;
                x.plus(match after {
                    Some(after) => after.forward(product)?,
                    None => product,
                })
            }
        }
    }

    /// The product of what was joined.
    pub fn joined_product(&self, joined: Joined) -> Computed<Matrix> {
        let width = self.packed().map_or(0, Packed::rows);
        let mut product = Buffer::rows(joined.rows(), width);
        self.times_joined(joined, &mut product, Write::Set)?;
        Ok(Matrix::Host(product))
    }

    fn times_joined(&self, joined: Joined, out: &mut [f32], write: Write) -> Computed<()> {
        let Some(packed) = self.packed() else {
            candle_core::bail!("a matrix of another kind")
        };
        let done = joined.times(packed, out, write);
        done.map_err(candle_core::Error::wrap)
    }
}

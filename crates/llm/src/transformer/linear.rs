//! Multiplies rows by weight matrices, for all layers. On a CPU, this module uses packed matrices
//! and illumine's kernels ([`kernels::linear`]). On other devices, and for formats that the kernels
//! do not support, it uses candle's quantized matrices.

use super::config::Activation;
use super::matrix::{Buffer, Matrix, on_host as rows_on_host};
use super::norm::Norm;
use candle_core::quantized::QMatMul;
use candle_core::{Module, Result as Computed, Tensor};
use kernels::linear::{self, FusedPair, Packed, Pool, Source, Write};
use kernels::math;
use std::sync::Arc;

/// A weight matrix `[out, in]`, which maps rows `[tokens, in]` to rows `[tokens, out]`.
pub enum Linear {
    Packed(Packed, Arc<Pool>),
    /// A matrix held by the candle library. If `on_host` is true, products are copied to plain
    /// memory, where the layers' rows are kept.
    Candle {
        weight: QMatMul,
        on_host: bool,
    },
}

/// The rows that a matrix multiplies. On a CPU, rows that must be computed are computed a few at a
/// time, just before the multiplication.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    Plain(&'a Matrix),
    Normed(&'a Matrix, &'a Norm),
    /// The rows `activation(gate) * up`; the fields are `activation`, `gate` and `up`.
    Gated(Activation, &'a Matrix, &'a Matrix),
}

impl Input<'_> {
    /// Calls `work` with the number of rows and their source, which is memory or a function that
    /// computes the rows. Returns None if the rows are not on a CPU.
    pub(super) fn with_source<T>(
        self,
        pool: &Pool,
        work: impl FnOnce(usize, Source) -> T,
    ) -> Option<T> {
        Some(match self {
            Input::Plain(Matrix::Host(x)) => work(x.tokens(), Source::Rows(x)),
            Input::Normed(Matrix::Host(x), norm) => {
                let make = |row: usize, out: &mut [f32]| norm.row(x.row(row), out);
                work(x.tokens(), Source::Computed(&make))
            }
            Input::Gated(activation, Matrix::Host(gate), Matrix::Host(up)) => {
                let make = |row: usize, out: &mut [f32]| {
                    math::gated(pool.family(), activation, gate.row(row), up.row(row), out);
                };
                work(gate.tokens(), Source::Computed(&make))
            }
            _ => return None,
        })
    }

    fn tensor(self) -> Computed<Tensor> {
        match self {
            Input::Plain(x) => x.tensor(),
            Input::Normed(x, norm) => norm.tensor(&x.tensor()?),
            Input::Gated(activation, gate, up) => {
                let gate = gate.tensor()?;
                let gate = match activation {
                    Activation::Silu => gate.silu()?,
                    Activation::Gelu => gate.gelu()?,
                };
                gate * up.tensor()?
            }
        }
    }
}

impl Linear {
    /// Multiplies the same rows by several matrices. On a CPU, the rows are quantized only once.
    pub fn forward_many<const N: usize>(
        weights: [&Linear; N],
        input: Input,
    ) -> Computed<[Matrix; N]> {
        let packed: Option<Vec<&Packed>> = weights.iter().map(|weight| weight.packed()).collect();
        if let (Some(packed), Some(Linear::Packed(_, pool))) = (packed, weights.first())
            && let Some(products) = input.with_source(pool, |tokens, source| {
                let buffer = |n: usize| Buffer::rows(tokens, packed[n].rows());
                let mut products: [Buffer; N] = std::array::from_fn(buffer);
                let mut outs: [&mut [f32]; N] = products.each_mut().map(|product| &mut product[..]);
                let done = linear::matmul(pool, &packed, source, tokens, &mut outs, Write::Set);
                done.map(|()| products.map(Matrix::Host))
            })
        {
            return products.map_err(candle_core::Error::wrap);
        }
        let x = input.tensor()?.contiguous()?;
        let mut products = Vec::with_capacity(N);
        for weight in weights {
            products.push(weight.times(&x)?);
        }
        products
            .try_into()
            .map_err(|_| candle_core::Error::Msg("a product is missing".to_string()))
    }

    /// Returns `x + after(product)`, where `product` is this matrix times `input`.
    pub fn add_to(&self, input: Input, after: Option<&Norm>, mut x: Matrix) -> Computed<Matrix> {
        if let (Linear::Packed(weight, pool), None, Matrix::Host(x)) = (self, after, &mut x)
            && let Some(done) = input.with_source(pool, |tokens, source| {
                linear::matmul(pool, &[weight], source, tokens, &mut [x], Write::Add)
            })
        {
            done.map_err(candle_core::Error::wrap)?;
        } else {
            let [product] = Linear::forward_many([self], input)?;
            x = x.plus(match after {
                Some(after) => after.forward(product)?,
                None => product,
            })?;
        }
        Ok(x)
    }

    pub(super) fn packed(&self) -> Option<&Packed> {
        match self {
            Linear::Packed(packed, _) => Some(packed),
            Linear::Candle { .. } => None,
        }
    }

    /// Multiplies the rows of a tensor by this matrix.
    fn times(&self, x: &Tensor) -> Computed<Matrix> {
        match self {
            Linear::Candle { weight, on_host } => {
                let product = weight.forward(x)?;
                match on_host {
                    true => rows_on_host(&product),
                    false => Ok(Matrix::Device(product)),
                }
            }
            Linear::Packed(..) => {
                let [product] = Linear::forward_many([self], Input::Plain(&rows_on_host(x)?))?;
                Ok(product)
            }
        }
    }
}

/// The first two products of a gated feed-forward network, fused on a CPU ([`linear::fused_pair`]).
impl Linear {
    /// Computes `activation(gate * input) * (up * input)` as the input of `down`, and quantizes it
    /// in the same pass. Returns None if the kernels cannot do this for these matrices.
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

    /// Returns `x + after(product)`, where `product` is this matrix times the fused pair `fused`.
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

    /// Multiplies a fused pair by this matrix.
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

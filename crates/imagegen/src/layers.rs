//! Norms and Transformer blocks.
//!
//! On tensors that track gradients, the layers use only operations for which candle has gradients.
//! On other tensors, they use fused operations.

use super::fused::{self, Matrices, Norm};
use super::weights::{Linear, Weights, normal};
use crate::autograd::{attend, modulated_norm, squared_relu};
use candle_core::{D, Error, Result, Tensor};
use candle_nn::{Init, ops};
use kernels::linear::Pool;

/// Normalizes the last dimension to mean zero and standard deviation one.
pub fn layer_norm(x: &Tensor) -> Result<Tensor> {
    const EPSILON: f64 = 1e-5;
    if !x.track_op() {
        let width = x.dim(D::Minus1)?;
        let one = Tensor::ones(width, x.dtype(), x.device())?;
        return ops::layer_norm(&x.contiguous()?, &one, &one.zeros_like()?, EPSILON as f32);
    }
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred.broadcast_div(&(variance + EPSILON)?.sqrt()?)
}

fn softmax(x: &Tensor) -> Result<Tensor> {
    match x.track_op() {
        true => ops::softmax(x, D::Minus1),
        false => ops::softmax_last_dim(x),
    }
}

pub fn leaky_relu(x: &Tensor) -> Result<Tensor> {
    ops::leaky_relu(x, 0.2)
}

/// A pre-norm Transformer block. The scale and shift of its norms are either computed from the
/// condition (AdaLN, Peebles and Xie 2022) or are parameters of the block.
pub struct Block {
    heads: usize,
    qkv: Linear,
    out: Linear,
    up: Linear,
    down: Linear,
    norms: Norms,
}

enum Norms {
    /// The layer computes scale and shift from the condition.
    Conditioned(Linear),
    /// Scale and shift are parameters of the block, `[2, width]` each.
    Own { scale: Tensor, shift: Tensor },
}

/// The scale and shift of a block's two norms, each `[batch or 1, 1, width]`.
pub struct Modulation([Tensor; 4]);

const MLP_RATIO: usize = 3;

impl Block {
    /// Creates a block. `condition` is the width of the condition vector; if it is None, the scale
    /// and shift of the norms are parameters of the block.
    pub fn new(
        weights: &Weights,
        width: usize,
        heads: usize,
        condition: Option<usize>,
    ) -> Result<Block> {
        let norms = match condition {
            Some(condition) => {
                let weights = weights.pp("modulation");
                let (weight, bias) = (normal(0.02), Init::Const(0.0));
                Norms::Conditioned(Linear::with_init(
                    &weights,
                    condition,
                    4 * width,
                    weight,
                    bias,
                )?)
            }
            None => Norms::Own {
                scale: weights.get(&[2, width], "scale", Init::Const(0.0))?,
                shift: weights.get(&[2, width], "shift", Init::Const(0.0))?,
            },
        };
        Ok(Block {
            heads,
            qkv: Linear::new(&weights.pp("qkv"), width, 3 * width)?,
            out: Linear::half_scale(&weights.pp("out"), width, width)?,
            up: Linear::new(&weights.pp("up"), width, MLP_RATIO * width)?,
            down: Linear::half_scale(&weights.pp("down"), MLP_RATIO * width, width)?,
            norms,
        })
    }

    /// Returns the scale and the shift of the two norms for a condition `[batch, condition]`. They
    /// are the same for all tokens.
    pub fn modulation(&self, condition: Option<&Tensor>) -> Result<Modulation> {
        let four = match (&self.norms, condition) {
            (Norms::Conditioned(linear), Some(condition)) => linear
                .forward(condition)?
                .unsqueeze(1)?
                .chunk(4, D::Minus1)?,
            (Norms::Own { scale, shift }, _) => {
                let row = |t: &Tensor, at: usize| t.narrow(0, at, 1)?.unsqueeze(0);
                vec![
                    row(scale, 0)?,
                    row(shift, 0)?,
                    row(scale, 1)?,
                    row(shift, 1)?,
                ]
            }
            (Norms::Conditioned(_), None) => return Err(Error::Msg("no condition".into())),
        };
        let four = <[Tensor; 4]>::try_from(four);
        Ok(Modulation(
            four.map_err(|_| Error::Msg("expected four parts".into()))?,
        ))
    }

    /// Applies the block to `x` `[batch, tokens, width]`. The result has the same shape. `drop` is
    /// applied to both residual branches.
    pub fn forward(&self, x: &Tensor, by: &Modulation, drop: &Dropout) -> Result<Tensor> {
        let [scale1, shift1, scale2, shift2] = &by.0;
        if let Some(pool) = self.packed().filter(|_| !x.track_op()) {
            let matrices = Matrices {
                qkv: &self.qkv,
                out: &self.out,
                up: &self.up,
                down: &self.down,
            };
            let norms = [numbers(scale1, shift1)?, numbers(scale2, shift2)?];
            return fused::block(pool, &matrices, self.heads, norms, x);
        }
        if self.qkv.uses_autograd() {
            let y = attend(
                &self.qkv.forward(&modulated_norm(x, scale1, shift1)?)?,
                self.heads,
            )?;
            let x = (x + drop.apply(self.out.forward(&y)?)?)?;
            let y = self.up.forward(&modulated_norm(&x, scale2, shift2)?)?;
            return x + drop.apply(self.down.forward(&squared_relu(&y)?)?)?;
        }
        let y = modulate(&layer_norm(x)?, scale1, shift1)?;
        let y = self.out.forward(&self.attend(&y)?)?;
        let x = (x + drop.apply(y)?)?;
        let y = modulate(&layer_norm(&x)?, scale2, shift2)?;
        let y = self.down.forward(&self.up.forward(&y)?.relu()?.sqr()?)?;
        x + drop.apply(y)?
    }

    /// The thread pool, if all matrices are packed.
    fn packed(&self) -> Option<&Pool> {
        let all = [&self.qkv, &self.out, &self.up, &self.down];
        let pools = all.map(|linear| linear.pool());
        pools.iter().all(Option::is_some).then_some(pools[0]?)
    }

    fn attend(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, tokens, width) = x.dims3()?;
        let dim = width / self.heads;
        let qkv = self.qkv.forward(x)?;
        let qkv = qkv.reshape((batch, tokens, 3, self.heads, dim))?;
        let part = |at: usize| {
            qkv.narrow(2, at, 1)?
                .squeeze(2)?
                .transpose(1, 2)?
                .contiguous()
        };
        let q = (part(0)? * (dim as f64).sqrt().recip())?;
        let scores = q.matmul(&part(1)?.t()?)?;
        let mixed = softmax(&scores)?.matmul(&part(2)?)?;
        mixed.transpose(1, 2)?.reshape((batch, tokens, width))
    }
}

fn numbers(scale: &Tensor, shift: &Tensor) -> Result<Norm> {
    Ok(Norm {
        scale: scale.flatten_all()?.to_vec1()?,
        shift: shift.flatten_all()?.to_vec1()?,
    })
}

fn modulate(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    x.broadcast_mul(&(scale + 1.0)?)?.broadcast_add(shift)
}

/// The dropout to apply: random masks in training, and none when drawing.
pub enum Dropout<'a> {
    None,
    /// The function makes a mask of the given shape. A dropped element of the mask is 0; any other
    /// element is 1 / (1 - dropout rate).
    Masks(&'a dyn Fn(&[usize]) -> Result<Tensor>),
}

impl Dropout<'_> {
    pub fn apply(&self, x: Tensor) -> Result<Tensor> {
        match self {
            Dropout::None => Ok(x),
            Dropout::Masks(mask) => &x * mask(x.dims())?,
        }
    }
}

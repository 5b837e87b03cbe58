//! Computes a Transformer block on a CPU and without gradients, in a few passes over slices of
//! numbers instead of many small tensor operations.
//!
//! **Invariant:** a picture's values do not depend on the other pictures in the batch, the number
//! of threads or the CPU.

use super::attention::{Shape, attend};
use super::weights::{Activation, Linear, for_each_row};
use candle_core::{Result, Tensor};
use kernels::linear::Pool;
use kernels::math::{LANES, sum_lanes};

/// The four packed matrices of a block.
pub struct Matrices<'a> {
    pub qkv: &'a Linear,
    pub out: &'a Linear,
    pub up: &'a Linear,
    pub down: &'a Linear,
}

/// The scale and the shift of a norm, `[batch or 1, width]` each.
pub struct Norm {
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
}

/// Applies a Transformer block to `x` `[batch, tokens, width]`. The result has the same shape.
pub fn block(
    pool: &Pool,
    matrices: &Matrices,
    heads: usize,
    norms: [Norm; 2],
    x: &Tensor,
) -> Result<Tensor> {
    let (_, tokens, width) = x.dims3()?;
    let shape = Shape {
        tokens,
        width,
        heads,
    };
    let mut state = x.flatten_all()?.to_vec1::<f32>()?;
    let normed = norm(pool, shape, &norms[0], &state);
    let qkv = matrices.qkv.forward_rows(&normed, Activation::Identity)?;
    let mixed = attend(pool, shape, &qkv);
    add(
        &mut state,
        &matrices.out.forward_rows(&mixed, Activation::Identity)?,
    );
    let normed = norm(pool, shape, &norms[1], &state);
    let wide = matrices.up.forward_rows(&normed, Activation::SquaredRelu)?;
    add(
        &mut state,
        &matrices.down.forward_rows(&wide, Activation::Identity)?,
    );
    Tensor::from_vec(state, x.dims(), x.device())
}

fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// Normalizes each row to mean zero and standard deviation one, then scales and shifts it.
fn norm(pool: &Pool, shape: Shape, norm: &Norm, x: &[f32]) -> Vec<f32> {
    let Shape { tokens, width, .. } = shape;
    let mut out = x.to_vec();
    let pictures = norm.scale.len() / width;
    let row_of = best_kernel();
    for_each_row(pool, &mut out, width, |at, row| {
        let picture = if pictures == 1 { 0 } else { at / tokens };
        let scale = &norm.scale[picture * width..][..width];
        let shift = &norm.shift[picture * width..][..width];
        row_of(row, scale, shift);
    });
    out
}

type Row = fn(&mut [f32], &[f32], &[f32]);

fn best_kernel() -> Row {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the CPU supports the instructions.
            return |row, scale, shift| unsafe { norm_avx512(row, scale, shift) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the CPU supports the instructions.
            return |row, scale, shift| unsafe { norm_avx2(row, scale, shift) };
        }
    }
    norm_row
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn norm_avx512(row: &mut [f32], scale: &[f32], shift: &[f32]) {
    norm_row(row, scale, shift);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn norm_avx2(row: &mut [f32], scale: &[f32], shift: &[f32]) {
    norm_row(row, scale, shift);
}

#[inline(always)]
fn norm_row(row: &mut [f32], scale: &[f32], shift: &[f32]) {
    const EPSILON: f32 = 1e-5;
    let width = row.len() as f32;
    let mean = sum(row, |x| x) / width;
    row.iter_mut().for_each(|x| *x -= mean);
    let variance = sum(row, |x| x * x) / width;
    let inverse = (variance + EPSILON).sqrt().recip();
    for ((x, scale), shift) in row.iter_mut().zip(scale).zip(shift) {
        *x = (*x * inverse).mul_add(1.0 + scale, *shift);
    }
}

/// Sums `of(x)` over a row in parallel lanes, then sums the lanes in a fixed order, so that the
/// result is the same on every CPU.
#[inline(always)]
fn sum(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks.iter().map(|chunk| &chunk[..]).chain([rest]) {
        sums.iter_mut()
            .zip(chunk)
            .for_each(|(sum, x)| *sum += of(*x));
    }
    sum_lanes(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_picture_has_its_own_scale_and_shift() {
        let shape = Shape {
            tokens: 1,
            width: 2,
            heads: 1,
        };
        let by = Norm {
            scale: vec![0.0, 0.0, 1.0, 1.0],
            shift: vec![0.0, 0.0, 5.0, 5.0],
        };
        let out = norm(&Pool::new(1), shape, &by, &[1.0, 3.0, 10.0, 14.0]);
        for (found, wanted) in out.iter().zip([-1.0, 1.0, 3.0, 7.0]) {
            assert!((found - wanted).abs() < 1e-4, "{out:?}");
        }
    }
}

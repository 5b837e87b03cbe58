//! Layer norm with a scale and shift for each picture (AdaLN, Peebles and Xie 2022).

use super::{contiguous_f32, with};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use kernels::dispatch_simd;
use kernels::linear::KernelFamily;
use kernels::math::{LANES, sum_lanes};
use rayon::prelude::*;

const EPSILON: f32 = 1e-5;

/// Normalizes `x` `[batch, tokens, width]` along the width to mean zero and standard deviation one,
/// then multiplies by `1 + scale` and adds `shift`. Both `scale` and `shift` are `[batch or 1, 1,
/// width]`.
pub fn modulated_norm(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    let (scale, shift) = (scale.contiguous()?, shift.contiguous()?);
    x.contiguous()?.apply_op3(&scale, &shift, Norm)
}

struct Norm;

/// Returns the mean of a row and the reciprocal of the row's standard deviation.
#[inline(always)]
fn measure(row: &[f32]) -> (f32, f32) {
    let count = row.len() as f32;
    let mean = sum(row, row, |x, _| x) / count;
    let variance = sum(row, row, |x, _| (x - mean) * (x - mean)) / count;
    (mean, (variance + EPSILON).sqrt().recip())
}

#[inline(always)]
pub fn sum_of_products(x: &[f32], y: &[f32]) -> f32 {
    sum(x, y, |x, y| x * y)
}

/// Sums `of(x, y)` over all pairs of elements. The sum is fast because it uses parallel lanes, and
/// the order of summation is fixed.
#[inline(always)]
fn sum(x: &[f32], y: &[f32], of: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    let ((x, more_x), (y, more_y)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in x.iter().zip(y) {
        for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += of(*x, *y);
        }
    }
    for (sum, (x, y)) in sums.iter_mut().zip(more_x.iter().zip(more_y)) {
        *sum += of(*x, *y);
    }
    sum_lanes(sums)
}

dispatch_simd!(
    /// Normalizes, scales and shifts the rows of one picture. All the rows have the same scale and
    /// shift.
    forth, forth_rows, (x: &[f32], scale: &[f32], shift: &[f32], out: &mut [f32])
);

#[inline(always)]
fn forth_rows(x: &[f32], scale: &[f32], shift: &[f32], out: &mut [f32]) {
    let width = scale.len();
    for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
        let (mean, by) = measure(x);
        let given = scale.iter().zip(shift);
        for ((out, x), (scale, shift)) in out.iter_mut().zip(x).zip(given) {
            *out = (x - mean) * by * (1.0 + scale) + shift;
        }
    }
}

dispatch_simd!(
    /// Writes the gradients of a picture's rows to `of_x`, and adds the gradients of the scale and
    /// the shift to `sums`. `scaled_gradients` is scratch space for one row.
    back, back_rows,
    (x: &[f32], gradient: &[f32], scale: &[f32], of_x: &mut [f32], sums: [&mut [f32]; 2], scaled_gradients: &mut [f32])
);

#[inline(always)]
fn back_rows(
    x: &[f32],
    gradient: &[f32],
    scale: &[f32],
    of_x: &mut [f32],
    [of_scale, of_shift]: [&mut [f32]; 2],
    scaled_gradients: &mut [f32],
) {
    let width = scale.len();
    let rows = x.chunks_exact(width).zip(gradient.chunks_exact(width));
    for (of_x, (x, gradient)) in of_x.chunks_exact_mut(width).zip(rows) {
        let (mean, by) = measure(x);
        for ((scaled, g), scale) in scaled_gradients.iter_mut().zip(gradient).zip(scale) {
            *scaled = g * (1.0 + scale);
        }
        let level = sum(scaled_gradients, scaled_gradients, |scaled, _| scaled) / width as f32;
        let along = sum(scaled_gradients, x, |scaled, x| scaled * (x - mean) * by) / width as f32;
        for ((out, scaled), x) in of_x.iter_mut().zip(&*scaled_gradients).zip(x) {
            *out = by * (scaled - level - (x - mean) * by * along);
        }
        for ((sum, g), x) in of_scale.iter_mut().zip(gradient).zip(x) {
            *sum += g * (x - mean) * by;
        }
        of_shift
            .iter_mut()
            .zip(gradient)
            .for_each(|(sum, g)| *sum += g);
    }
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "modulated-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        scale: &CpuStorage,
        of_scale: &Layout,
        shift: &CpuStorage,
        of_shift: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, tokens, width) = layout.shape().dims3()?;
        let (x, scale) = (contiguous_f32(x, layout)?, contiguous_f32(scale, of_scale)?);
        let shift = contiguous_f32(shift, of_shift)?;
        let mut out = vec![0f32; x.len()];
        let picture = tokens * width;
        let both = out.par_chunks_mut(picture).zip(x.par_chunks(picture));
        both.enumerate().for_each(|(at, (out, x))| {
            let (scale, shift) = (own(scale, at, width), own(shift, at, width));
            forth(KernelFamily::best(), x, scale, shift, out);
        });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (batch, tokens, width) = x.dims3()?;
        let mut of_x = vec![0f32; batch * tokens * width];
        let mut of_scale = vec![0f32; batch * width];
        let mut of_shift = vec![0f32; batch * width];
        with(x, |x| {
            with(gradient, |gradient| {
                with(scale, |scale| {
                    let picture = tokens * width;
                    let given = x.par_chunks(picture).zip(gradient.par_chunks(picture));
                    let sums = of_scale.par_chunks_mut(width);
                    let sums = sums.zip(of_shift.par_chunks_mut(width));
                    let made = of_x.par_chunks_mut(picture).zip(sums);
                    made.zip(given).enumerate().for_each(
                        |(at, ((of_x, (of_scale, of_shift)), (x, gradient)))| {
                            let scale = own(scale, at, width);
                            let sums = [of_scale, of_shift];
                            let mut scaled_gradients = vec![0f32; width];
                            let best = KernelFamily::best();
                            back(best, x, gradient, scale, of_x, sums, &mut scaled_gradients);
                        },
                    );
                    Ok(())
                })
            })
        })?;
        let whole = |sums: Vec<f32>, like: &Tensor| {
            let sums = Tensor::from_vec(sums, (batch, 1, width), x.device())?;
            match like.dim(0)? == batch {
                true => Ok(sums),
                false => sums.sum_keepdim(0),
            }
        };
        let of_x = Tensor::from_vec(of_x, (batch, tokens, width), x.device())?;
        Ok((
            Some(of_x),
            Some(whole(of_scale, scale)?),
            Some(whole(of_shift, shift)?),
        ))
    }
}

/// Returns the scale or shift of picture `at`. If `given` has only one row, all pictures share that
/// row.
fn own(given: &[f32], at: usize, width: usize) -> &[f32] {
    let first = if given.len() == width { 0 } else { at * width };
    &given[first..][..width]
}

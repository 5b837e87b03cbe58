//! Squared ReLU.

use super::{contiguous_f32, with};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use kernels::dispatch_simd;
use kernels::linear::KernelFamily;
use rayon::prelude::*;

const SOME: usize = 1 << 14;

/// Computes the squared ReLU, max(x, 0)² (So et al. 2021).
pub fn squared_relu(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Squared)
}

struct Squared;

dispatch_simd!(forth, forth_row, (x: &[f32], out: &mut [f32]));
dispatch_simd!(back, back_row, (x: &[f32], gradient: &[f32], out: &mut [f32]));

#[inline(always)]
fn forth_row(x: &[f32], out: &mut [f32]) {
    for (out, x) in out.iter_mut().zip(x) {
        let above = above(*x);
        *out = above * above;
    }
}

#[inline(always)]
fn back_row(x: &[f32], gradient: &[f32], out: &mut [f32]) {
    for ((out, x), g) in out.iter_mut().zip(x).zip(gradient) {
        *out = 2.0 * above(*x) * g;
    }
}

/// The positive part of `x`, computed without `max`, so that NaN stays NaN.
#[inline(always)]
fn above(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

impl CustomOp1 for Squared {
    fn name(&self) -> &'static str {
        "squared-relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = contiguous_f32(x, layout)?;
        let mut out = vec![0f32; x.len()];
        let both = out.par_chunks_mut(SOME).zip(x.par_chunks(SOME));
        both.for_each(|(out, x)| forth(KernelFamily::best(), x, out));
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let out = with(x, |x| {
            with(gradient, |gradient| {
                let mut out = vec![0f32; x.len()];
                let both = x.par_chunks(SOME).zip(gradient.par_chunks(SOME));
                let all = out.par_chunks_mut(SOME).zip(both);
                all.for_each(|(out, (x, gradient))| back(KernelFamily::best(), x, gradient, out));
                Ok(out)
            })
        })?;
        Ok(Some(Tensor::from_vec(out, x.shape(), x.device())?))
    }
}

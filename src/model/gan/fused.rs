//! A Transformer block on a CPU without gradients: few passes over plain numbers instead of many
//! small operations.
//!
//! **Invariant:** a picture's numbers do not depend on the pictures beside it, on the number of
//! threads, or on the processor.

use super::weights::Linear;
use crate::model::linear::Pool;
use crate::model::transformer::math::softmax;
use crate::model::transformer::math::{LANES, fold};
use candle_core::{Result, Tensor};
use std::cell::RefCell;

/// The four matrices of a block, packed.
pub struct Matrices<'a> {
    pub qkv: &'a Linear,
    pub out: &'a Linear,
    pub up: &'a Linear,
    pub down: &'a Linear,
}

/// Scale and shift of a norm, `[batch or 1, width]` each.
pub struct Norm {
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
}

#[derive(Clone, Copy)]
struct Shape {
    tokens: usize,
    width: usize,
    heads: usize,
}

/// x `[batch, tokens, width]` to the same.
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
    let qkv = matrices.qkv.rows(&normed)?;
    let mixed = attend(pool, shape, &qkv);
    add(&mut state, &matrices.out.rows(&mixed)?);
    let normed = norm(pool, shape, &norms[1], &state);
    let mut wide = matrices.up.rows(&normed)?;
    each_row(pool, &mut wide, width, |_, row| {
        for x in row {
            let positive = x.max(0.0);
            *x = positive * positive;
        }
    });
    add(&mut state, &matrices.down.rows(&wide)?);
    Tensor::from_vec(state, x.dims(), x.device())
}

fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// Mean zero and deviation one, then scaled and shifted.
fn norm(pool: &Pool, shape: Shape, norm: &Norm, x: &[f32]) -> Vec<f32> {
    const EPSILON: f32 = 1e-5;
    let Shape { tokens, width, .. } = shape;
    let mut out = x.to_vec();
    let pictures = norm.scale.len() / width;
    each_row(pool, &mut out, width, |at, row| {
        let picture = if pictures == 1 { 0 } else { at / tokens };
        let scale = &norm.scale[picture * width..][..width];
        let shift = &norm.shift[picture * width..][..width];
        let mean = row.iter().sum::<f32>() / width as f32;
        row.iter_mut().for_each(|x| *x -= mean);
        let variance = row.iter().map(|x| x * x).sum::<f32>() / width as f32;
        let inverse = (variance + EPSILON).sqrt().recip();
        for ((x, scale), shift) in row.iter_mut().zip(scale).zip(shift) {
            *x = *x * inverse * (1.0 + scale) + shift;
        }
    });
    out
}

/// Rows of `width` numbers, some to each thread.
fn each_row(pool: &Pool, x: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = x.len() / width;
    let share = rows.div_ceil(4 * pool.threads()).max(1);
    let parts: Vec<_> = x.chunks_mut(share * width).enumerate().collect();
    pool.each(parts, |(part, rows)| {
        for (at, row) in rows.chunks_exact_mut(width).enumerate() {
            work(part * share + at, row);
        }
    });
}

/// Every token sees every other of its picture. `qkv` `[batch * tokens, 3 width]`.
fn attend(pool: &Pool, shape: Shape, qkv: &[f32]) -> Vec<f32> {
    let mut out = vec![0f32; qkv.len() / 3];
    let row = best();
    each_row(pool, &mut out, shape.width, |at, out| {
        SCORES.with_borrow_mut(|scores| row(shape, qkv, at, out, scores));
    });
    out
}

thread_local! {
    /// A row's scores, kept to spare allocations.
    static SCORES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

type Row = fn(Shape, &[f32], usize, &mut [f32], &mut Vec<f32>);

fn best() -> Row {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has the instructions.
            return |s, qkv, at, out, scores| unsafe { row_avx512(s, qkv, at, out, scores) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has the instructions.
            return |s, qkv, at, out, scores| unsafe { row_avx2(s, qkv, at, out, scores) };
        }
    }
    row
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn row_avx512(shape: Shape, qkv: &[f32], at: usize, out: &mut [f32], scores: &mut Vec<f32>) {
    row(shape, qkv, at, out, scores);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn row_avx2(shape: Shape, qkv: &[f32], at: usize, out: &mut [f32], scores: &mut Vec<f32>) {
    row(shape, qkv, at, out, scores);
}

/// One token's all heads: scores, softmax, the weighted sum of values.
#[inline(always)]
fn row(shape: Shape, qkv: &[f32], at: usize, out: &mut [f32], scores: &mut Vec<f32>) {
    let Shape {
        tokens,
        width,
        heads,
    } = shape;
    let dim = width / heads;
    let scale = (dim as f32).sqrt().recip();
    let first = at / tokens * tokens;
    for (head, out) in out.chunks_exact_mut(dim).enumerate() {
        let q = &qkv[at * 3 * width + head * dim..][..dim];
        scores.clear();
        for other in first..first + tokens {
            let k = &qkv[other * 3 * width + width + head * dim..][..dim];
            scores.push(dot(q, k) * scale);
        }
        let sum = softmax(scores);
        out.fill(0.0);
        for (weight, other) in scores.iter().zip(first..) {
            let v = &qkv[other * 3 * width + 2 * width + head * dim..][..dim];
            for (out, v) in out.iter_mut().zip(v) {
                *out = v.mul_add(*weight, *out);
            }
        }
        let inverse = sum.recip();
        out.iter_mut().for_each(|x| *x *= inverse);
    }
}

/// Added up in lanes, and those in halves, so that the order is the same everywhere.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    let (a, rest_a) = a.as_chunks::<LANES>();
    let (b, rest_b) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] = a[lane].mul_add(b[lane], sums[lane]);
        }
    }
    for (lane, (a, b)) in rest_a.iter().zip(rest_b).enumerate() {
        sums[lane] = a.mul_add(*b, sums[lane]);
    }
    fold(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attention_is_the_mean_of_values_weighed_by_likeness() {
        // One picture of two tokens, one head of width 16: the keys are ln 3 apart in score.
        let mut qkv = vec![0f32; 2 * 48];
        let scale = 16f32.sqrt();
        (qkv[0], qkv[16], qkv[32]) = (scale, 3f32.ln(), 8.0);
        qkv[48 + 33] = 4.0;
        let shape = Shape {
            tokens: 2,
            width: 16,
            heads: 1,
        };
        let out = attend(&Pool::new(1), shape, &qkv);
        // The first token weighs itself 3/4 and the other 1/4; the second, whose query is zero,
        // both alike.
        for (found, wanted) in [(out[0], 6.0), (out[1], 1.0), (out[16], 4.0), (out[17], 2.0)] {
            assert!((found - wanted).abs() < 1e-5, "{found} for {wanted}");
        }
    }

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

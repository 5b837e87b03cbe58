//! Attention among the tokens of a picture, on a CPU and without gradients.
//!
//! Eight queries are multiplied by sixteen keys at a time, so that each loaded number is used in
//! several products. **Invariant:** the order of summation depends neither on the CPU, nor on the
//! number of threads, nor on the other pictures in the batch.

use kernels::linear::Pool;
use kernels::math::{LANES, softmax};
use std::cell::RefCell;

/// The shape of one picture within a batch.
#[derive(Clone, Copy)]
pub struct Shape {
    /// The number of tokens per picture.
    pub tokens: usize,
    pub width: usize,
    pub heads: usize,
}

/// The number of queries that are computed at a time.
const QUERIES: usize = 8;

/// Sixteen sums for each of [`QUERIES`] queries.
type Sums = [[f32; LANES]; QUERIES];

/// Computes attention among all tokens of each picture. Maps `qkv` `[batch * tokens, 3 width]` to
/// `[batch * tokens, width]`.
pub fn attend(pool: &Pool, shape: Shape, qkv: &[f32]) -> Vec<f32> {
    let Shape { tokens, width, .. } = shape;
    let mut out = vec![0f32; qkv.len() / 3];
    let pictures = out.len() / (tokens * width).max(1);
    // If there are few pictures, each is split, so that no thread idles.
    let parts = (2 * pool.threads()).div_ceil(pictures.max(1));
    let share = tokens.div_ceil(parts).next_multiple_of(QUERIES);
    let pictures = out.chunks_mut(tokens * width).enumerate();
    let tasks: Vec<_> = pictures
        .flat_map(|(picture, out)| {
            let rows = out.chunks_mut(share * width).enumerate();
            rows.map(move |(part, out)| (picture, part * share, out))
        })
        .collect();
    let kernel = best_kernel();
    pool.each(tasks, |(picture, first, out)| {
        let rows = tokens * 3 * width;
        let qkv = &qkv[picture * rows..][..rows];
        SCRATCH.with_borrow_mut(|scratch| kernel(shape, qkv, first, out, scratch));
    });
    out
}

thread_local! {
    /// Each thread's scratch space, reused to avoid allocations.
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
}

/// The data of one head in the layout that the kernels need, padded with zeros to whole registers.
struct Scratch {
    /// The keys, `[dim, keys]`.
    keys: Vec<f32>,
    /// The values, `[tokens, dim]`.
    values: Vec<f32>,
    /// The queries, `[dim, QUERIES]`.
    queries: Vec<[f32; QUERIES]>,
    /// The attention scores, `[QUERIES, keys]`.
    scores: Vec<f32>,
    /// The unnormalized softmax of the scores, `[tokens, QUERIES]`.
    weights: Vec<[f32; QUERIES]>,
}

impl Scratch {
    const fn new() -> Scratch {
        Scratch {
            keys: Vec::new(),
            values: Vec::new(),
            queries: Vec::new(),
            scores: Vec::new(),
            weights: Vec::new(),
        }
    }
}

type Task = fn(Shape, &[f32], usize, &mut [f32], &mut Scratch);

fn best_kernel() -> Task {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma") {
            // SAFETY: the CPU supports the instructions.
            return |s, qkv, first, out, scratch| unsafe {
                attend_rows_avx512(s, qkv, first, out, scratch)
            };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the CPU supports the instructions.
            return |s, qkv, first, out, scratch| unsafe {
                attend_rows_avx2(s, qkv, first, out, scratch)
            };
        }
    }
    |s, qkv, first, out, scratch| attend_rows(s, qkv, first, out, scratch, combine)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn attend_rows_avx512(
    shape: Shape,
    qkv: &[f32],
    first: usize,
    out: &mut [f32],
    scratch: &mut Scratch,
) {
    let combine = |x: &[f32], stride, by: &[_]| combine_avx512(x, stride, by);
    attend_rows(shape, qkv, first, out, scratch, combine);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn attend_rows_avx2(
    shape: Shape,
    qkv: &[f32],
    first: usize,
    out: &mut [f32],
    scratch: &mut Scratch,
) {
    let combine = |x: &[f32], stride, by: &[_]| combine_avx2(x, stride, by);
    attend_rows(shape, qkv, first, out, scratch, combine);
}

/// Computes the attention of all heads for consecutive tokens of a picture, starting at token
/// `first`. `qkv` contains all tokens of the picture; the length of `out` determines how many of
/// them are computed.
///
/// `combine(x, stride, by)` multiplies the first sixteen numbers of each row of `x` by each of the
/// [`QUERIES`] numbers in the same row of `by`, and sums the products over the rows. The result is
/// `[QUERIES, 16]`. Rows of `x` are `stride` numbers apart. The sums are added row by row, with one
/// rounding per addition (fused multiply-add).
#[inline(always)]
fn attend_rows(
    shape: Shape,
    qkv: &[f32],
    first: usize,
    out: &mut [f32],
    scratch: &mut Scratch,
    combine: impl Fn(&[f32], usize, &[[f32; QUERIES]]) -> Sums,
) {
    let Shape {
        tokens,
        width,
        heads,
    } = shape;
    let dim = width / heads;
    let (keys, dims) = (tokens.next_multiple_of(LANES), dim.next_multiple_of(LANES));
    let scale = (dim as f32).sqrt().recip();
    let count = out.len() / width;
    for head in 0..heads {
        lay_out(shape, qkv, head, (keys, dims), scratch);
        for group in (0..count).step_by(QUERIES) {
            let own = QUERIES.min(count - group);
            scratch.queries.clear();
            scratch.queries.resize(dim, [0.0; QUERIES]);
            for query in 0..own {
                let row = &qkv[(first + group + query) * 3 * width + head * dim..][..dim];
                for (numbers, x) in scratch.queries.iter_mut().zip(row) {
                    numbers[query] = x * scale;
                }
            }
            for from in (0..keys).step_by(LANES) {
                let sums = combine(&scratch.keys[from..], keys, &scratch.queries);
                for (scores, sums) in scratch.scores.chunks_exact_mut(keys).zip(&sums) {
                    scores[from..][..LANES].copy_from_slice(sums);
                }
            }
            let mut shares = [0f32; QUERIES];
            for (query, share) in shares.iter_mut().enumerate().take(own) {
                let scores = &mut scratch.scores[query * keys..][..tokens];
                *share = softmax(scores).recip();
                for (weights, score) in scratch.weights.iter_mut().zip(scores) {
                    weights[query] = *score;
                }
            }
            for from in (0..dim).step_by(LANES) {
                let sums = combine(&scratch.values[from..], dims, &scratch.weights);
                let some = LANES.min(dim - from);
                for query in 0..own {
                    let out = &mut out[(group + query) * width + head * dim + from..][..some];
                    for (out, sum) in out.iter_mut().zip(&sums[query]) {
                        *out = sum * shares[query];
                    }
                }
            }
        }
    }
}

/// Copies a head's keys and values into `scratch` in the kernels' layout, and resizes the buffers
/// for scores and weights.
fn lay_out(
    shape: Shape,
    qkv: &[f32],
    head: usize,
    (keys, dims): (usize, usize),
    scratch: &mut Scratch,
) {
    let Shape {
        tokens,
        width,
        heads,
    } = shape;
    let dim = width / heads;
    scratch.keys.clear();
    scratch.keys.resize(dim * keys, 0.0);
    scratch.values.clear();
    scratch.values.resize(tokens * dims, 0.0);
    scratch.scores.resize(QUERIES * keys, 0.0);
    scratch.weights.clear();
    scratch.weights.resize(tokens, [0.0; QUERIES]);
    for token in 0..tokens {
        let row = &qkv[token * 3 * width + head * dim..];
        let (key, value) = (&row[width..][..dim], &row[2 * width..][..dim]);
        for (d, x) in key.iter().enumerate() {
            scratch.keys[d * keys + token] = *x;
        }
        scratch.values[token * dims..][..dim].copy_from_slice(value);
    }
}

/// Iterates over the rows of `x` and `by`. Each item is the first sixteen numbers of a row of `x`,
/// and the row of `by` with the same index.
#[inline(always)]
fn rows<'a>(
    x: &'a [f32],
    stride: usize,
    by: &'a [[f32; QUERIES]],
) -> impl Iterator<Item = (&'a [f32; LANES], &'a [f32; QUERIES])> {
    let rows = x.chunks(stride).filter_map(|row| row.first_chunk());
    rows.zip(by)
}

fn combine(x: &[f32], stride: usize, by: &[[f32; QUERIES]]) -> Sums {
    let mut sums: Sums = [[0.0; LANES]; QUERIES];
    for (row, by) in rows(x, stride, by) {
        for (sums, by) in sums.iter_mut().zip(by) {
            for (sum, x) in sums.iter_mut().zip(row) {
                *sum = x.mul_add(*by, *sum);
            }
        }
    }
    sums
}

// Vectorized by hand, since the compiler would vectorize the other dimension.

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn combine_avx512(x: &[f32], stride: usize, by: &[[f32; QUERIES]]) -> Sums {
    use std::arch::x86_64::*;
    let mut sums = [_mm512_setzero_ps(); QUERIES];
    for (row, by) in rows(x, stride, by) {
        // SAFETY: sixteen numbers are read from an array of sixteen.
        let row = unsafe { _mm512_loadu_ps(row.as_ptr()) };
        for (sum, by) in sums.iter_mut().zip(by) {
            *sum = _mm512_fmadd_ps(row, _mm512_set1_ps(*by), *sum);
        }
    }
    let mut out: Sums = [[0.0; LANES]; QUERIES];
    for (out, sum) in out.iter_mut().zip(sums) {
        // SAFETY: sixteen numbers are written to an array of sixteen.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), sum) };
    }
    out
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn combine_avx2(x: &[f32], stride: usize, by: &[[f32; QUERIES]]) -> Sums {
    use std::arch::x86_64::*;
    const HALF: usize = LANES / 2;
    let mut out: Sums = [[0.0; LANES]; QUERIES];
    // Half the lanes at a time: there are only sixteen registers.
    for half in 0..2 {
        let mut sums = [_mm256_setzero_ps(); QUERIES];
        for (row, by) in rows(x, stride, by) {
            // SAFETY: eight numbers are read from either half of an array of sixteen.
            let row = unsafe { _mm256_loadu_ps(row.as_ptr().add(half * HALF)) };
            for (sum, by) in sums.iter_mut().zip(by) {
                *sum = _mm256_fmadd_ps(row, _mm256_set1_ps(*by), *sum);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            // SAFETY: eight numbers are written to either half of an array of sixteen.
            unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(half * HALF), sum) };
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampler::rng::Rng;

    #[test]
    fn every_processor_adds_up_to_the_same_bits() {
        let mut rng = Rng::new(2);
        let mut number = || rng.next_f64() as f32 - 0.5;
        let x: Vec<f32> = (0..69 * 48).map(|_| number()).collect();
        let by: Vec<[f32; QUERIES]> = (0..69).map(|_| [0.0; QUERIES].map(|_| number())).collect();
        let plain = combine(&x, 48, &by);
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the CPU supports the instructions.
            assert_eq!(unsafe { combine_avx512(&x, 48, &by) }, plain);
        }
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the CPU supports the instructions.
            assert_eq!(unsafe { combine_avx2(&x, 48, &by) }, plain);
        }
    }

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
        // The first token weights itself 3/4 and the other 1/4; the second, whose query is zero,
        // weights both equally.
        for (found, wanted) in [(out[0], 6.0), (out[1], 1.0), (out[16], 4.0), (out[17], 2.0)] {
            assert!((found - wanted).abs() < 1e-5, "{found} for {wanted}");
        }
    }

    /// Tests sizes that do not fill registers, with more or fewer pictures than threads. The result
    /// must equal that of plain loops, and the first picture's result must be bit-identical to the
    /// result for that picture alone.
    #[test]
    fn odd_sizes_are_right_and_a_picture_does_not_depend_on_others() {
        for (tokens, width, heads, pictures) in [(69, 40, 2, 1), (5, 12, 3, 7), (64, 32, 1, 3)] {
            let shape = Shape {
                tokens,
                width,
                heads,
            };
            let mut rng = Rng::new(5);
            let count = pictures * tokens * 3 * width;
            let qkv: Vec<f32> = (0..count).map(|_| rng.next_f64() as f32 - 0.5).collect();
            let out = attend(&Pool::new(2), shape, &qkv);
            let alone = attend(&Pool::new(1), shape, &qkv[..tokens * 3 * width]);
            assert_eq!(out[..tokens * width], alone[..]);
            let dim = width / heads;
            let at = |picture: usize, token: usize, part: usize, head: usize, d: usize| {
                let row = (picture * tokens + token) * 3 * width;
                f64::from(qkv[row + part * width + head * dim + d])
            };
            let last = pictures - 1;
            for (token, head) in [(0, 0), (tokens - 1, heads - 1)] {
                let weight = |other: usize| {
                    let pairs =
                        (0..dim).map(|d| at(last, token, 0, head, d) * at(last, other, 1, head, d));
                    (pairs.sum::<f64>() / (dim as f64).sqrt()).exp()
                };
                let all: f64 = (0..tokens).map(weight).sum();
                for d in 0..dim {
                    let sum: f64 = (0..tokens)
                        .map(|o| weight(o) * at(last, o, 2, head, d))
                        .sum();
                    let found = out[(last * tokens + token) * width + head * dim + d];
                    assert!((f64::from(found) - sum / all).abs() < 1e-5);
                }
            }
        }
    }
}

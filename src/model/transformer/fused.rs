//! Attention on a CPU, a query row at a time.
//!
//! **Invariant:** a row's result depends on that row, the keys and the values alone: it is the same
//! to the bit whether the row is read alone or in a batch, on one thread or many, and on every
//! processor. A story read again therefore continues exactly as it did the first time.
//!
//! Candle's own fused kernels are faster than plain operations too, but add up in another order
//! when they read a batch than when they read one row.

use crate::model::linear::Pool;
use std::cell::RefCell;

/// Sizes of one call: `q` is `[tokens, heads, dim]`, `k` and `v` `[position + tokens, kv_heads, dim]`.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub heads: usize,
    pub kv_heads: usize,
    pub dim: usize,
    /// Where the first token stands.
    pub position: usize,
    /// How many tokens back a row sees, itself among them; `usize::MAX` for all.
    pub window: usize,
}

/// Numbers that are added up side by side: one AVX-512 register, two of AVX2.
const LANES: usize = 16;

/// Causal attention with softmax in one pass over the scores; `out` is `[tokens, heads, dim]`.
pub fn attend(pool: &Pool, shape: Shape, q: &[f32], k: &[f32], v: &[f32], out: &mut [f32]) {
    let rows = Rows {
        shape,
        q,
        k,
        v,
        scale: (shape.dim as f32).sqrt().recip(),
    };
    let row: fn(&Rows, usize, &mut [f32], &mut Vec<f32>) = best();
    let threads = pool.threads();
    let mut parts: Vec<Vec<(usize, &mut [f32])>> = (0..threads).map(|_| Vec::new()).collect();
    // Later rows see more: dealing them out in turn keeps the threads even.
    for (index, row) in out.chunks_exact_mut(shape.dim).enumerate() {
        parts[index % threads].push((index, row));
    }
    pool.each(parts, |part| {
        SCORES.with_borrow_mut(|scores| {
            for (index, out) in part {
                row(&rows, index, out, scores);
            }
        });
    });
}

thread_local! {
    /// A row's scores, kept to spare allocations.
    static SCORES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

struct Rows<'a> {
    shape: Shape,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    scale: f32,
}

fn best() -> fn(&Rows, usize, &mut [f32], &mut Vec<f32>) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has the instructions.
            return |rows, index, out, scores| unsafe { row_avx512(rows, index, out, scores) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has the instructions.
            return |rows, index, out, scores| unsafe { row_avx2(rows, index, out, scores) };
        }
    }
    row
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn row_avx512(rows: &Rows, index: usize, out: &mut [f32], scores: &mut Vec<f32>) {
    row(rows, index, out, scores);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn row_avx2(rows: &Rows, index: usize, out: &mut [f32], scores: &mut Vec<f32>) {
    row(rows, index, out, scores);
}

/// One token's one head: scores, softmax, the weighted sum of values.
#[inline(always)]
fn row(rows: &Rows, index: usize, out: &mut [f32], scores: &mut Vec<f32>) {
    let Shape {
        heads,
        kv_heads,
        dim,
        position,
        window,
        ..
    } = rows.shape;
    let (token, head) = (index / heads, index % heads);
    let end = position + token + 1;
    let first = end.saturating_sub(window);
    let column = head / (heads / kv_heads) * dim;
    let stride = kv_heads * dim;
    let q = &rows.q[index * dim..][..dim];
    scores.clear();
    let mut max = f32::NEG_INFINITY;
    for at in first..end {
        let score = dot(q, &rows.k[at * stride + column..][..dim]) * rows.scale;
        max = max.max(score);
        scores.push(score);
    }
    let sum = softmax(scores, max);
    out.fill(0.0);
    for (weight, at) in scores.iter().zip(first..end) {
        let v = &rows.v[at * stride + column..][..dim];
        for (out, v) in out.iter_mut().zip(v) {
            *out = v.mul_add(*weight, *out);
        }
    }
    let norm = sum.recip();
    for out in out.iter_mut() {
        *out *= norm;
    }
}

/// Turns scores into e^(score - max) and returns their sum, added up in lanes.
#[inline(always)]
pub(in crate::model) fn softmax(scores: &mut [f32], max: f32) -> f32 {
    let mut sums = [0f32; LANES];
    let mut chunks = scores.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for (score, sum) in chunk.iter_mut().zip(&mut sums) {
            *score = exp(*score - max);
            *sum += *score;
        }
    }
    for (score, sum) in chunks.into_remainder().iter_mut().zip(&mut sums) {
        *score = exp(*score - max);
        *sum += *score;
    }
    fold(sums)
}

#[inline(always)]
pub(in crate::model) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a.remainder().iter().zip(b.remainder());
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            sums[lane] = a[lane].mul_add(b[lane], sums[lane]);
        }
    }
    for (lane, (a, b)) in rest.enumerate() {
        sums[lane] = a.mul_add(*b, sums[lane]);
    }
    fold(sums)
}

/// Adds lanes up in halves: 16 to 8 to 4 to 2 to 1.
#[inline(always)]
fn fold(mut sums: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

/// e^x for x <= 0, to about 2 units in the last place: Cody-Waite reduction by ln 2 and the
/// polynomial of Cephes' expf (Moshier 1989). Not the system's, so that every machine agrees.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let x = x.max(-87.0);
    // Adding 1.5 * 2^23 rounds to the nearest whole number and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    let p = 1.987_569_1e-4f32;
    let p = p.mul_add(r, 1.398_2e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_5e-1);
    let p = p.mul_add(r, 5e-1);
    let e = p.mul_add(r * r, r) + 1.0;
    let power = (shifted.to_bits() << 23).wrapping_add(127 << 23);
    e * f32::from_bits(power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let next = |_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            ((state >> 40) as f32 / (1u64 << 24) as f32) * 4.0 - 2.0
        };
        (0..count).map(next).collect()
    }

    /// From the definition, in f64.
    fn reference(tokens: usize, shape: Shape, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
        let mut out = Vec::new();
        for token in 0..tokens {
            for head in 0..shape.heads {
                let end = shape.position + token + 1;
                let first = end.saturating_sub(shape.window);
                let kv = head / (shape.heads / shape.kv_heads);
                let at = |x: &[f32], row: usize, i: usize| {
                    x[(row * shape.kv_heads + kv) * shape.dim + i] as f64
                };
                let q = &q[(token * shape.heads + head) * shape.dim..][..shape.dim];
                let score = |row: usize| -> f64 {
                    let dot: f64 = (0..shape.dim).map(|i| q[i] as f64 * at(k, row, i)).sum();
                    (dot / (shape.dim as f64).sqrt()).exp()
                };
                let weights: Vec<f64> = (first..end).map(score).collect();
                let sum: f64 = weights.iter().sum();
                out.extend((0..shape.dim).map(|i| {
                    let weighted = weights
                        .iter()
                        .zip(first..end)
                        .map(|(w, row)| w * at(v, row, i));
                    (weighted.sum::<f64>() / sum) as f32
                }));
            }
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn it_is_attention_by_its_definition(
            tokens in 1usize..9, position in 0usize..40, group in 1usize..4, kv_heads in 1usize..4,
            dim in prop::sample::select(vec![8usize, 24, 64, 80]),
            window in prop::sample::select(vec![usize::MAX, 1, 5, 17]), seed in any::<u64>(),
        ) {
            let shape = Shape { heads: group * kv_heads, kv_heads, dim, position, window };
            let q = numbers(tokens * shape.heads * dim, seed);
            let k = numbers((position + tokens) * kv_heads * dim, seed ^ 1);
            let v = numbers((position + tokens) * kv_heads * dim, seed ^ 2);
            let mut out = vec![0f32; q.len()];
            attend(&Pool::new(2), shape, &q, &k, &v, &mut out);
            for (ours, exact) in out.iter().zip(reference(tokens, shape, &q, &k, &v)) {
                prop_assert!((ours - exact).abs() < 2e-5, "{ours} {exact}");
            }
            // The same to the bit alone, on one thread, and without vectors.
            for token in 0..tokens {
                let one = Shape { position: position + token, ..shape };
                let width = shape.heads * dim;
                let mut alone = vec![0f32; width];
                attend(&Pool::new(1), one, &q[token * width..][..width], &k, &v, &mut alone);
                prop_assert_eq!(&alone[..], &out[token * width..][..width]);
            }
            let rows = Rows { shape, q: &q, k: &k, v: &v, scale: (dim as f32).sqrt().recip() };
            let mut plain = vec![0f32; dim];
            row(&rows, 0, &mut plain, &mut Vec::new());
            prop_assert_eq!(&plain[..], &out[..dim]);
        }

        #[test]
        fn exp_is_close_to_the_real_one(x in -86f32..0.0) {
            let exact = (x as f64).exp();
            prop_assert!(((exp(x) as f64 - exact) / exact).abs() < 3e-7, "{x}");
        }
    }

    #[test]
    fn exp_of_nothing_is_one_and_of_much_is_nothing() {
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1000.0) < 1e-37);
    }
}

//! Grouped-query attention over the cache: illumine's own kernel on a CPU ([`super::fused`]), plain
//! operations on other devices.

use super::fused::{self, Shape};
use crate::model::linear::Pool;
use candle_core::{DType, Device, Result, Storage, Tensor};

/// Causal attention of `q` `[tokens, heads, dim]`, whose first token stands at `position`, over
/// `k` and `v` `[1, position + tokens, kv_heads, dim]`. With a window, a token sees only the last
/// so many, itself among them. Returns `[tokens, heads * dim]`.
pub fn attend(
    pool: &Pool,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    position: usize,
    window: Option<usize>,
) -> Result<Tensor> {
    let (tokens, heads, dim) = q.dims3()?;
    if !q.device().is_cpu() {
        let mask = mask(tokens, position, window, q.device())?;
        return plain(q, k, v, &mask);
    }
    let shape = Shape {
        heads,
        kv_heads: k.dim(2)?,
        dim,
        position,
        window: window.unwrap_or(usize::MAX),
    };
    let mut out = vec![0f32; tokens * heads * dim];
    let q = q.contiguous()?;
    numbers(&q, |q| {
        numbers(k, |k| {
            numbers(v, |v| {
                fused::attend(pool, shape, q, k, v, &mut out);
                Ok(())
            })
        })
    })?;
    Tensor::from_vec(out, (tokens, heads * dim), q.device())
}

/// Lends a contiguous CPU tensor's numbers.
fn numbers(tensor: &Tensor, work: impl FnOnce(&[f32]) -> Result<()>) -> Result<()> {
    let (storage, layout) = tensor.storage_and_layout();
    let (Storage::Cpu(cpu), Some((start, end))) = (&*storage, layout.contiguous_offsets()) else {
        candle_core::bail!("attention reads contiguous tensors of a CPU")
    };
    work(&cpu.as_slice::<f32>()?[start..end])
}

/// The same from plain operations, for devices and shapes that have no fused kernel.
fn plain(q: &Tensor, k: &Tensor, v: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let (tokens, heads, dim) = q.dims3()?;
    let (_, len, kv_heads, _) = k.dims4()?;
    let group = heads / kv_heads;
    let by_head = |x: &Tensor| x.squeeze(0)?.transpose(0, 1)?.contiguous();
    let (k, v) = (by_head(k)?, by_head(v)?);
    let q = q
        .reshape((tokens, kv_heads, group, dim))?
        .permute((1, 2, 0, 3))?;
    let q = (q.contiguous()?.reshape((kv_heads, group * tokens, dim))? / (dim as f64).sqrt())?;
    let scores = q
        .matmul(&k.t()?.contiguous()?)?
        .reshape((kv_heads, group, tokens, len))?;
    let weights = candle_nn::ops::softmax_last_dim(&scores.broadcast_add(mask)?)?;
    let out = weights
        .reshape((kv_heads, group * tokens, len))?
        .matmul(&v)?;
    let out = out
        .reshape((kv_heads, group, tokens, dim))?
        .permute((2, 0, 1, 3))?;
    out.contiguous()?.reshape((tokens, heads * dim))
}

/// `[tokens, len]`: 0 where a token may look, minus infinity where it may not.
fn mask(tokens: usize, position: usize, window: Option<usize>, device: &Device) -> Result<Tensor> {
    let len = position + tokens;
    let window = window.unwrap_or(len);
    let allowed =
        |token: usize, at: usize| at <= position + token && at + window > position + token;
    let values: Vec<f32> = (0..tokens)
        .flat_map(|token| (0..len).map(move |at| (token, at)))
        .map(|(token, at)| {
            if allowed(token, at) {
                0.0
            } else {
                f32::NEG_INFINITY
            }
        })
        .collect();
    Tensor::from_vec(values, (tokens, len), device)?.to_dtype(DType::F32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(shape: impl Into<candle_core::Shape>, seed: u64) -> Tensor {
        let shape = shape.into();
        let mut state = seed;
        let values: Vec<f32> = (0..shape.elem_count())
            .map(|_| {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                ((state >> 40) as f32 / (1u64 << 24) as f32) * 2.0 - 1.0
            })
            .collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn far(a: &Tensor, b: &Tensor) -> f32 {
        let far = (a - b).unwrap().abs().unwrap().max_all().unwrap();
        far.to_scalar::<f32>().unwrap()
    }

    #[test]
    fn the_fused_kernel_and_plain_operations_agree() {
        let pool = Pool::new(2);
        let windows = [None, Some(5)];
        for (tokens, position) in [(1, 0), (1, 40), (7, 0), (33, 20)] {
            let q = random((tokens, 9, 64), 1);
            let k = random((1, position + tokens, 3, 64), 2);
            let v = random((1, position + tokens, 3, 64), 3);
            for window in windows {
                let fused = attend(&pool, &q, &k, &v, position, window).unwrap();
                let mask = mask(tokens, position, window, &Device::Cpu).unwrap();
                let plain = plain(&q, &k, &v, &mask).unwrap();
                assert!(far(&fused, &plain) < 1e-5, "{tokens} at {position}");
            }
        }
    }
}

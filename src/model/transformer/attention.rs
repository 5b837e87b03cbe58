//! Grouped-query attention over the cache: candle's fused kernel on a CPU, plain operations
//! elsewhere and where a layer sees only a window.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::attention::{AttnMask, flash_attn};

/// Causal attention of `q` `[tokens, heads, dim]`, whose first token stands at `position`, over
/// `k` and `v` `[1, position + tokens, kv_heads, dim]`. Returns `[tokens, heads * dim]`.
pub fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    position: usize,
    window: Option<usize>,
) -> Result<Tensor> {
    let (tokens, heads, dim) = q.dims3()?;
    let len = position + tokens;
    let cut = window.is_some_and(|window| len > window);
    if cut && tokens == 1 {
        // One token's window is a run of positions: the rest need not be looked at.
        let first = len - window.unwrap_or(len);
        let (k, v) = (k.narrow(1, first, len - first)?, v.narrow(1, first, len - first)?);
        return attend(q, &k, &v, len - first - 1, None);
    }
    if !q.device().is_cpu() || cut {
        let mask = mask(tokens, position, window, q.device())?;
        return plain(q, k, v, &mask);
    }
    let scale = (dim as f32).sqrt().recip();
    let causal = AttnMask::causal_with_offset(position);
    let out = flash_attn::<f32>(&q.unsqueeze(0)?, k, v, scale, causal, None, None)?;
    out.squeeze(0)?.transpose(0, 1)?.reshape((tokens, heads * dim))
}

/// The same from plain operations, for devices and shapes that have no fused kernel.
fn plain(q: &Tensor, k: &Tensor, v: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let (tokens, heads, dim) = q.dims3()?;
    let (_, len, kv_heads, _) = k.dims4()?;
    let group = heads / kv_heads;
    let by_head = |x: &Tensor| x.squeeze(0)?.transpose(0, 1)?.contiguous();
    let (k, v) = (by_head(k)?, by_head(v)?);
    let q = q.reshape((tokens, kv_heads, group, dim))?.permute((1, 2, 0, 3))?;
    let q = (q.contiguous()?.reshape((kv_heads, group * tokens, dim))? / (dim as f64).sqrt())?;
    let scores = q.matmul(&k.t()?.contiguous()?)?.reshape((kv_heads, group, tokens, len))?;
    let weights = candle_nn::ops::softmax_last_dim(&scores.broadcast_add(mask)?)?;
    let out = weights.reshape((kv_heads, group * tokens, len))?.matmul(&v)?;
    let out = out.reshape((kv_heads, group, tokens, dim))?.permute((2, 0, 1, 3))?;
    out.contiguous()?.reshape((tokens, heads * dim))
}

/// `[tokens, len]`: 0 where a token may look, minus infinity where it may not.
fn mask(tokens: usize, position: usize, window: Option<usize>, device: &Device) -> Result<Tensor> {
    let len = position + tokens;
    let window = window.unwrap_or(len);
    let allowed = |token: usize, at: usize| at <= position + token && at + window > position + token;
    let values: Vec<f32> = (0..tokens)
        .flat_map(|token| (0..len).map(move |at| (token, at)))
        .map(|(token, at)| if allowed(token, at) { 0.0 } else { f32::NEG_INFINITY })
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
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
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
        for (tokens, position) in [(1, 0), (1, 40), (7, 0), (33, 20)] {
            let q = random((tokens, 9, 64), 1);
            let k = random((1, position + tokens, 3, 64), 2);
            let v = random((1, position + tokens, 3, 64), 3);
            let fused = attend(&q, &k, &v, position, None).unwrap();
            let mask = mask(tokens, position, None, &Device::Cpu).unwrap();
            let plain = plain(&q, &k, &v, &mask).unwrap();
            assert!(far(&fused, &plain) < 1e-5, "{tokens} at {position}");
        }
    }

    #[test]
    fn a_window_hides_what_lies_before_it() {
        let (k, v) = (random((1, 12, 1, 8), 2), random((1, 12, 1, 8), 3));
        let q = random((4, 2, 8), 1);
        let slice = attend(&q, &k, &v, 8, Some(5)).unwrap();
        for token in 0..4 {
            let one = q.narrow(0, token, 1).unwrap();
            let len = 8 + token + 1;
            let (k, v) = (k.narrow(1, len - 5, 5).unwrap(), v.narrow(1, len - 5, 5).unwrap());
            let alone = attend(&one, &k, &v, 4, None).unwrap();
            assert!(far(&slice.narrow(0, token, 1).unwrap(), &alone) < 1e-5);
        }
    }
}

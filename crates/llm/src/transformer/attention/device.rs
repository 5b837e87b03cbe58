//! Attention computed with candle's tensor operations, for devices that illumine's kernels do not
//! support.

use candle_core::{DType, Device, Result, Tensor};

/// Computes causal attention. `q` is `[tokens, heads, dim]`, and its first token is at `position`.
/// `k` and `v` are `[1, position + tokens, kv_heads, dim]`. With a window, a token attends only to
/// the last `window` tokens, including itself. Returns `[tokens, heads * dim]`.
pub fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    position: usize,
    window: Option<usize>,
) -> Result<Tensor> {
    let (tokens, heads, dim) = q.dims3()?;
    let (_, len, kv_heads, _) = k.dims4()?;
    let group = heads / kv_heads;
    let by_head = |x: &Tensor| x.squeeze(0)?.transpose(0, 1)?.contiguous();
    let (k, v) = (by_head(k)?, by_head(v)?);
    let q = q
        .reshape((tokens, kv_heads, group, dim))?
        .permute((1, 2, 0, 3))?;
    let q = (q.contiguous()?.reshape((kv_heads, group * tokens, dim))? / (dim as f64).sqrt())?;
    let mut scores = q
        .matmul(&k.t()?.contiguous()?)?
        .reshape((kv_heads, group, tokens, len))?;
    // A single token without a window sees everything.
    if tokens > 1 || window.is_some_and(|window| window < len) {
        scores = scores.broadcast_add(&mask(tokens, position, window, q.device())?)?;
    }
    let weights = candle_nn::ops::softmax_last_dim(&scores)?;
    let out = weights
        .reshape((kv_heads, group * tokens, len))?
        .matmul(&v)?;
    let out = out
        .reshape((kv_heads, group, tokens, dim))?
        .permute((2, 0, 1, 3))?;
    out.contiguous()?.reshape((tokens, heads * dim))
}

/// Returns the attention mask, `[tokens, len]`: 0 for visible positions and minus infinity for
/// masked positions.
pub fn mask(
    tokens: usize,
    position: usize,
    window: Option<usize>,
    device: &Device,
) -> Result<Tensor> {
    let len = position + tokens;
    let window = window.unwrap_or(len);
    let allowed =
        |token: usize, at: usize| at <= position + token && at + window > position + token;
    let values: Vec<f32> = (0..tokens)
        .flat_map(|token| (0..len).map(move |at| (token, at)))
        .map(|(token, at)| match allowed(token, at) {
            true => 0.0,
            false => f32::NEG_INFINITY,
        })
        .collect();
    Tensor::from_vec(values, (tokens, len), device)?.to_dtype(DType::F32)
}

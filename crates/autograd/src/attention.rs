//! Self-attention among the tokens of a picture.

use super::norm::sum_of_products;
use super::{Order, View, add, contiguous_f32, with};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use kernels::dispatch_simd;
use kernels::linear::KernelFamily;
use kernels::math::softmax;
use rayon::prelude::*;

/// Self-attention: maps `qkv` `[batch, tokens, 3 width]` to `[batch, tokens, width]`.
pub fn attend(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    qkv.contiguous()?.apply_op1(Attention { heads })
}

struct Attention {
    heads: usize,
}

/// One attention head: its sizes and its index. A row of `qkv` holds the queries, keys and values
/// of all heads for one token.
#[derive(Clone, Copy)]
struct Head {
    tokens: usize,
    width: usize,
    dim: usize,
    at: usize,
}

impl Head {
    /// Returns a view of the head's queries (`part` 0), keys (1) or values (2) as an operand of a
    /// matrix product. If `order` is row-major, the product sums over the head's dimensions; if it
    /// is column-major, over the tokens.
    fn part<'a>(&self, qkv: &'a [f32], part: usize, order: Order) -> View<'a> {
        let first = part * self.width + self.at * self.dim;
        self.view(&qkv[first..], order, 3 * self.width)
    }

    fn view<'a>(&self, numbers: &'a [f32], order: Order, stride: usize) -> View<'a> {
        let (count, depth) = match order {
            Order::RowMajor => (self.tokens, self.dim),
            Order::ColumnMajor => (self.dim, self.tokens),
        };
        View {
            numbers,
            count,
            depth,
            order,
            stride,
        }
    }

    /// Returns a view of `numbers`, one for each pair of tokens, as a `[tokens, tokens]` matrix.
    fn pairs<'a>(&self, numbers: &'a [f32], order: Order) -> View<'a> {
        View {
            numbers,
            count: self.tokens,
            depth: self.tokens,
            order,
            stride: self.tokens,
        }
    }

    fn scale(&self) -> f32 {
        (self.dim as f32).sqrt().recip()
    }

    /// Writes the head's attention weights `[tokens, tokens]` to `out`.
    fn weights(&self, qkv: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        let queries = self.part(qkv, 0, Order::RowMajor);
        let keys = self.part(qkv, 1, Order::RowMajor);
        // SAFETY: this module is used only if the processor supports the instructions.
        unsafe { add(queries, keys, out, self.tokens) };
        shares(KernelFamily::best(), out, self.tokens, self.scale());
    }

    /// Adds the gradients of the head's queries, keys and values to `out`, which has the layout of
    /// `qkv`.
    fn back(&self, qkv: &[f32], gradient: &[f32], out: &mut [f32]) {
        let (tokens, width) = (self.tokens, self.width);
        let mut weights = vec![0f32; tokens * tokens];
        let mut scores = vec![0f32; tokens * tokens];
        self.weights(qkv, &mut weights);
        let gradient = &gradient[self.at * self.dim..];
        let of = |part: usize| part * width + self.at * self.dim;
        let by_row = self.view(gradient, Order::RowMajor, width);
        let by_column = self.view(gradient, Order::ColumnMajor, width);
        // SAFETY: this module is used only if the processor supports the instructions.
        unsafe {
            let seen = self.pairs(&weights, Order::ColumnMajor);
            add(seen, by_column, &mut out[of(2)..], 3 * width);
            add(
                by_row,
                self.part(qkv, 2, Order::RowMajor),
                &mut scores,
                tokens,
            );
        }
        shares_back(
            KernelFamily::best(),
            &weights,
            &mut scores,
            tokens,
            self.scale(),
        );
        // SAFETY: as above.
        unsafe {
            let (forth, back) = (
                self.pairs(&scores, Order::RowMajor),
                self.pairs(&scores, Order::ColumnMajor),
            );
            let keys = self.part(qkv, 1, Order::ColumnMajor);
            add(forth, keys, &mut out[of(0)..], 3 * width);
            let queries = self.part(qkv, 0, Order::ColumnMajor);
            add(back, queries, &mut out[of(1)..], 3 * width);
        }
    }
}

dispatch_simd!(
    /// Scales the scores, then replaces each row by its softmax.
    shares, shares_rows, (scores: &mut [f32], tokens: usize, scale: f32)
);

dispatch_simd!(
    /// Computes the gradient of the softmax: replaces the gradients of the attention weights with
    /// the gradients of the scores.
    shares_back, shares_back_rows,
    (shares: &[f32], gradients: &mut [f32], tokens: usize, scale: f32)
);

#[inline(always)]
fn shares_rows(scores: &mut [f32], tokens: usize, scale: f32) {
    for row in scores.chunks_exact_mut(tokens) {
        row.iter_mut().for_each(|score| *score *= scale);
        let share = softmax(row).recip();
        row.iter_mut().for_each(|weight| *weight *= share);
    }
}

#[inline(always)]
fn shares_back_rows(shares: &[f32], gradients: &mut [f32], tokens: usize, scale: f32) {
    let rows = gradients.chunks_exact_mut(tokens);
    for (gradients, shares) in rows.zip(shares.chunks_exact(tokens)) {
        let mean = sum_of_products(gradients, shares);
        for (gradient, share) in gradients.iter_mut().zip(shares) {
            *gradient = (*gradient - mean) * share * scale;
        }
    }
}

impl Attention {
    fn heads(&self, tokens: usize, width: usize) -> impl Iterator<Item = Head> {
        let dim = width / self.heads;
        (0..self.heads).map(move |at| Head {
            tokens,
            width,
            dim,
            at,
        })
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, tokens, width) = layout.shape().dims3()?;
        let (width, qkv) = (width / 3, contiguous_f32(qkv, layout)?);
        let mut out = vec![0f32; qkv.len() / 3];
        let pictures = out.par_chunks_mut(tokens * width);
        let pictures = pictures.zip(qkv.par_chunks(3 * tokens * width));
        pictures.for_each(|(out, qkv)| {
            let mut weights = vec![0f32; tokens * tokens];
            for head in self.heads(tokens, width) {
                head.weights(qkv, &mut weights);
                let weights = head.pairs(&weights, Order::RowMajor);
                let values = head.part(qkv, 2, Order::ColumnMajor);
                let out = &mut out[head.at * head.dim..];
                // SAFETY: this module is used only if the processor supports the instructions.
                unsafe { add(weights, values, out, width) };
            }
        });
        Ok((CpuStorage::F32(out), (batch, tokens, width).into()))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (batch, tokens, wide) = qkv.dims3()?;
        let width = wide / 3;
        let mut out = vec![0f32; batch * tokens * wide];
        with(qkv, |qkv| {
            with(gradient, |gradient| {
                let given = qkv.par_chunks(tokens * wide);
                let given = given.zip(gradient.par_chunks(tokens * width));
                let all = out.par_chunks_mut(tokens * wide).zip(given);
                all.for_each(|(out, (qkv, gradient))| {
                    for head in self.heads(tokens, width) {
                        head.back(qkv, gradient, out);
                    }
                });
                Ok(())
            })
        })?;
        Ok(Some(Tensor::from_vec(out, qkv.shape(), qkv.device())?))
    }
}

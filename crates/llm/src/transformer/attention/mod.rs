//! Attention with its projections, norms and KV cache. CPUs use illumine's attention kernel; other
//! devices use candle's tensor operations.

pub mod device;

use super::config::Config;
use super::linear::{Input, Linear};
use super::matrix::{Buffer, Matrix, Vector};
use super::norm::Norm;
use super::rope::RopeTables;
use super::tensor_cache::TensorCache;
use super::weights::Weights;
use crate::branch::{Branch, BranchState, Positions};
use crate::error::ModelError;
use candle_core::{Result as Computed, Tensor};
use kernels::attention::{self as kernel, Heads, Job, KvBlocks, Shape};
use kernels::linear::Pool;
use kernels::math;
use std::sync::Arc;

pub struct Attention {
    /// The matrices that compute queries, keys and values from the same input.
    projections: [Linear; 3],
    biases: Option<[Vector; 3]>,
    query_norm: Option<Norm>,
    key_norm: Option<Norm>,
    output: Linear,
    kv_cache: KvCache,
    query_scale: Option<f64>,
    shape: Shape,
    pool: Arc<Pool>,
}

/// The keys and values of all evaluated tokens.
enum KvCache {
    Host(KvBlocks),
    Device(TensorCache, TensorCache),
}

/// The number of tokens that a thread rotates in one unit of work.
const TURN: usize = 16;

impl Attention {
    pub fn load(weights: &Weights, config: &Config, index: usize) -> Result<Attention, ModelError> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        let bias = |part: &str| weights.vector(&format!("blk.{index}.{part}.bias"));
        let (heads, kv_heads, dim) = (config.heads, config.kv_heads, config.head_dim);
        let sizes = [heads * dim, kv_heads * dim, kv_heads * dim];
        let fused = name("attn_qkv");
        let projections = match weights.has(&fused) {
            true => weights.split(&fused, sizes)?,
            false => [
                weights.linear(&name("attn_q"))?,
                weights.linear(&name("attn_k"))?,
                weights.linear(&name("attn_v"))?,
            ],
        };
        let biased = weights.has(&format!("blk.{index}.attn_q.bias"));
        let heads_kv = Heads {
            count: kv_heads,
            dim,
        };
        let cache = || TensorCache::new(config.context, kv_heads, dim, weights.device());
        Ok(Attention {
            projections,
            biases: match biased {
                true => Some([bias("attn_q")?, bias("attn_k")?, bias("attn_v")?]),
                false => None,
            },
            query_norm: weights.optional_norm(&name("attn_q_norm"), dim, config.norm_eps)?,
            key_norm: weights.optional_norm(&name("attn_k_norm"), dim, config.norm_eps)?,
            output: weights.linear(&name("attn_output"))?,
            kv_cache: match weights.on_host() {
                true => KvCache::Host(KvBlocks::new(weights.kv(), heads_kv)),
                false => KvCache::Device(cache()?, cache()?),
            },
            query_scale: config.query_scale,
            shape: Shape {
                heads,
                kv: heads_kv,
                window: config
                    .window_of_layer(index)
                    .map_or(usize::MAX, |window| window.tokens),
            },
            pool: weights.pool(),
        })
    }

    /// Computes the attention of `norm(x)` and adds it to `x`, which is `[tokens, hidden]`.
    pub fn forward(
        &mut self,
        x: Matrix,
        norm: &Norm,
        after: Option<&Norm>,
        rope: &RopeTables,
        positions: &mut Positions,
        layer: usize,
    ) -> Computed<Matrix> {
        let [q, k, v] = Linear::forward_many(self.projections.each_ref(), Input::Normed(&x, norm))?;
        let out = match (q, k, v) {
            (Matrix::Host(q), Matrix::Host(k), Matrix::Host(v)) => {
                Matrix::Host(self.on_host(q, k, v, rope, positions, layer)?)
            }
            (q, k, v) => Matrix::Device(self.on_device(
                q.tensor()?,
                k.tensor()?,
                v.tensor()?,
                rope,
                positions,
            )?),
        };
        self.output.add_to(Input::Plain(&out), after, x)
    }

    fn on_host(
        &mut self,
        mut q: Buffer,
        mut k: Buffer,
        mut v: Buffer,
        rope: &RopeTables,
        positions: &mut Positions,
        layer: usize,
    ) -> Computed<Buffer> {
        self.turn(&mut q, &mut k, &mut v, rope, positions);
        let mut out = Buffer::rows(q.tokens(), q.width());
        let KvCache::Host(cache) = &mut self.kv_cache else {
            candle_core::bail!("the cache is on a different device")
        };
        let tokens = q.tokens();
        let none = cache.empty_like();
        let jobs: Vec<Job> = match positions {
            Positions::Sequence(position) => {
                cache.write_all(&self.pool, *position, &k, &v);
                let past = [(&*cache, *position + tokens), (&none, 0)];
                vec![Job {
                    row: 0,
                    tokens,
                    position: *position,
                    past,
                }]
            }
            Positions::Branches(branches, places) => {
                let mut next = 0;
                let own = branches.iter_mut().enumerate().map(|(index, branch)| {
                    let rest = places[next..].iter();
                    let tokens = rest.take_while(|place| place.branch == index).count();
                    let (row, position, len) = (next, branch.position(), branch.len);
                    next += tokens;
                    let BranchState::Attention(own) = &mut branch.layers[layer] else {
                        candle_core::bail!("the branch belongs to a different model")
                    };
                    own.reserve(len + tokens);
                    for token in 0..tokens {
                        own.write(len + token, k.row(row + token), v.row(row + token));
                    }
                    let past = [(&*cache, branch.shared), (&*own, len + tokens)];
                    Ok(Job {
                        row,
                        tokens,
                        position,
                        past,
                    })
                });
                own.collect::<Computed<_>>()?
            }
        };
        kernel::attend(&self.pool, self.shape, &q, &jobs, &mut out);
        Ok(out)
    }

    /// Prepares queries, keys and values for attention. Adds the model's biases to queries, keys
    /// and values, applies the model's head norms and RoPE to queries and keys, and scales the
    /// queries.
    fn turn(
        &self,
        q: &mut Buffer,
        k: &mut Buffer,
        v: &mut Buffer,
        rope: &RopeTables,
        positions: &Positions,
    ) {
        let (family, dim) = (self.pool.family(), self.shape.kv.dim);
        let one = |token: usize, q: &mut [f32], k: &mut [f32], v: &mut [f32]| {
            let position = positions.of(token);
            for (row, bias) in [&mut *q, &mut *k, v]
                .into_iter()
                .zip(self.biases.iter().flatten())
            {
                row.iter_mut()
                    .zip(&bias.values)
                    .for_each(|(x, bias)| *x += bias);
            }
            for (row, norm) in [(&mut *q, &self.query_norm), (&mut *k, &self.key_norm)] {
                for head in row.chunks_exact_mut(dim) {
                    if let Some(norm) = norm {
                        math::rms_norm_in_place(family, head, &norm.weight.values, norm.eps);
                    }
                    rope.turn(head, position);
                }
            }
            if let Some(scale) = self.query_scale {
                q.iter_mut().for_each(|q| *q *= scale as f32);
            }
        };
        let (wide, narrow) = (q.width(), k.width());
        let rows = q.chunks_mut(wide * TURN).zip(k.chunks_mut(narrow * TURN));
        let rows = rows.zip(v.chunks_mut(narrow * TURN)).enumerate();
        let parts: Vec<_> = rows.collect();
        self.pool.each(parts, |(part, ((q, k), v))| {
            let rows = q
                .chunks_mut(wide)
                .zip(k.chunks_mut(narrow))
                .zip(v.chunks_mut(narrow));
            for (token, ((q, k), v)) in rows.enumerate() {
                one(part * TURN + token, q, k, v);
            }
        });
    }

    fn on_device(
        &mut self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        rope: &RopeTables,
        positions: &Positions,
    ) -> Computed<Tensor> {
        let (Positions::Sequence(position), KvCache::Device(keys, values)) =
            (positions, &mut self.kv_cache)
        else {
            candle_core::bail!("branches are supported on CPUs only")
        };
        let (shape, position) = (self.shape, *position);
        let tokens = q.dim(0)?;
        let mut parts = [q, k, v];
        if let Some(biases) = &self.biases {
            for (part, bias) in parts.iter_mut().zip(biases) {
                *part = part.broadcast_add(&bias.tensor)?;
            }
        }
        let [q, k, v] = parts;
        let by_head = |x: Tensor, heads: usize| x.reshape((tokens, heads, shape.kv.dim));
        let normed = |norm: &Option<Norm>, x: Tensor| match norm {
            Some(norm) => norm.tensor(&x),
            None => Ok(x),
        };
        let q = normed(&self.query_norm, by_head(q, shape.heads)?)?;
        let k = normed(&self.key_norm, by_head(k, shape.kv.count)?)?;
        let mut q = rope.apply(&q, position)?;
        if let Some(scale) = self.query_scale {
            q = (q * scale)?;
        }
        let keys = keys.write(&rope.apply(&k, position)?, position)?;
        let values = values.write(&by_head(v, shape.kv.count)?, position)?;
        let window = Some(shape.window).filter(|window| *window != usize::MAX);
        device::attend(&q, &keys, &values, position, window)
    }

    /// Returns the state of this layer in a new, empty branch.
    pub fn branch(&self) -> Option<BranchState> {
        match &self.kv_cache {
            KvCache::Host(kv) => Some(BranchState::Attention(kv.empty_like())),
            KvCache::Device(..) => None,
        }
    }

    /// Copies the keys and values of a branch's own tokens into the KV cache.
    pub fn adopt(&mut self, branch: &Branch, layer: usize) {
        if let (KvCache::Host(kv), BranchState::Attention(own)) =
            (&mut self.kv_cache, &branch.layers[layer])
        {
            kv.reserve(branch.position());
            (0..branch.len).for_each(|at| kv.copy(branch.shared + at, own, at));
        }
    }

    /// The KV cache, if it is on a CPU.
    pub fn kv(&self) -> Option<&KvBlocks> {
        match &self.kv_cache {
            KvCache::Host(kv) => Some(kv),
            KvCache::Device(..) => None,
        }
    }

    pub fn kv_mut(&mut self) -> Option<&mut KvBlocks> {
        match &mut self.kv_cache {
            KvCache::Host(kv) => Some(kv),
            KvCache::Device(..) => None,
        }
    }
}

//! One block of the Transformer: attention and feed-forward, each behind a norm.

use super::attention::attend;
use super::cache::Cache;
use super::config::{Activation, Config};
use super::rope::Tables;
use super::weights::{Linear, Weights, forward_many};
use crate::model::ModelError;
use crate::model::linear::Pool;
use candle_core::{Result as Computed, Tensor};
use std::sync::Arc;

/// RMSNorm (Zhang & Sennrich 2019) with its weight `[dim]`.
pub struct Norm {
    weight: Tensor,
    eps: f32,
}

pub struct Layer {
    attention_norm: Norm,
    projections: Projections,
    query_norm: Option<Norm>,
    key_norm: Option<Norm>,
    output: Linear,
    after_attention: Option<Norm>,
    feed_norm: Norm,
    feed: Feed,
    after_feed: Option<Norm>,
    cache: Cache,
    window: Option<usize>,
    shape: Shape,
    pool: Arc<Pool>,
}

#[derive(Clone, Copy)]
struct Shape {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    context: usize,
}

/// Queries, keys and values from one input: three matrices, or one that holds all.
enum Projections {
    Apart {
        weights: [Linear; 3],
        biases: Option<[Tensor; 3]>,
    },
    Fused(Linear),
}

/// Gate and up from one input, then down: three matrices, or gate and up in one.
struct Feed {
    gate: Option<Linear>,
    up: Linear,
    down: Linear,
    activation: Activation,
}

impl Norm {
    pub fn load(weights: &Weights, name: &str, eps: f32) -> Result<Norm, ModelError> {
        let weight = weights.vector(name)?;
        Ok(Norm { weight, eps })
    }

    pub fn forward(&self, x: &Tensor) -> Computed<Tensor> {
        candle_nn::ops::rms_norm(&x.contiguous()?, &self.weight, self.eps)
    }
}

impl Layer {
    pub fn load(weights: &Weights, config: &Config, index: usize) -> Result<Layer, ModelError> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        let norm = |part: &str| Norm::load(weights, &name(part), config.norm_eps);
        let some_norm = |part: &str| {
            let there = weights.has(&name(part));
            there.then(|| norm(part)).transpose()
        };
        let device = weights.device();
        Ok(Layer {
            attention_norm: norm("attn_norm")?,
            projections: Projections::load(weights, index)?,
            query_norm: some_norm("attn_q_norm")?,
            key_norm: some_norm("attn_k_norm")?,
            output: weights.linear(&name("attn_output"))?,
            after_attention: some_norm("post_attention_norm")?,
            feed_norm: norm("ffn_norm")?,
            feed: Feed::load(weights, index, config.activation)?,
            after_feed: some_norm("post_ffw_norm")?,
            cache: Cache::new(config.kv_heads, config.head_dim, config.context, device)?,
            window: config.windowed(index).map(|window| window.tokens),
            shape: Shape {
                heads: config.heads,
                kv_heads: config.kv_heads,
                head_dim: config.head_dim,
                context: config.context,
            },
            pool: weights.pool(),
        })
    }

    /// `x` `[tokens, hidden]`, whose first token stands at `position`, to the same shape.
    pub fn forward(&mut self, x: &Tensor, rope: &Tables, position: usize) -> Computed<Tensor> {
        let attended = self.attention(&self.attention_norm.forward(x)?, rope, position)?;
        let x = (x + after(&self.after_attention, attended)?)?;
        let fed = self.feed.forward(&self.feed_norm.forward(&x)?)?;
        &x + after(&self.after_feed, fed)?
    }

    fn attention(&mut self, x: &Tensor, rope: &Tables, position: usize) -> Computed<Tensor> {
        let shape = self.shape;
        let tokens = x.dim(0)?;
        let [q, k, v] = self.projections.forward(x, shape)?;
        let q = q.reshape((tokens, shape.heads, shape.head_dim))?;
        let k = k.reshape((tokens, shape.kv_heads, shape.head_dim))?;
        let v = v.reshape((tokens, shape.kv_heads, shape.head_dim))?;
        let q = rope.apply(&after(&self.query_norm, q)?, position)?;
        let k = rope.apply(&after(&self.key_norm, k)?, position)?;
        let (k, v) = self.cache.write(&k, &v, position, shape.context)?;
        let out = attend(&self.pool, &q, &k, &v, position, self.window)?;
        self.output.forward(&out)
    }
}

fn after(norm: &Option<Norm>, x: Tensor) -> Computed<Tensor> {
    match norm {
        Some(norm) => norm.forward(&x),
        None => Ok(x),
    }
}

impl Projections {
    fn load(weights: &Weights, index: usize) -> Result<Projections, ModelError> {
        let name = |part: &str, kind: &str| format!("blk.{index}.{part}.{kind}");
        if weights.has(&name("attn_qkv", "weight")) {
            return Ok(Projections::Fused(
                weights.linear(&name("attn_qkv", "weight"))?,
            ));
        }
        let linear = |part: &str| weights.linear(&name(part, "weight"));
        let bias = |part: &str| weights.vector(&name(part, "bias"));
        let biased = weights.has(&name("attn_q", "bias"));
        Ok(Projections::Apart {
            weights: [linear("attn_q")?, linear("attn_k")?, linear("attn_v")?],
            biases: match biased {
                true => Some([bias("attn_q")?, bias("attn_k")?, bias("attn_v")?]),
                false => None,
            },
        })
    }

    fn forward(&self, x: &Tensor, shape: Shape) -> Computed<[Tensor; 3]> {
        match self {
            Projections::Fused(weight) => {
                let all = weight.forward(x)?;
                let (q, kv) = (
                    shape.heads * shape.head_dim,
                    shape.kv_heads * shape.head_dim,
                );
                let part = |at, len| all.narrow(1, at, len)?.contiguous();
                Ok([part(0, q)?, part(q, kv)?, part(q + kv, kv)?])
            }
            Projections::Apart { weights, biases } => {
                let [q, k, v] = forward_many(weights.each_ref(), x)?;
                match biases {
                    None => Ok([q, k, v]),
                    Some([bq, bk, bv]) => Ok([
                        q.broadcast_add(bq)?,
                        k.broadcast_add(bk)?,
                        v.broadcast_add(bv)?,
                    ]),
                }
            }
        }
    }
}

impl Feed {
    fn load(weights: &Weights, index: usize, activation: Activation) -> Result<Feed, ModelError> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        let apart = weights.has(&name("ffn_gate"));
        Ok(Feed {
            gate: apart
                .then(|| weights.linear(&name("ffn_gate")))
                .transpose()?,
            up: weights.linear(&name("ffn_up"))?,
            down: weights.linear(&name("ffn_down"))?,
            activation,
        })
    }

    fn forward(&self, x: &Tensor) -> Computed<Tensor> {
        let [gate, up] = match &self.gate {
            Some(gate) => forward_many([gate, &self.up], x)?,
            None => {
                let both = self.up.forward(x)?;
                let half = both.dim(1)? / 2;
                [
                    both.narrow(1, 0, half)?.contiguous()?,
                    both.narrow(1, half, half)?.contiguous()?,
                ]
            }
        };
        let gate = match self.activation {
            Activation::Silu => gate.silu()?,
            Activation::Gelu => gate.gelu()?,
        };
        self.down.forward(&(gate * up)?)
    }
}

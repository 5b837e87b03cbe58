//! One block of the Transformer: attention (or a convolution) and feed-forward, each behind a norm.

use super::attention::attend;
use super::cache::Cache;
use super::config::Config;
use super::convolution::Convolution;
use super::feed::Feed;
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
    mix_norm: Norm,
    mixer: Mixer,
    after_mix: Option<Norm>,
    feed_norm: Norm,
    feed: Feed,
    after_feed: Option<Norm>,
}

/// How a token learns of the tokens before it.
enum Mixer {
    Attention(Box<Attention>),
    Convolution(Convolution),
}

struct Attention {
    projections: Projections,
    query_norm: Option<Norm>,
    key_norm: Option<Norm>,
    output: Linear,
    keys: Cache,
    values: Cache,
    window: Option<usize>,
    query_scale: Option<f64>,
    shape: Shape,
    pool: Arc<Pool>,
}

#[derive(Clone, Copy)]
struct Shape {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

/// Queries, keys and values from one input: three matrices, or one that holds all.
enum Projections {
    Apart {
        weights: [Linear; 3],
        biases: Option<[Tensor; 3]>,
    },
    Fused(Linear),
}

impl Norm {
    pub fn load(weights: &Weights, name: &str, eps: f32) -> Result<Norm, ModelError> {
        let weight = weights.vector(name)?;
        Ok(Norm { weight, eps })
    }

    /// The norm of this name, where the model has one.
    fn some(weights: &Weights, config: &Config, name: &str) -> Result<Option<Norm>, ModelError> {
        let there = weights.has(name);
        there
            .then(|| Norm::load(weights, name, config.norm_eps))
            .transpose()
    }

    pub fn forward(&self, x: &Tensor) -> Computed<Tensor> {
        candle_nn::ops::rms_norm(&x.contiguous()?, &self.weight, self.eps)
    }
}

impl Layer {
    pub fn load(weights: &Weights, config: &Config, index: usize) -> Result<Layer, ModelError> {
        let norm = |part: &str| Norm::some(weights, config, &format!("blk.{index}.{part}.weight"));
        let need = |part: &str| {
            let name = format!("blk.{index}.{part}.weight");
            Norm::load(weights, &name, config.norm_eps)
        };
        Ok(Layer {
            mix_norm: need("attn_norm")?,
            mixer: match Convolution::load(weights, config, index)? {
                Some(convolution) => Mixer::Convolution(convolution),
                None => Mixer::Attention(Box::new(Attention::load(weights, config, index)?)),
            },
            after_mix: norm("post_attention_norm")?,
            feed_norm: need("ffn_norm")?,
            feed: Feed::load(weights, config, index)?,
            after_feed: norm("post_ffw_norm")?,
        })
    }

    /// `x` `[tokens, hidden]`, whose first token stands at `position`, to the same shape.
    pub fn forward(&mut self, x: &Tensor, rope: &Tables, position: usize) -> Computed<Tensor> {
        let normed = self.mix_norm.forward(x)?;
        let mixed = match &mut self.mixer {
            Mixer::Attention(attention) => attention.forward(&normed, rope, position)?,
            Mixer::Convolution(convolution) => convolution.forward(&normed, position)?,
        };
        let x = (x + after(&self.after_mix, mixed)?)?;
        let fed = self.feed.forward(&self.feed_norm.forward(&x)?)?;
        &x + after(&self.after_feed, fed)?
    }
}

impl Attention {
    fn load(weights: &Weights, config: &Config, index: usize) -> Result<Attention, ModelError> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        let (parts, width) = (config.kv_heads, config.head_dim);
        let cache = || Cache::new(config.context, parts, width, weights.device());
        Ok(Attention {
            projections: Projections::load(weights, index)?,
            query_norm: Norm::some(weights, config, &name("attn_q_norm"))?,
            key_norm: Norm::some(weights, config, &name("attn_k_norm"))?,
            output: weights.linear(&name("attn_output"))?,
            keys: cache()?,
            values: cache()?,
            window: config.windowed(index).map(|window| window.tokens),
            query_scale: config.query_scale,
            shape: Shape {
                heads: config.heads,
                kv_heads: config.kv_heads,
                head_dim: config.head_dim,
            },
            pool: weights.pool(),
        })
    }

    fn forward(&mut self, x: &Tensor, rope: &Tables, position: usize) -> Computed<Tensor> {
        let shape = self.shape;
        let tokens = x.dim(0)?;
        let [q, k, v] = self.projections.forward(x, shape)?;
        let q = q.reshape((tokens, shape.heads, shape.head_dim))?;
        let k = k.reshape((tokens, shape.kv_heads, shape.head_dim))?;
        let v = v.reshape((tokens, shape.kv_heads, shape.head_dim))?;
        let mut q = rope.apply(&after(&self.query_norm, q)?, position)?;
        let k = rope.apply(&after(&self.key_norm, k)?, position)?;
        if let Some(scale) = self.query_scale {
            q = (q * scale)?;
        }
        let keys = self.keys.write(&k, position)?;
        let values = self.values.write(&v, position)?;
        let out = attend(&self.pool, &q, &keys, &values, position, self.window)?;
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

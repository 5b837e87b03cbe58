//! The Transformer as differentiable tensor operations, for training. It processes whole sequences
//! in batches, with float weights and without a KV cache, and computes the same logits as
//! [`super::Transformer`].

use super::attention::device::mask;
use super::config::{Activation, Config};
use super::rope::RopeTables;
use super::weights::{EMBEDDING, Weights};
use crate::error::ModelError;
use crate::families::RopeLayout;
use crate::gguf::Gguf;
use crate::text_model::Placement;
use candle_core::{D, Device, Result as Computed, Tensor};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A text model whose weights are frozen, with a forward pass through which gradients can be
/// computed.
///
/// Models with mixtures of experts or convolutions are not supported.
pub struct Trainable {
    config: Config,
    device: Device,
    /// The name of the matrix that maps the last layer's output to logits.
    head: &'static str,
    /// The weights by their GGUF name. Matrices are `[out, in]`; norms and biases are `[dim]`.
    weights: BTreeMap<String, Tensor>,
    divisors: Option<Vec<f32>>,
}

/// An adapter, which changes the products of the model's matrices.
pub trait Adapt {
    /// Returns the product to use instead of `product`. `matrix` is the GGUF name of the matrix,
    /// `x` is its input, `[batch, seq, in]`, and `product` is the unchanged product, `[batch, seq,
    /// out]`.
    fn adapt(&self, matrix: &str, x: &Tensor, product: Tensor) -> Computed<Tensor>;
}

/// The adapter that changes nothing.
pub struct Unadapted;

impl Adapt for Unadapted {
    fn adapt(&self, _: &str, _: &Tensor, product: Tensor) -> Computed<Tensor> {
        Ok(product)
    }
}

/// The names of the parts of a layer that [`Layer::forward`] uses.
const PARTS: [&str; 13] = [
    "attn_norm",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_q_norm",
    "attn_k_norm",
    "attn_output",
    "post_attention_norm",
    "ffn_norm",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
    "post_ffw_norm",
];

/// The tensors in which some families combine several matrices. Each row contains the tensor's name
/// and the names of the matrices.
const STACKED: [(&str, &[&str]); 2] = [
    ("attn_qkv", &["attn_q", "attn_k", "attn_v"]),
    ("ffn_up", &["ffn_gate", "ffn_up"]),
];

impl Trainable {
    /// Loads the weights of a file and dequantizes them.
    pub fn load(gguf: Arc<Gguf>, device: &Device) -> Result<Trainable, ModelError> {
        let config = Config::from_gguf(&gguf)?;
        let placement = Placement {
            force_candle: true,
            ..Placement::new(device.clone(), 1)
        };
        let file = Weights::new(gguf.clone(), &placement)?;
        let mut weights = BTreeMap::new();
        for name in gguf.tensor_names() {
            let tensor = match file.rank(name) {
                1 => file.vector(name)?.tensor,
                2 => file.matrix(name)?,
                _ => return Err(unsupported(name)),
            };
            weights.insert(name.to_string(), tensor);
        }
        let head = match file.has("output.weight") {
            true => "output.weight",
            false => EMBEDDING,
        };
        let mut model = Trainable {
            divisors: file.rope_divisors(&config),
            config,
            device: device.clone(),
            head,
            weights,
        };
        for layer in 0..model.config.layers {
            model.unstack(layer)?;
        }
        model.check_all_used()?;
        Ok(model)
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the GGUF name and the shape, `[out, in]`, of each matrix in the layers.
    pub fn matrices(&self) -> impl Iterator<Item = (&str, (usize, usize))> {
        let shape = |weight: &Tensor| weight.dims2().ok();
        let all = self
            .weights
            .iter()
            .filter(|(name, _)| name.starts_with("blk."));
        all.filter_map(move |(name, weight)| Some((name.as_str(), shape(weight)?)))
    }

    /// Computes the logits, `[batch, seq, vocab]`, for `tokens`, which are `[batch, seq]`.
    pub fn forward(&self, tokens: &Tensor, adapter: &dyn Adapt) -> Computed<Tensor> {
        let (batch, seq) = tokens.dims2()?;
        let config = &self.config;
        let embedding = self.weight(EMBEDDING)?;
        let mut x = embedding
            .index_select(&tokens.flatten_all()?, 0)?
            .reshape((batch, seq, config.hidden))?;
        if let Some(scale) = config.embedding_scale {
            x = (x * scale)?;
        }
        let mut rope = RopeTables::new(
            &config.rope,
            config.rope.base,
            self.divisors.clone(),
            &self.device,
            false,
        )?;
        rope.grow(seq)?;
        let mut local = RopeTables::local(config, &self.device, false).transpose()?;
        if let Some(local) = &mut local {
            local.grow(seq)?;
        }
        for index in 0..config.layers {
            let windowed = config.window_of_layer(index);
            let layer = Layer {
                model: self,
                adapter,
                index,
                rope: local
                    .as_ref()
                    .filter(|_| windowed.is_some())
                    .unwrap_or(&rope),
                window: windowed.map(|window| window.tokens),
            };
            x = layer.forward(x)?;
        }
        let x = self.norm(config.output_norm, &x)?;
        product(&x, self.weight(self.head)?)
    }

    /// Returns an error if a layer contains a tensor that the forward pass does not use.
    fn check_all_used(&self) -> Result<(), ModelError> {
        let used = |name: &str| {
            let part = name.split('.').nth(2).unwrap_or_default();
            !name.starts_with("blk.") || PARTS.contains(&part)
        };
        match self.weights.keys().find(|name| !used(name)) {
            Some(name) => Err(unsupported(name)),
            None => Ok(()),
        }
    }

    /// Splits the combined tensors of a layer into the matrices that they contain.
    fn unstack(&mut self, layer: usize) -> Result<(), ModelError> {
        let (heads, kv_heads) = (self.config.heads, self.config.kv_heads);
        for (stacked, parts) in STACKED {
            let names = parts.iter().map(|part| part_name(layer, part));
            let names: Vec<String> = names.collect();
            let stacked = part_name(layer, stacked);
            let whole = match self.weights.get(&stacked) {
                Some(whole) if !self.has(&names[0]) => whole.clone(),
                _ => continue,
            };
            let shares = match names.len() {
                3 => [heads, kv_heads, kv_heads].to_vec(),
                parts => vec![1; parts],
            };
            let unit = whole.dim(0)? / shares.iter().sum::<usize>();
            self.weights.remove(&stacked);
            let mut from = 0;
            for (name, share) in names.into_iter().zip(shares) {
                let rows = whole.narrow(0, from, share * unit)?.contiguous()?;
                self.weights.insert(name, rows);
                from += share * unit;
            }
        }
        Ok(())
    }

    fn has(&self, name: &str) -> bool {
        self.weights.contains_key(name)
    }

    fn weight(&self, name: &str) -> Computed<&Tensor> {
        let found = self.weights.get(name);
        found.ok_or_else(|| candle_core::Error::Msg(format!("the file has no {name}")).bt())
    }

    /// Computes the RMSNorm over the last dimension, using only differentiable operations.
    fn norm(&self, name: &str, x: &Tensor) -> Computed<Tensor> {
        let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
        let root = (mean + f64::from(self.config.norm_eps))?.sqrt()?;
        x.broadcast_div(&root)?.broadcast_mul(self.weight(name)?)
    }
}

/// One layer of the model, with everything that its forward pass needs.
struct Layer<'a> {
    model: &'a Trainable,
    adapter: &'a dyn Adapt,
    index: usize,
    rope: &'a RopeTables,
    window: Option<usize>,
}

impl Layer<'_> {
    fn forward(&self, x: Tensor) -> Computed<Tensor> {
        let attended = self.attention(&self.norm("attn_norm", &x)?)?;
        let x = (x + self.optional_norm("post_attention_norm", attended)?)?;
        let fed = self.feed_forward(&self.norm("ffn_norm", &x)?)?;
        x + self.optional_norm("post_ffw_norm", fed)?
    }

    fn attention(&self, x: &Tensor) -> Computed<Tensor> {
        let config = &self.model.config;
        let (batch, seq, _) = x.dims3()?;
        let (heads, kv_heads, dim) = (config.heads, config.kv_heads, config.head_dim);
        let by_head = |part: &str, heads: usize| -> Computed<Tensor> {
            let rows = self.product(part, x)?.reshape((batch, seq, heads, dim))?;
            rows.transpose(1, 2)
        };
        let turned = |part: &str, norm: &str, heads: usize| -> Computed<Tensor> {
            let rows = self.optional_norm(norm, by_head(part, heads)?)?;
            rotate(&rows, self.rope, config)
        };
        let q = turned("attn_q", "attn_q_norm", heads)?;
        let k = turned("attn_k", "attn_k_norm", kv_heads)?;
        let v = by_head("attn_v", kv_heads)?;
        let scale = config.query_scale.unwrap_or(1.0) / (dim as f64).sqrt();
        let group = heads / kv_heads;
        let q = (q * scale)?.reshape((batch, kv_heads, group * seq, dim))?;
        let scores = q.matmul(&k.transpose(2, 3)?.contiguous()?)?;
        let scores = scores.reshape((batch, kv_heads, group, seq, seq))?;
        let mask = mask(seq, 0, self.window, x.device())?;
        let shares = candle_nn::ops::softmax(&scores.broadcast_add(&mask)?, D::Minus1)?;
        let shares = shares.reshape((batch, kv_heads, group * seq, seq))?;
        let out = shares.matmul(&v.contiguous()?)?;
        let out = out.reshape((batch, heads, seq, dim))?.transpose(1, 2)?;
        self.product("attn_output", &out.reshape((batch, seq, heads * dim))?)
    }

    fn feed_forward(&self, x: &Tensor) -> Computed<Tensor> {
        let gate = self.product("ffn_gate", x)?;
        let gate = match self.model.config.activation {
            Activation::Silu => gate.silu()?,
            Activation::Gelu => gate.gelu()?,
        };
        self.product("ffn_down", &(gate * self.product("ffn_up", x)?)?)
    }

    /// Multiplies `x` by the matrix `part` of this layer, and adds the matrix's bias if the model
    /// has one.
    fn product(&self, part: &str, x: &Tensor) -> Computed<Tensor> {
        let name = part_name(self.index, part);
        let done = product(x, self.model.weight(&name)?)?;
        let done = self.adapter.adapt(&name, x, done)?;
        match self
            .model
            .weights
            .get(&format!("blk.{}.{part}.bias", self.index))
        {
            Some(bias) => done.broadcast_add(bias),
            None => Ok(done),
        }
    }

    fn norm(&self, part: &str, x: &Tensor) -> Computed<Tensor> {
        self.model.norm(&part_name(self.index, part), x)
    }

    fn optional_norm(&self, part: &str, x: Tensor) -> Computed<Tensor> {
        match self.model.has(&part_name(self.index, part)) {
            true => self.norm(part, &x),
            false => Ok(x),
        }
    }
}

fn part_name(layer: usize, part: &str) -> String {
    format!("blk.{layer}.{part}.weight")
}

fn unsupported(tensor: &str) -> ModelError {
    ModelError::Unsupported(base::untrusted::clean_key(tensor))
}

/// Multiplies `x`, which is `[batch, seq, in]`, by the transpose of `weight`, which is `[out, in]`.
fn product(x: &Tensor, weight: &Tensor) -> Computed<Tensor> {
    let (batch, seq, width) = x.dims3()?;
    let rows = x.reshape((batch * seq, width))?.matmul(&weight.t()?)?;
    rows.reshape((batch, seq, weight.dim(0)?))
}

/// Applies RoPE to `x`, which is `[batch, heads, seq, head_dim]`.
fn rotate(x: &Tensor, rope: &RopeTables, config: &Config) -> Computed<Tensor> {
    let (batch, heads, seq, head_dim) = x.dims4()?;
    let (dim, half) = (config.rope.dim, config.rope.dim / 2);
    let (cos, sin) = rope.tensors(seq)?;
    let (first, second) = match config.rope.layout {
        RopeLayout::HalfSplit => (x.narrow(3, 0, half)?, x.narrow(3, half, half)?),
        RopeLayout::Interleaved => {
            let pairs = x.narrow(3, 0, dim)?.contiguous()?;
            let pairs = pairs.reshape((batch, heads, seq, half, 2))?;
            let side = |at| pairs.narrow(4, at, 1)?.squeeze(4);
            (side(0)?, side(1)?)
        }
    };
    let left = (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?;
    let right = (first.broadcast_mul(&sin)? + second.broadcast_mul(&cos)?)?;
    let turned = match config.rope.layout {
        RopeLayout::HalfSplit => Tensor::cat(&[left, right], 3)?,
        RopeLayout::Interleaved => {
            let pairs = Tensor::stack(&[left, right], 4)?;
            pairs.reshape((batch, heads, seq, dim))?
        }
    };
    match dim < head_dim {
        true => Tensor::cat(&[turned, x.narrow(3, dim, head_dim - dim)?], 3),
        false => turned.contiguous(),
    }
}

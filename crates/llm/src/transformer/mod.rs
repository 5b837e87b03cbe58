//! A decoder-only Transformer from a GGUF file of any family.
//!
//! [`Config`] holds the differences between families; `linear` does the multiplying. This module
//! handles neither text nor sampling: tokens in, logits out.

mod attention;
pub mod config;
mod convolution;
mod feed_forward;
mod layer;
mod linear;
mod matrix;
mod norm;
mod rope;
mod snapshot;
mod tensor_cache;
mod top_k;
pub mod trainable;
mod weights;

pub use config::Config;

use crate::branch::{Branch, Place, Positions};
use crate::error::ModelError;
use crate::gguf::Gguf;
use crate::text_model::{Logits, Placement, TextModel};
use layer::Layer;
use linear::{Input, Linear};
use matrix::Matrix;
use norm::Norm;
use rope::RopeTables;
use std::sync::Arc;
use weights::Weights;

pub struct Transformer {
    config: Config,
    weights: Weights,
    layers: Vec<Layer>,
    rope: RopeTables,
    /// The RoPE tables for layers with a sliding window, if those layers have a different RoPE
    /// base.
    local_rope: Option<RopeTables>,
    norm: Norm,
    head: Linear,
    /// The number of tokens in the KV cache.
    len: usize,
}

impl Transformer {
    pub fn load(gguf: Arc<Gguf>, placement: &Placement) -> Result<Transformer, ModelError> {
        let config = Config::from_gguf(&gguf)?;
        let weights = Weights::new(gguf, placement)?;
        let divisors = weights.rope_divisors(&config);
        let (device, on_host) = (weights.device(), weights.on_host());
        let rope = RopeTables::new(&config.rope, config.rope.base, divisors, device, on_host)?;
        let local_rope = RopeTables::local(&config, device, on_host);
        // Small models use the embedding as the output matrix. This is the largest matrix and is
        // loaded first, so that its file pages are never in memory together with all the other
        // packed weights.
        let head = match weights.has("output.weight") {
            true => "output.weight",
            false => "token_embd.weight",
        };
        let head = weights.linear(head)?;
        let layers = (0..config.layers).map(|index| Layer::load(&weights, &config, index));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let norm = weights.norm(config.output_norm, config.hidden, config.norm_eps)?;
        weights.check_all_loaded(config.layers)?;
        Ok(Transformer {
            layers,
            rope,
            local_rope: local_rope.transpose()?,
            norm,
            head,
            len: 0,
            weights,
            config,
        })
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the output of the last layer, `[tokens, hidden]`. Calls `stop` before each layer. If
    /// `stop` returns true, this function returns `None` and leaves the KV cache unchanged.
    fn hidden(
        &mut self,
        tokens: &[u32],
        positions: &mut Positions,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Matrix>, ModelError> {
        let last = (0..tokens.len()).map(|index| positions.of(index)).max();
        let end = last.unwrap_or_default() + 1;
        self.rope.grow(end)?;
        if let Some(local) = &mut self.local_rope {
            local.grow(end)?;
        }
        let mut x = self.weights.embed(tokens)?;
        if let Some(scale) = self.config.embedding_scale {
            x = x.times(scale)?;
        }
        for (index, layer) in self.layers.iter_mut().enumerate() {
            if stop() {
                return Ok(None);
            }
            let windowed = self.config.window_of_layer(index).is_some();
            let rope = self
                .local_rope
                .as_ref()
                .filter(|_| windowed)
                .unwrap_or(&self.rope);
            x = layer.forward(x, rope, positions, index)?;
        }
        Ok(Some(x))
    }

    /// Computes the logits of the rows `x`, `[rows, vocabulary]`, as a flat list.
    fn logits(&self, x: &Matrix) -> Result<Vec<f32>, ModelError> {
        let [logits] = Linear::forward_many([&self.head], Input::Normed(x, &self.norm))?;
        Ok(logits.into_vec()?)
    }
}

impl Transformer {
    /// Computes the logits of a row for a caller that needs only the `count` highest.
    fn top_k_logits(&self, x: &Matrix, count: usize) -> Result<Vec<f32>, ModelError> {
        let [logits] = Linear::forward_many([&self.head], Input::Normed(x, &self.norm))?;
        if let Matrix::Device(logits) = &logits
            && let Some(row) = top_k::top_k(logits, count)?
        {
            return Ok(row);
        }
        Ok(logits.into_vec()?)
    }
}

impl TextModel for Transformer {
    fn kernel_family(&self) -> String {
        self.weights.kernel_family()
    }

    fn context(&self) -> usize {
        self.config.context
    }

    fn vocabulary(&self) -> usize {
        self.config.vocabulary
    }

    fn len(&self) -> usize {
        self.len
    }

    fn rewind(&mut self, keep: usize) {
        self.len = self.len.min(keep);
    }

    fn forward(
        &mut self,
        tokens: &[u32],
        logits: Logits,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        if tokens.is_empty() || self.len + tokens.len() > self.config.context {
            return Err(ModelError::ContextFull(self.config.context));
        }
        let Some(x) = self.hidden(tokens, &mut Positions::Sequence(self.len), stop)? else {
            return Ok(None);
        };
        self.len += tokens.len();
        match logits {
            Logits::Skip => Ok(Some(Vec::new())),
            Logits::Last => Ok(Some(self.logits(&x.last()?)?)),
            Logits::All => Ok(Some(self.logits(&x)?)),
            Logits::TopK(count) => Ok(Some(self.top_k_logits(&x.last()?, count)?)),
        }
    }

    fn save(&self, from: usize, to: usize, model: &str) -> Option<Vec<u8>> {
        self.snapshot(from, to, model)
    }

    fn restore(&mut self, bytes: &[u8], model: &str) -> Result<(), ModelError> {
        self.restore_snapshot(bytes, model)
    }

    fn is_batch_invariant(&self) -> bool {
        self.weights.exact()
    }

    fn branch(&self, shared: usize) -> Option<Branch> {
        if shared > self.len {
            return None;
        }
        let layers = self.layers.iter().map(Layer::branch);
        Some(Branch {
            shared,
            len: 0,
            layers: layers.collect::<Option<_>>()?,
        })
    }

    fn forward_branches(
        &mut self,
        branches: &mut [Branch],
        tokens: &[&[u32]],
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        let empty = tokens.iter().any(|tokens| tokens.is_empty());
        let discarded = branches.iter().any(|one| one.shared > self.len);
        if branches.len() != tokens.len() || empty || discarded {
            return Err(ModelError::Compute(
                "the branch belongs to a discarded cache".into(),
            ));
        }
        let (mut places, mut last) = (Vec::new(), Vec::new());
        for (index, (branch, tokens)) in branches.iter().zip(tokens).enumerate() {
            let (from, to) = (branch.position(), branch.position() + tokens.len());
            if to > self.config.context {
                return Err(ModelError::ContextFull(self.config.context));
            }
            places.extend((from..to).map(|position| Place {
                branch: index,
                position,
            }));
            last.push(places.len() - 1);
        }
        let all = tokens.concat();
        let Some(x) = self.hidden(&all, &mut Positions::Branches(branches, &places), stop)? else {
            return Ok(None);
        };
        for (branch, tokens) in branches.iter_mut().zip(tokens) {
            branch.len += tokens.len();
        }
        Ok(Some(self.logits(&x.select(&last)?)?))
    }

    fn adopt(&mut self, branch: &Branch) {
        if branch.shared > self.len || branch.layers.len() != self.layers.len() {
            return;
        }
        for (index, layer) in self.layers.iter_mut().enumerate() {
            layer.adopt(branch, index);
        }
        self.len = branch.position();
    }
}

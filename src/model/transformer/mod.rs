//! A decoder-only Transformer from a GGUF file, whatever its family.
//!
//! What a family is lies in [`Config`]; how fast a matrix is multiplied lies in [`weights`]. This
//! module knows neither words nor sampling: tokens in, logits out.

mod attention;
mod cache;
pub mod config;
mod convolution;
mod feed;
pub(in crate::model) mod fused;
mod layer;
mod rope;
mod weights;

pub use config::Config;

use super::gguf::Gguf;
use super::{ModelError, Rows, TextModel};
use candle_core::{Device, Tensor};
use layer::{Layer, Norm};
use rope::Tables;
use std::sync::Arc;
use weights::{Linear, Weights};

pub struct Transformer {
    config: Config,
    weights: Weights,
    layers: Vec<Layer>,
    rope: Tables,
    /// For layers with a window, where their base differs.
    local_rope: Option<Tables>,
    norm: Norm,
    head: Linear,
    /// How many tokens the cache holds.
    len: usize,
}

impl Transformer {
    pub fn load(
        gguf: Arc<Gguf>,
        device: &Device,
        threads: usize,
    ) -> Result<Transformer, ModelError> {
        let config = Config::read(&gguf)?;
        let weights = Weights::new(gguf, device, threads)?;
        let divisors = weights.rope_divisors(&config);
        let rope = Tables::new(&config.rope, config.rope.base, divisors, device)?;
        let local = config.window.as_ref().and_then(|window| window.rope_base);
        let local_rope = local.map(|base| {
            let plain = config::Rope {
                factor: 1.0,
                magnitude: 1.0,
                ..config.rope.clone()
            };
            Tables::new(&plain, base, None, device)
        });
        let layers = (0..config.layers).map(|index| Layer::load(&weights, &config, index));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        // LFM2's converter gave the last norm another name.
        let norm = match weights.has("output_norm.weight") {
            true => "output_norm.weight",
            false => "token_embd_norm.weight",
        };
        // Small models write with the matrix they read with.
        let head = match weights.has("output.weight") {
            true => "output.weight",
            false => "token_embd.weight",
        };
        Ok(Transformer {
            layers,
            rope,
            local_rope: local_rope.transpose()?,
            norm: Norm::load(&weights, norm, config.norm_eps)?,
            head: weights.linear(head)?,
            len: 0,
            weights,
            config,
        })
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Runs the layers; None when `stop` said so in between, which leaves the cache as it was.
    fn hidden(
        &mut self,
        tokens: &[u32],
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Tensor>, ModelError> {
        let end = self.len + tokens.len();
        self.rope.grow(end)?;
        if let Some(local) = &mut self.local_rope {
            local.grow(end)?;
        }
        let mut x = self.weights.embed(tokens)?;
        if let Some(scale) = self.config.embedding_scale {
            x = (x * scale)?;
        }
        for (index, layer) in self.layers.iter_mut().enumerate() {
            if stop() {
                return Ok(None);
            }
            let windowed = self.config.windowed(index).is_some();
            let rope = self
                .local_rope
                .as_ref()
                .filter(|_| windowed)
                .unwrap_or(&self.rope);
            x = layer.forward(&x, rope, self.len)?;
        }
        self.len = end;
        Ok(Some(x))
    }
}

impl TextModel for Transformer {
    fn kernels(&self) -> String {
        self.weights.kernels()
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

    fn feed(
        &mut self,
        tokens: &[u32],
        rows: Rows,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        if tokens.is_empty() || self.len + tokens.len() > self.config.context {
            return Err(ModelError::ContextFull(self.config.context));
        }
        let Some(x) = self.hidden(tokens, stop)? else {
            return Ok(None);
        };
        let x = match rows {
            Rows::None => return Ok(Some(Vec::new())),
            Rows::Last => x.narrow(0, tokens.len() - 1, 1)?,
            Rows::All => x,
        };
        let logits = self.head.forward(&self.norm.forward(&x)?)?;
        Ok(Some(logits.flatten_all()?.to_vec1()?))
    }
}

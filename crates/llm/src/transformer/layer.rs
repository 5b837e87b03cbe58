//! One layer of the Transformer: attention (or a convolution) and then a feed-forward network, each
//! preceded by a norm.

use super::attention::Attention;
use super::config::Config;
use super::convolution::Convolution;
use super::feed_forward::FeedForward;
use super::matrix::Matrix;
use super::norm::Norm;
use super::rope::RopeTables;
use super::weights::Weights;
use crate::branch::{Branch, BranchState, Positions};
use crate::error::ModelError;
use candle_core::Result as Computed;

pub struct Layer {
    mixer_norm: Norm,
    pub mixer: Mixer,
    post_mixer_norm: Option<Norm>,
    ffn_norm: Norm,
    feed_forward: FeedForward,
    post_ffn_norm: Option<Norm>,
}

/// The part of a layer that makes a token's row depend on the rows of earlier tokens.
pub enum Mixer {
    Attention(Box<Attention>),
    Convolution(Convolution),
}

impl Layer {
    pub fn load(weights: &Weights, config: &Config, index: usize) -> Result<Layer, ModelError> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        let need = |part: &str| weights.norm(&name(part), config.hidden, config.norm_eps);
        let norm = |part: &str| weights.optional_norm(&name(part), config.hidden, config.norm_eps);
        Ok(Layer {
            mixer_norm: need("attn_norm")?,
            mixer: match Convolution::load(weights, config, index)? {
                Some(convolution) => Mixer::Convolution(convolution),
                None => Mixer::Attention(Box::new(Attention::load(weights, config, index)?)),
            },
            post_mixer_norm: norm("post_attention_norm")?,
            ffn_norm: need("ffn_norm")?,
            feed_forward: FeedForward::load(weights, config, index)?,
            post_ffn_norm: norm("post_ffw_norm")?,
        })
    }

    /// Computes the output of this layer for `x`. Input and output are `[tokens, hidden]`; `layer`
    /// is the index of this layer.
    pub fn forward(
        &mut self,
        x: Matrix,
        rope: &RopeTables,
        positions: &mut Positions,
        layer: usize,
    ) -> Computed<Matrix> {
        let (norm, after) = (&self.mixer_norm, self.post_mixer_norm.as_ref());
        let x = match &mut self.mixer {
            Mixer::Attention(attention) => {
                attention.forward(x, norm, after, rope, positions, layer)?
            }
            Mixer::Convolution(convolution) => {
                convolution.forward(x, norm, after, positions, layer)?
            }
        };
        self.feed_forward
            .forward(x, &self.ffn_norm, self.post_ffn_norm.as_ref())
    }

    /// Returns the state of this layer in a new, empty branch. Returns `None` if the layer does not
    /// support branches.
    pub fn branch(&self) -> Option<BranchState> {
        match &self.mixer {
            Mixer::Attention(attention) => attention.branch(),
            Mixer::Convolution(convolution) => convolution.branch(),
        }
    }

    /// Copies the state of a branch's own tokens into the layer's cache.
    pub fn adopt(&mut self, branch: &Branch, layer: usize) {
        match &mut self.mixer {
            Mixer::Attention(attention) => attention.adopt(branch, layer),
            Mixer::Convolution(convolution) => convolution.adopt(branch, layer),
        }
    }
}

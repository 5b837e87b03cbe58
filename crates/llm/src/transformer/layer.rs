//! One block of the Transformer: attention (or a convolution) and feed-forward, each behind a norm.

use super::attention::Attention;
use super::branch::{At, Branch, Own};
use super::config::Config;
use super::convolution::Convolution;
use super::feed::Feed;
use super::matrix::Matrix;
use super::norm::Norm;
use super::rope::Tables;
use super::weights::Weights;
use crate::ModelError;
use candle_core::Result as Computed;

pub struct Layer {
    mix_norm: Norm,
    pub mixer: Mixer,
    after_mix: Option<Norm>,
    feed_norm: Norm,
    feed: Feed,
    after_feed: Option<Norm>,
}

/// How a token learns of the tokens before it.
pub enum Mixer {
    Attention(Box<Attention>),
    Convolution(Convolution),
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

    /// `x` `[tokens, hidden]` to the same shape; `place` is where the tokens stand, and which
    /// layer this is.
    pub fn forward(
        &mut self,
        x: Matrix,
        rope: &Tables,
        place: (&mut At, usize),
    ) -> Computed<Matrix> {
        let (norm, after) = (&self.mix_norm, self.after_mix.as_ref());
        let x = match &mut self.mixer {
            Mixer::Attention(attention) => attention.forward(x, norm, after, rope, place)?,
            Mixer::Convolution(convolution) => convolution.forward(x, norm, after, place)?,
        };
        self.feed
            .forward(x, &self.feed_norm, self.after_feed.as_ref())
    }

    /// What a branch remembers of its own tokens here: nothing yet. None where there are none.
    pub fn branch(&self) -> Option<Own> {
        match &self.mixer {
            Mixer::Attention(attention) => attention.branch(),
            Mixer::Convolution(convolution) => convolution.branch(),
        }
    }

    /// Takes over what a branch has read.
    pub fn adopt(&mut self, branch: &Branch, layer: usize) {
        match &mut self.mixer {
            Mixer::Attention(attention) => attention.adopt(branch, layer),
            Mixer::Convolution(convolution) => convolution.adopt(branch, layer),
        }
    }
}

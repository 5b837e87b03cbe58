//! The encoder, which turns pictures into tokens. It is the first half of the autoencoder.

use super::config::{CHANNELS, Config, GRID, TOKENS};
use super::layers::{Block, Dropout, layer_norm};
use super::patches::patchify;
use super::weights::{Linear, Weights, normal};
use candle_core::{Result, Tensor};

/// The encoder's network: it cuts pictures into patches of 8 by 8 pixels, and passes the patches
/// through a stack of Transformer blocks.
pub struct Encoder {
    patch: Linear,
    position: Tensor,
    blocks: Vec<Block>,
    out: Linear,
}

impl Encoder {
    pub fn new(weights: &Weights, config: &Config) -> Result<Encoder> {
        Encoder::with_depth(weights, config, config.codes_per_token())
    }

    /// Creates an encoder with `depth` outputs for each of the 64 patches.
    pub fn with_depth(weights: &Weights, config: &Config, depth: usize) -> Result<Encoder> {
        let stack = config.encoder;
        let side = config.size / GRID;
        let block = |at: usize| {
            let weights = weights.pp("block").pp(at);
            Block::new(&weights, stack.width, stack.heads, None)
        };
        let patch = side * side * CHANNELS;
        Ok(Encoder {
            patch: Linear::new(&weights.pp("patch"), patch, stack.width)?,
            position: weights.get(&[TOKENS, stack.width], "position", normal(0.1))?,
            blocks: (0..stack.blocks).map(block).collect::<Result<_>>()?,
            out: Linear::new(&weights.pp("out"), stack.width, depth)?,
        })
    }

    /// Maps pictures `[batch, 4, size, size]`, with premultiplied values from -1 to 1, to values
    /// `[batch, 64, depth]` that are not yet quantized.
    pub fn forward(&self, pictures: &Tensor) -> Result<Tensor> {
        let x = self
            .patch
            .forward(&patchify(pictures, pictures.dim(2)? / GRID)?)?;
        let mut x = x.broadcast_add(&self.position)?;
        for block in &self.blocks {
            x = block.forward(&x, &block.modulation(None)?, &Dropout::None)?;
        }
        self.out.forward(&layer_norm(&x)?)
    }
}

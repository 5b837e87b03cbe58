//! The decoder, which turns tokens and conditioning into pixels. It is called the generator when it
//! is trained against a discriminator. It is the second half of the autoencoder.

use super::conditioning::{ConditionEncoder, Conditioning};
use super::config::{CHANNELS, Config, GRID, TOKENS};
use super::layers::{Block, Dropout, layer_norm, leaky_relu};
use super::patches::{pixel_shuffle, split, unpatchify, unwindows, windows};
use super::weights::{Conv, Linear, Weights, normal};
use candle_core::{Result, Tensor};

/// The decoder's network. One stack of Transformer blocks processes the 64 tokens. A second stack
/// processes the 2 by 2 parts of each token, separately in each quarter of the picture.
/// Convolutions follow at half and at full size.
pub struct Generator {
    condition: ConditionEncoder,
    into: Linear,
    position: Tensor,
    blocks: Vec<Block>,
    split: Linear,
    fine_position: Tensor,
    fine: Vec<Block>,
    pixels: Linear,
    conv: [Conv; 4],
    widen: Conv,
    mid: usize,
}

impl Generator {
    pub fn new(weights: &Weights, config: &Config) -> Result<Generator> {
        Generator::with_depth(weights, config, config.codes_per_token())
    }

    /// Creates a generator with `depth` inputs for each of the 64 tokens.
    pub fn with_depth(weights: &Weights, config: &Config, depth: usize) -> Result<Generator> {
        let super::config::Generator {
            coarse,
            fine,
            mid,
            last,
        } = config.generator;
        let condition = Some(config.condition);
        let block = |at: usize| {
            let weights = weights.pp("block").pp(at);
            Block::new(&weights, coarse.width, coarse.heads, condition)
        };
        let fine_block = |at: usize| {
            let weights = weights.pp("fine").pp(at);
            Block::new(&weights, fine.width, fine.heads, condition)
        };
        let pp = |name: &str| weights.pp(name);
        Ok(Generator {
            condition: ConditionEncoder::new(
                &pp("condition"),
                config.text,
                config.styles.len(),
                config.condition,
            )?,
            into: Linear::new(&pp("in_"), depth, coarse.width)?,
            position: weights.get(&[TOKENS, coarse.width], "position", normal(0.3))?,
            blocks: (0..coarse.blocks).map(block).collect::<Result<_>>()?,
            split: Linear::new(&pp("split"), coarse.width, 4 * fine.width)?,
            fine_position: weights.get(&[4 * TOKENS, fine.width], "fine_position", normal(0.3))?,
            fine: (0..fine.blocks).map(fine_block).collect::<Result<_>>()?,
            pixels: Linear::new(&pp("pixels"), fine.width, 4 * mid)?,
            conv: [
                Conv::new(&pp("conv1"), mid, mid, 3)?,
                Conv::new(&pp("conv2"), mid, mid, 3)?,
                Conv::new(&pp("conv3"), last, last, 3)?,
                Conv::new(&pp("conv4"), last, CHANNELS, 3)?,
            ],
            widen: Conv::new(&pp("widen"), mid, 4 * last, 1)?,
            mid,
        })
    }

    /// The null text embedding `[width of text]`, which is used if there is no prompt.
    pub fn null_text(&self) -> &Tensor {
        self.condition.null_text()
    }

    /// Maps quantized values `[batch, 64, codes]` to pictures `[batch, 4, 64, 64]` with
    /// premultiplied values from -1 to 1.
    pub fn forward(&self, values: &Tensor, conditioning: &Conditioning) -> Result<Tensor> {
        self.forward_conditioned(values, &self.condition(conditioning)?)
    }

    /// Computes the condition vectors, `[batch, condition]`.
    pub fn condition(&self, conditioning: &Conditioning) -> Result<Tensor> {
        self.condition.forward(conditioning)
    }

    /// Like [`Generator::forward`], but takes values `[batch, 64, depth]`, and condition vectors
    /// that [`Generator::condition`] returned.
    pub fn forward_conditioned(&self, values: &Tensor, condition: &Tensor) -> Result<Tensor> {
        let mut x = self.into.forward(values)?.broadcast_add(&self.position)?;
        for block in &self.blocks {
            x = block.forward(&x, &block.modulation(Some(condition))?, &Dropout::None)?;
        }
        let x = split(&self.split.forward(&x)?, GRID)?;
        let mut x = windows(&x.broadcast_add(&self.fine_position)?, GRID)?;
        let condition = four_times(condition)?;
        for block in &self.fine {
            x = block.forward(&x, &block.modulation(Some(&condition))?, &Dropout::None)?;
        }
        let x = self.pixels.forward(&layer_norm(&unwindows(&x, GRID)?)?)?;
        self.paint(&unpatchify(&x, 2 * GRID, 2, self.mid)?)
    }

    /// Maps `[batch, mid, 32, 32]` to pixels.
    fn paint(&self, x: &Tensor) -> Result<Tensor> {
        let [conv1, conv2, conv3, conv4] = &self.conv;
        let y = conv2.forward(&leaky_relu(&conv1.forward(&leaky_relu(x)?)?)?)?;
        let x = pixel_shuffle(&self.widen.forward(&leaky_relu(&(x + y)?)?)?)?;
        let y = conv4.forward(&leaky_relu(&conv3.forward(&leaky_relu(&x)?)?)?)?;
        (x.narrow(1, 0, CHANNELS)? + y)?.tanh()
    }
}

/// Repeats each row four times, once for each quarter of a picture.
fn four_times(x: &Tensor) -> Result<Tensor> {
    let (batch, width) = x.dims2()?;
    let four = x.unsqueeze(1)?.broadcast_as((batch, 4, width))?;
    four.reshape((4 * batch, width))
}

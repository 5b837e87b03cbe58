//! Tokens, words and style to a picture: the second half of the autoencoder, trained against the
//! discriminator. In the direct design a grid of numbers stands in the place of the tokens.

use super::condition::{Condition, Wish};
use super::config::{CHANNELS, Config, GRID, TOKENS};
use super::layers::{Block, Drop, layer_norm, leaky};
use super::patches::{pixel_shuffle, split, unpatches, unwindows, windows};
use super::weights::{Conv, Linear, Weights, normal};
use candle_core::{Result, Tensor};

/// A stack on the 64 tokens, one on the 2 by 2 parts of each (the picture's quarters apart), then
/// convolutions at half the size and at the whole.
pub struct Generator {
    condition: Condition,
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
        let super::config::Generator {
            coarse,
            fine,
            mid,
            last,
        } = config.generator;
        let condition = Some(config.condition);
        let block = |at: usize| {
            let weights = weights.below("block").below(at);
            Block::new(&weights, coarse.width, coarse.heads, condition)
        };
        let fine_block = |at: usize| {
            let weights = weights.below("fine").below(at);
            Block::new(&weights, fine.width, fine.heads, condition)
        };
        let below = |name: &str| weights.below(name);
        Ok(Generator {
            condition: Condition::new(
                &below("condition"),
                config.text,
                config.styles.len(),
                config.condition,
            )?,
            into: Linear::new(&below("in_"), config.depth(), coarse.width)?,
            position: weights.get(&[TOKENS, coarse.width], "position", normal(0.3))?,
            blocks: (0..coarse.blocks).map(block).collect::<Result<_>>()?,
            split: Linear::new(&below("split"), coarse.width, 4 * fine.width)?,
            fine_position: weights.get(&[4 * TOKENS, fine.width], "fine_position", normal(0.3))?,
            fine: (0..fine.blocks).map(fine_block).collect::<Result<_>>()?,
            pixels: Linear::new(&below("pixels"), fine.width, 4 * mid)?,
            conv: [
                Conv::new(&below("conv1"), mid, mid, 3)?,
                Conv::new(&below("conv2"), mid, mid, 3)?,
                Conv::new(&below("conv3"), last, last, 3)?,
                Conv::new(&below("conv4"), last, CHANNELS, 3)?,
            ],
            widen: Conv::new(&below("widen"), mid, 4 * last, 1)?,
            mid,
        })
    }

    /// What stands for words that are not given: `[text]`.
    pub fn no_words(&self) -> &Tensor {
        self.condition.none()
    }

    /// `values` `[batch, 64, digits]`, quantized, to `[batch, 4, 64, 64]`, -1 to 1 premultiplied.
    pub fn forward(&self, values: &Tensor, wish: &Wish) -> Result<Tensor> {
        self.under(values, &self.condition(wish)?)
    }

    /// What leads the painting: `[batch, condition]`.
    pub fn condition(&self, wish: &Wish) -> Result<Tensor> {
        self.condition.forward(wish)
    }

    /// [`Generator::forward`] of numbers `[batch, 64, depth]`, led by what
    /// [`Generator::condition`] gave.
    pub fn under(&self, values: &Tensor, condition: &Tensor) -> Result<Tensor> {
        let mut x = self.into.forward(values)?.broadcast_add(&self.position)?;
        for block in &self.blocks {
            x = block.forward(&x, &block.modulation(Some(condition))?, &Drop::None)?;
        }
        let x = split(&self.split.forward(&x)?, GRID)?;
        let mut x = windows(&x.broadcast_add(&self.fine_position)?, GRID)?;
        let condition = four_times(condition)?;
        for block in &self.fine {
            x = block.forward(&x, &block.modulation(Some(&condition))?, &Drop::None)?;
        }
        let x = self.pixels.forward(&layer_norm(&unwindows(&x, GRID)?)?)?;
        self.paint(&unpatches(&x, 2 * GRID, 2, self.mid)?)
    }

    /// `[batch, mid, 32, 32]` to the picture.
    fn paint(&self, x: &Tensor) -> Result<Tensor> {
        let [conv1, conv2, conv3, conv4] = &self.conv;
        let y = conv2.forward(&leaky(&conv1.forward(&leaky(x)?)?)?)?;
        let x = pixel_shuffle(&self.widen.forward(&leaky(&(x + y)?)?)?)?;
        let y = conv4.forward(&leaky(&conv3.forward(&leaky(&x)?)?)?)?;
        (x.narrow(1, 0, CHANNELS)? + y)?.tanh()
    }
}

/// Each row four times, one after the other: for the four windows of a picture.
fn four_times(x: &Tensor) -> Result<Tensor> {
    let (batch, width) = x.dims2()?;
    let four = x.unsqueeze(1)?.broadcast_as((batch, 4, width))?;
    four.reshape((4 * batch, width))
}

//! Picture, words and style to a score: is this a drawing of that? Used in training only.
//!
//! The condition is compared by projection (Miyato and Koyama 2018), once for the whole picture
//! and once for each patch.

use super::config::{CHANNELS, Config};
use super::layers::leaky;
use super::patches::pixel_unshuffle;
use super::weights::{Conv, Linear, Weights};
use candle_core::{D, Result, Tensor};

/// The stage whose output is scored patch by patch.
const PATCHED: usize = 1;

pub struct Discriminator {
    first: Conv,
    stages: Vec<Stage>,
    text: Linear,
    style: Tensor,
    whole: Linear,
    score: Linear,
    patch: Conv,
}

struct Stage {
    conv1: Conv,
    conv2: Conv,
    skip: Conv,
}

/// What the discriminator says of pictures.
pub struct Judgement {
    /// `[batch]`: high for a real drawing of what was wished.
    pub scores: Tensor,
    /// What each stage saw, for matching.
    pub features: Vec<Tensor>,
}

impl Discriminator {
    pub fn new(weights: &Weights, config: &Config) -> Result<Discriminator> {
        let super::config::Discriminator { stages, width } = config.discriminator;
        let stage = |at: usize| {
            let (inputs, outputs) = (stages[at], stages[at + 1]);
            let below = |name: &str| weights.below(name).below(at);
            Ok(Stage {
                conv1: Conv::new(&below("conv1"), inputs, outputs, 3)?,
                conv2: Conv::new(&below("conv2"), outputs, outputs, 3)?,
                skip: Conv::new(&below("skip"), inputs, outputs, 1)?,
            })
        };
        let left = config.size / 16;
        let below = |name: &str| weights.below(name);
        Ok(Discriminator {
            first: Conv::new(&below("in_"), 4 * CHANNELS, stages[0], 3)?,
            stages: (0..stages.len() - 1).map(stage).collect::<Result<_>>()?,
            text: Linear::new(&below("text"), config.text, width)?,
            style: weights.table(config.styles.len(), width, "style", 1.0)?,
            whole: Linear::new(&below("whole"), left * left * stages[3], width)?,
            score: Linear::new(&below("score"), width, 1)?,
            patch: Conv::new(&below("patch"), stages[PATCHED + 1], width + 1, 1)?,
        })
    }

    /// `pictures` `[batch, 4, size, size]`, `text` `[batch, width]`, `style` `[batch]`.
    pub fn forward(&self, pictures: &Tensor, text: &Tensor, style: &Tensor) -> Result<Judgement> {
        let wish = (self.text.forward(text)? + self.style.index_select(style, 0)?)?;
        let mut x = self.first.forward(&pixel_unshuffle(pictures)?)?;
        let mut features = Vec::new();
        for stage in &self.stages {
            x = x.avg_pool2d(2)?;
            let y = leaky(&stage.conv1.forward(&leaky(&x)?)?)?;
            x = (stage.skip.forward(&x)? + (stage.conv2.forward(&y)? * 0.5)?)?;
            features.push(x.clone());
        }
        let by_patch = self.by_patch(&features[PATCHED], &wish)?;
        let whole = leaky(&self.whole.forward(&leaky(&x)?.flatten_from(1)?)?)?;
        let scores = self.score.forward(&whole)?.squeeze(1)?;
        let scores = ((scores + matched(&whole, &wish)?)? + by_patch)?;
        Ok(Judgement { scores, features })
    }

    /// The mean over all patches: `[batch]`.
    fn by_patch(&self, x: &Tensor, wish: &Tensor) -> Result<Tensor> {
        let patches = self.patch.forward(&leaky(x)?)?.flatten_from(2)?.mean(2)?;
        let score = patches.narrow(1, 0, 1)?.squeeze(1)?;
        // The mean over patches of a product with one vector is the product of the mean.
        score + matched(&patches.narrow(1, 1, wish.dim(1)?)?, wish)?
    }
}

/// How well two vectors of each row go together: `[batch]`.
fn matched(x: &Tensor, wish: &Tensor) -> Result<Tensor> {
    (x * wish)?.sum(D::Minus1)? * (wish.dim(1)? as f64).sqrt().recip()
}

//! The discriminator, which scores pictures: high for real drawings that match their text and
//! style. It is used only in training.
//!
//! The scores are conditioned on text and style by projection (Miyato and Koyama 2018), both for
//! the whole picture and for each patch.

use super::config::{CHANNELS, Config};
use super::layers::leaky_relu;
use super::patches::pixel_unshuffle;
use super::weights::{Conv, Linear, Weights};
use candle_core::{D, Result, Tensor};

/// The index of the stage whose output is scored patch by patch.
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

/// The scores of a batch of pictures, and the features from which the scores were computed.
pub struct DiscriminatorOutput {
    /// The scores, `[batch]`. A score is high for a real drawing that matches its conditioning.
    pub scores: Tensor,
    /// The output of each stage, which the feature matching loss compares.
    pub features: Vec<Tensor>,
}

impl Discriminator {
    pub fn new(weights: &Weights, config: &Config) -> Result<Discriminator> {
        let super::config::Discriminator { stages, width } = config.discriminator;
        let stage = |at: usize| {
            let (inputs, outputs) = (stages[at], stages[at + 1]);
            let pp = |name: &str| weights.pp(name).pp(at);
            Ok(Stage {
                conv1: Conv::new(&pp("conv1"), inputs, outputs, 3)?,
                conv2: Conv::new(&pp("conv2"), outputs, outputs, 3)?,
                skip: Conv::new(&pp("skip"), inputs, outputs, 1)?,
            })
        };
        let left = config.size / 16;
        let pp = |name: &str| weights.pp(name);
        Ok(Discriminator {
            first: Conv::new(&pp("in_"), 4 * CHANNELS, stages[0], 3)?,
            stages: (0..stages.len() - 1).map(stage).collect::<Result<_>>()?,
            text: Linear::new(&pp("text"), config.text, width)?,
            style: weights.embedding_table(config.styles.len(), width, "style", 1.0)?,
            whole: Linear::new(&pp("whole"), left * left * stages[3], width)?,
            score: Linear::new(&pp("score"), width, 1)?,
            patch: Conv::new(&pp("patch"), stages[PATCHED + 1], width + 1, 1)?,
        })
    }

    /// Scores `pictures` `[batch, 4, size, size]`. `text` is `[batch, width]`, and `style` is
    /// `[batch]`.
    pub fn forward(
        &self,
        pictures: &Tensor,
        text: &Tensor,
        style: &Tensor,
    ) -> Result<DiscriminatorOutput> {
        let conditioning = (self.text.forward(text)? + self.style.index_select(style, 0)?)?;
        let mut x = self.first.forward(&pixel_unshuffle(pictures)?)?;
        let mut features = Vec::new();
        for stage in &self.stages {
            x = x.avg_pool2d(2)?;
            let y = leaky_relu(&stage.conv1.forward(&leaky_relu(&x)?)?)?;
            x = (stage.skip.forward(&x)? + (stage.conv2.forward(&y)? * 0.5)?)?;
            features.push(x.clone());
        }
        let by_patch = self.by_patch(&features[PATCHED], &conditioning)?;
        let whole = leaky_relu(&self.whole.forward(&leaky_relu(&x)?.flatten_from(1)?)?)?;
        let scores = self.score.forward(&whole)?.squeeze(1)?;
        let scores = ((scores + matched(&whole, &conditioning)?)? + by_patch)?;
        Ok(DiscriminatorOutput { scores, features })
    }

    /// Computes the mean score of the patches of each picture, `[batch]`.
    fn by_patch(&self, x: &Tensor, conditioning: &Tensor) -> Result<Tensor> {
        let patches = self
            .patch
            .forward(&leaky_relu(x)?)?
            .flatten_from(2)?
            .mean(2)?;
        let score = patches.narrow(1, 0, 1)?.squeeze(1)?;
        // The mean over patches of a product with one vector is the product of that vector and the
        // mean.
        score + matched(&patches.narrow(1, 1, conditioning.dim(1)?)?, conditioning)?
    }
}

/// Computes the dot product of each row of `x` with the corresponding row of `conditioning`,
/// divided by the square root of the width. The result is `[batch]`.
fn matched(x: &Tensor, conditioning: &Tensor) -> Result<Tensor> {
    (x * conditioning)?.sum(D::Minus1)? * (conditioning.dim(1)? as f64).sqrt().recip()
}

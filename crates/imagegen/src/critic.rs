//! A discriminator on the features of a pretrained network (Projected GANs, Sauer et al. 2021,
//! arXiv 2111.01007). It learns in minutes what a discriminator trained from scratch learns in
//! hours.
//!
//! It is used only in training. Features are `[batch, height, width, channels]`.

use super::config::{Config, TOKENS};
use super::layers::leaky_relu;
use super::weights::{Linear, Weights};
use candle_core::{D, Error, Result, Tensor};

/// The number of channels of each input feature map. The maps come from the second, third and fifth
/// stages of EfficientNet-lite1.
pub const CHANNELS: [usize; 3] = [24, 40, 112];
/// The number of positions in the last feature map of a 64-pixel picture: 4 by 4.
const PLACES: usize = TOKENS / 4;
const WIDTH: usize = 96;
const WHOLE: usize = 192;
/// The factor by which cosine similarities are multiplied to get the caption-contrastive logits.
const SHARPNESS: f64 = 12.0;

/// Scores the patches of a picture at three sizes, and the whole picture. Each score is conditioned
/// on text and style by projection (Miyato and Koyama 2018).
pub struct Critic {
    places: Vec<[Linear; 2]>,
    text: Linear,
    style: Tensor,
    whole: Linear,
    score: Linear,
    subject: Linear,
    manner: Tensor,
}

/// The scores of a batch of pictures, and an embedding of each whole picture.
pub struct CriticOutput {
    /// The patch scores at three sizes, then the scores of the whole pictures, each `[batch]`.
    pub scores: Vec<Tensor>,
    /// The embeddings of the whole pictures, `[batch, 192]`.
    pub whole: Tensor,
}

impl Critic {
    pub fn new(weights: &Weights, config: &Config) -> Result<Critic> {
        let (text, styles) = (config.text, config.styles.len());
        let pp = |name: &str| weights.pp(name);
        let places = CHANNELS.iter().enumerate().map(|(at, channels)| {
            let into = Linear::new(&pp("in_").pp(at), *channels, WIDTH)?;
            Ok([into, Linear::new(&pp("out").pp(at), WIDTH, 1 + WIDTH)?])
        });
        Ok(Critic {
            places: places.collect::<Result<_>>()?,
            text: Linear::new(&pp("text"), text, WIDTH)?,
            style: weights.embedding_table(styles, WIDTH, "style", 1.0)?,
            whole: Linear::new(&pp("whole"), PLACES * CHANNELS[2], WHOLE)?,
            score: Linear::new(&pp("score"), WHOLE, 1)?,
            subject: Linear::new(&pp("subject"), text, WHOLE)?,
            manner: weights.embedding_table(styles, WHOLE, "manner", 1.0)?,
        })
    }

    /// Scores a batch of pictures. `features` are three feature maps with [`CHANNELS`] channels,
    /// `text` is `[batch, text]`, and `style` is `[batch]`.
    pub fn forward(
        &self,
        features: &[Tensor],
        text: &Tensor,
        style: &Tensor,
    ) -> Result<CriticOutput> {
        let wanted = (self.text.forward(text)? + self.style.index_select(style, 0)?)?;
        let mut scores = Vec::new();
        for (features, [into, out]) in features.iter().zip(&self.places) {
            let x = unit(features)?.flatten(1, 2)?;
            let x = out.forward(&leaky_relu(&into.forward(&x)?)?)?;
            let own = x.narrow(D::Minus1, 1, WIDTH)?;
            let matched = own.broadcast_mul(&wanted.unsqueeze(1)?)?.sum(D::Minus1)?;
            let matched = (matched / (WIDTH as f64).sqrt())?;
            scores.push((x.narrow(D::Minus1, 0, 1)?.squeeze(D::Minus1)? + matched)?.mean(1)?);
        }
        let last = features.last().ok_or_else(nothing)?;
        let whole = leaky_relu(&self.whole.forward(&unit(last)?.flatten_from(1)?)?)?;
        let wanted = (self.subject.forward(text)? + self.manner.index_select(style, 0)?)?;
        let matched = ((&whole * wanted)?.sum(1)? / (WHOLE as f64).sqrt())?;
        scores.push((self.score.forward(&whole)?.squeeze(1)? + matched)?);
        Ok(CriticOutput { scores, whole })
    }

    /// Computes, for each picture, the logits of all captions in the batch. One of the captions is
    /// the picture's own. The result is `[batch, batch]` (as in XMC-GAN, Zhang et al. 2021).
    pub fn caption_logits(&self, whole: &Tensor, text: &Tensor) -> Result<Tensor> {
        let words = direction(&self.subject.forward(text)?)?;
        direction(whole)?.matmul(&words.t()?)? * SHARPNESS
    }
}

/// Scales each row to length one.
fn direction(rows: &Tensor) -> Result<Tensor> {
    let length = (rows.sqr()?.sum_keepdim(D::Minus1)? + 1e-12)?.sqrt()?;
    rows.broadcast_div(&length)
}

/// Scales the features at each position so that the mean of their squares is one.
fn unit(features: &Tensor) -> Result<Tensor> {
    let mean = (features.sqr()?.mean_keepdim(D::Minus1)? + 1e-6)?;
    features.broadcast_div(&mean.sqrt()?)
}

fn nothing() -> Error {
    Error::Msg("there are no features to score".into())
}

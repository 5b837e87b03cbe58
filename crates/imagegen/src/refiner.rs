//! The refiner, which corrects all tokens of a sampled picture in one pass, before the decoder.
//!
//! The token Transformer is trained to predict each token separately. If it is unsure, each token
//! is plausible by itself, but the tokens do not fit together. The refiner sees all tokens with the
//! same conditioning and examples, and is trained together with the generator against a critic that
//! scores whole pictures.

use super::backbone::Backbone;
use super::conditioning::Conditioning;
use super::config::Config;
use super::layers::Dropout;
use super::quantizer::FsqCodes;
use super::retrieval_index::RetrievedExamples;
use super::weights::{Linear, Weights};
use candle_core::{Result, Tensor};
use candle_nn::Init;

pub struct Refiner {
    backbone: Backbone,
    out: Linear,
}

impl Refiner {
    /// Creates a refiner. A refiner that is not trained yet leaves its input unchanged.
    pub fn new(weights: &Weights, config: &Config) -> Result<Refiner> {
        let (width, none) = (config.tokens.stack.width, Init::Const(0.0));
        let out = weights.pp("out").unpacked();
        Ok(Refiner {
            backbone: Backbone::new(weights, config)?,
            out: Linear::with_init(&out, width, config.codes_per_token(), none, none)?,
        })
    }

    /// The null text embedding `[width of text]`, which is used if there is no prompt.
    pub fn null_text(&self) -> &Tensor {
        self.backbone.null_text()
    }

    /// Corrects `values` `[batch, 64, codes]`, the values (from -1 to 1) of `tokens`. The result is
    /// the input of the decoder.
    pub fn forward(
        &self,
        (tokens, values): (&FsqCodes, &Tensor),
        conditioning: &Conditioning,
        retrieved: &[RetrievedExamples],
        drop: &Dropout,
    ) -> Result<Tensor> {
        let prepared = self.backbone.prepare(conditioning, retrieved)?;
        let tokens = self.backbone.embed(tokens)?;
        let hidden = self.backbone.hidden(&prepared, &tokens, drop)?;
        values + self.out.forward(&hidden)?
    }
}

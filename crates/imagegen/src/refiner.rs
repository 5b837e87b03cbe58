//! The refiner: corrects all tokens of a sampled picture in one pass, before the decoder.
//!
//! The token Transformer learns one token at a time, so where it is unsure, each place is plausible
//! by itself but the places do not fit together. The refiner sees all tokens with the same
//! conditioning and examples, and is trained together with the generator against a critic of whole
//! pictures.

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
    /// A refiner trained from scratch starts as the identity.
    pub fn new(weights: &Weights, config: &Config) -> Result<Refiner> {
        let (width, none) = (config.tokens.stack.width, Init::Const(0.0));
        let out = weights.pp("out").unpacked();
        Ok(Refiner {
            backbone: Backbone::new(weights, config)?,
            out: Linear::with_init(&out, width, config.codes_per_token(), none, none)?,
        })
    }

    /// The null text embedding, which is used if there is no prompt: `[width of text]`.
    pub fn null_text(&self) -> &Tensor {
        self.backbone.null_text()
    }

    /// Maps `tokens` and their `values` `[batch, 64, codes]`, -1 to 1, to the decoder's input
    /// values.
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

//! Looks over what was composed, once: moves the values of a picture's tokens to what is painted.
//!
//! The composer learns one token at a time, so where it is unsure it writes what is likely at each
//! place, and the places do not fit together. The refiner reads all of them, with the wish and what
//! is remembered, and is trained together with the generator against a critic of whole pictures.

use super::backbone::Reader;
use super::conditioning::Conditioning;
use super::config::Config;
use super::layers::Dropout;
use super::retrieval_index::RetrievedExamples;
use super::tokens::FsqCodes;
use super::weights::{Linear, Weights};
use candle_core::{Result, Tensor};
use candle_nn::Init;

pub struct Refiner {
    reader: Reader,
    out: Linear,
}

impl Refiner {
    /// Where it is begun by chance, it moves nothing.
    pub fn new(weights: &Weights, config: &Config) -> Result<Refiner> {
        let (width, none) = (config.tokens.stack.width, Init::Const(0.0));
        let out = weights.pp("out").unpacked();
        Ok(Refiner {
            reader: Reader::new(weights, config)?,
            out: Linear::with_init(&out, width, config.codes_per_token(), none, none)?,
        })
    }

    /// What stands for words that are not given: `[text]`.
    pub fn no_words(&self) -> &Tensor {
        self.reader.null_text()
    }

    /// `tokens` and their `values` `[batch, 64, digits]`, -1 to 1, to what is painted of them.
    pub fn forward(
        &self,
        (tokens, values): (&FsqCodes, &Tensor),
        conditioning: &Conditioning,
        retrieved: &[RetrievedExamples],
        drop: &Dropout,
    ) -> Result<Tensor> {
        let prepared = self.reader.prepare(conditioning, retrieved)?;
        let tokens = self.reader.embedded(tokens)?;
        let hidden = self.reader.hidden(&prepared, &tokens, drop)?;
        values + self.out.forward(&hidden)?
    }
}

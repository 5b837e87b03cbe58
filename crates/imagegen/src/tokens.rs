//! The token Transformer: words and style to a picture's tokens, many at once (MaskGIT, Chang et
//! al. 2022), some of them given.
//!
//! A token's digits are drawn one after the other by a small network on top, each knowing those
//! before it, so that together they are one choice among all tokens. Other pictures of the same
//! thing, where there are some ([`super::memory`]), are shown as their tokens at the same places;
//! what a style tells of another is learned. A picture of one's own is redrawn in another style so.

use super::backbone::{Prepared, Reader, looked_up};
use super::code_head::CodeHead;
use super::conditioning::Conditioning;
use super::config::Config;
use super::layers::Dropout;
use super::retrieval_encoder::choose;
use super::retrieval_index::RetrievedExamples;
use super::weights::{Linear, Weights, normal};
use candle_core::{D, Result, Tensor};
use kernels::linear::Pool;
use std::sync::Arc;

pub struct TokenTransformer {
    reader: Reader,
    mask: Tensor,
    head: Linear,
    before: Tensor,
    logits: Vec<Linear>,
    levels: Vec<usize>,
    hidden: usize,
}

/// Tokens of pictures: `[batch][64][digits]`, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FsqCodes(pub Vec<u8>);

impl TokenTransformer {
    pub fn new(weights: &Weights, config: &Config) -> Result<TokenTransformer> {
        let (width, hidden) = (config.tokens.stack.width, config.tokens.hidden);
        let digits = config.codes_per_token();
        let pp = |name: &str| weights.pp(name);
        let logits = |(at, levels): (usize, &usize)| {
            Linear::new(&pp("logits").pp(at).unpacked(), hidden, *levels)
        };
        Ok(TokenTransformer {
            reader: Reader::new(weights, config)?,
            mask: weights.get(&[width], "mask", normal(0.1))?,
            head: Linear::new(&pp("head"), width, digits * hidden)?,
            before: weights.table(config.rows(), digits * hidden, "before", 0.05)?,
            logits: config
                .levels
                .iter()
                .enumerate()
                .map(logits)
                .collect::<Result<_>>()?,
            levels: config.levels.clone(),
            hidden,
        })
    }

    pub fn digits(&self) -> usize {
        self.levels.len()
    }

    /// What stands for words that are not given: `[text]`.
    pub fn no_words(&self) -> &Tensor {
        self.reader.null_text()
    }

    /// Reads the wish, and the pictures that are shown beside each (or beside none).
    pub fn prepare(
        &self,
        conditioning: &Conditioning,
        retrieved: &[RetrievedExamples],
    ) -> Result<Prepared> {
        self.reader.prepare(conditioning, retrieved)
    }

    /// What is known of each token after reading those that are given: `[batch, 64, width]`.
    /// `known` `[batch * 64]` says which are.
    pub fn hidden(
        &self,
        prepared: &Prepared,
        tokens: &FsqCodes,
        known: &[bool],
        drop: &Dropout,
    ) -> Result<Tensor> {
        let tokens = choose(known, &self.reader.embedded(tokens)?, &self.mask)?;
        self.reader.hidden(prepared, &tokens, drop)
    }

    /// The small network on top, as it is now.
    pub fn code_head(&self) -> Result<CodeHead> {
        let numbers = self.logits.iter().map(Linear::numbers);
        let numbers: Vec<(Vec<f32>, Vec<f32>)> = numbers.collect::<Result<_>>()?;
        let (weights, biases) = numbers.into_iter().unzip();
        Ok(CodeHead {
            levels: self.levels.clone(),
            hidden: self.hidden,
            before: self.before.flatten_all()?.to_vec1()?,
            weights,
            biases,
        })
    }

    /// The threads that drawing is spread over, where there are some.
    pub fn pool(&self) -> Option<&Arc<Pool>> {
        self.head.pool()
    }

    /// What each digit's small network begins with: `[.., digits * hidden]`.
    pub fn heads(&self, hidden: &Tensor) -> Result<Tensor> {
        self.head.forward(hidden)
    }

    /// Logits of all digits, where each knows those before it: `heads` `[batch * 64, digits *
    /// hidden]`, a tensor `[batch * 64, levels]` of each digit.
    ///
    /// One product tells every digit those before it, and one more makes all logits, of matrices
    /// with zeros where a digit has nothing to say: so many digits one after the other would go
    /// through memory again and again.
    pub fn logits(&self, heads: &Tensor, tokens: &FsqCodes) -> Result<Vec<Tensor>> {
        let (rows, wide) = (self.levels.iter().sum::<usize>(), heads.dim(D::Minus1)?);
        let mut later = Vec::with_capacity(rows * wide);
        for (at, levels) in self.levels.iter().enumerate() {
            let rows = (0..levels * wide).map(|number| number % wide / self.hidden);
            later.extend(rows.map(|place| f32::from(u8::from(place > at))));
        }
        let later = Tensor::from_vec(later, (rows, wide), heads.device())?;
        let quick = self.head.uses_autograd();
        let said = looked_up(&(&self.before * later)?, tokens, &self.levels, quick)?;
        let own = (heads + said)?;
        let (mut matrix, mut bias) = (Vec::new(), Vec::new());
        for (at, logits) in self.logits.iter().enumerate() {
            let (weight, own) = logits.tensors()?;
            let (before, after) = (at * self.hidden, wide - (at + 1) * self.hidden);
            matrix.push(weight.pad_with_zeros(1, before, after)?);
            bias.push(own);
        }
        let (matrix, bias) = (Tensor::cat(&matrix, 0)?, Tensor::cat(&bias, 0)?);
        let all = match quick {
            true => autograd::affine(&autograd::squared_relu(&own)?, &matrix, &bias)?,
            false => {
                let product = own.relu()?.sqr()?.matmul(&matrix.t()?)?;
                product.broadcast_add(&bias)?
            }
        };
        let mut start = 0;
        let each = self.levels.iter().map(|levels| {
            start += levels;
            all.narrow(1, start - levels, *levels)?.contiguous()
        });
        each.collect()
    }
}

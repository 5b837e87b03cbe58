//! The token Transformer: predicts a picture's masked tokens in parallel from conditioning,
//! retrieved examples and the known tokens (MaskGIT, Chang et al. 2022).
//!
//! The code head on top samples a token's codes one after the other, each conditioned on those
//! before it, so that together they amount to one choice among all possible tokens. Retrieved
//! examples ([`super::retrieval_index`]) enter as their tokens at the same places; restyling passes
//! the writer's own picture as the example.

use super::backbone::{Backbone, BackboneInput, sum_of_code_rows};
use super::code_head::CodeHead;
use super::conditioning::Conditioning;
use super::config::Config;
use super::layers::Dropout;
use super::quantizer::FsqCodes;
use super::retrieval_encoder::select_rows;
use super::retrieval_index::RetrievedExamples;
use super::weights::{Linear, Weights, normal};
use crate::autograd;
use candle_core::{D, Result, Tensor};
use kernels::linear::Pool;
use std::sync::Arc;

pub struct TokenTransformer {
    backbone: Backbone,
    mask: Tensor,
    head: Linear,
    before: Tensor,
    logits: Vec<Linear>,
    levels: Vec<usize>,
    hidden: usize,
}

impl TokenTransformer {
    pub fn new(weights: &Weights, config: &Config) -> Result<TokenTransformer> {
        let (width, hidden) = (config.tokens.stack.width, config.tokens.hidden);
        let codes = config.codes_per_token();
        let pp = |name: &str| weights.pp(name);
        let logits = |(at, levels): (usize, &usize)| {
            Linear::new(&pp("logits").pp(at).unpacked(), hidden, *levels)
        };
        Ok(TokenTransformer {
            backbone: Backbone::new(weights, config)?,
            mask: weights.get(&[width], "mask", normal(0.1))?,
            head: Linear::new(&pp("head"), width, codes * hidden)?,
            before: weights.embedding_table(
                config.code_values(),
                codes * hidden,
                "before",
                0.05,
            )?,
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

    pub fn codes_per_token(&self) -> usize {
        self.levels.len()
    }

    /// The null text embedding, which is used if there is no prompt: `[width of text]`.
    pub fn null_text(&self) -> &Tensor {
        self.backbone.null_text()
    }

    /// Encodes the conditioning and the retrieved examples of each picture (`retrieved` may be
    /// empty).
    pub fn prepare(
        &self,
        conditioning: &Conditioning,
        retrieved: &[RetrievedExamples],
    ) -> Result<BackboneInput> {
        self.backbone.prepare(conditioning, retrieved)
    }

    /// Hidden states `[batch, 64, width]`, given the known tokens; `known` `[batch * 64]`
    /// marks them.
    pub fn hidden(
        &self,
        prepared: &BackboneInput,
        tokens: &FsqCodes,
        known: &[bool],
        drop: &Dropout,
    ) -> Result<Tensor> {
        let tokens = select_rows(known, &self.backbone.embed(tokens)?, &self.mask)?;
        self.backbone.hidden(prepared, &tokens, drop)
    }

    /// A copy of the code head in plain numbers.
    pub fn code_head(&self) -> Result<CodeHead> {
        let numbers = self.logits.iter().map(Linear::to_vecs);
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

    /// The thread pool of packed matrices; None if they are not packed.
    pub fn pool(&self) -> Option<&Arc<Pool>> {
        self.head.pool()
    }

    /// Inputs of the code head: `[.., codes * hidden]`.
    pub fn head_inputs(&self, hidden: &Tensor) -> Result<Tensor> {
        self.head.forward(hidden)
    }

    /// Teacher-forced logits: each code sees the true codes before it. Maps `heads` `[batch * 64,
    /// codes * hidden]` to one tensor `[batch * 64, levels]` per code.
    ///
    /// Two products with block matrices compute the logits of all codes at once. Separate products
    /// would go through memory once for each code.
    pub fn logits(&self, heads: &Tensor, tokens: &FsqCodes) -> Result<Vec<Tensor>> {
        let (rows, wide) = (self.levels.iter().sum::<usize>(), heads.dim(D::Minus1)?);
        let mut later = Vec::with_capacity(rows * wide);
        for (at, levels) in self.levels.iter().enumerate() {
            let rows = (0..levels * wide).map(|number| number % wide / self.hidden);
            later.extend(rows.map(|place| f32::from(u8::from(place > at))));
        }
        let later = Tensor::from_vec(later, (rows, wide), heads.device())?;
        let use_autograd = self.head.uses_autograd();
        let said = sum_of_code_rows(&(&self.before * later)?, tokens, &self.levels, use_autograd)?;
        let own = (heads + said)?;
        let (mut matrix, mut bias) = (Vec::new(), Vec::new());
        for (at, logits) in self.logits.iter().enumerate() {
            let (weight, own) = logits.tensors()?;
            let (before, after) = (at * self.hidden, wide - (at + 1) * self.hidden);
            matrix.push(weight.pad_with_zeros(1, before, after)?);
            bias.push(own);
        }
        let (matrix, bias) = (Tensor::cat(&matrix, 0)?, Tensor::cat(&bias, 0)?);
        let all = match use_autograd {
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

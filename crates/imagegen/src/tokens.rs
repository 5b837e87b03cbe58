//! The token Transformer, which predicts a picture's masked tokens in parallel from conditioning,
//! retrieved examples and the known tokens (MaskGIT, Chang et al. 2022).
//!
//! The code head samples a token's codes one after the other. Each code is conditioned on the
//! earlier codes, so that the codes together amount to one choice among all possible tokens. For
//! each position of the picture, the input includes the tokens of the retrieved examples
//! ([`super::retrieval_index`]) at this position. Restyling passes the writer's own picture as the
//! only example.

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

    /// The null text embedding `[width of text]`, which is used if there is no prompt.
    pub fn null_text(&self) -> &Tensor {
        self.backbone.null_text()
    }

    /// Encodes the conditioning and the retrieved examples of each picture. `retrieved` may be
    /// empty.
    pub fn prepare(
        &self,
        conditioning: &Conditioning,
        retrieved: &[RetrievedExamples],
    ) -> Result<BackboneInput> {
        self.backbone.prepare(conditioning, retrieved)
    }

    /// Computes the hidden states `[batch, 64, width]` from the known tokens. `known` `[batch *
    /// 64]` says whether each token is known.
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

    /// Copies the weights of the code head from tensors to vectors.
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

    /// The thread pool for products with packed matrices, or None if the matrices are not packed.
    pub fn pool(&self) -> Option<&Arc<Pool>> {
        self.head.pool()
    }

    /// Computes the inputs of the code head, `[.., codes * hidden]`.
    pub fn head_inputs(&self, hidden: &Tensor) -> Result<Tensor> {
        self.head.forward(hidden)
    }

    /// Computes teacher-forced logits: each code is conditioned on the true earlier codes in
    /// `tokens`. Maps `heads` `[batch * 64, codes * hidden]` to one tensor `[batch * 64, levels]`
    /// per code.
    ///
    /// Two products with block matrices compute the logits of all codes together. With a separate
    /// product for each code, memory would be read many times.
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

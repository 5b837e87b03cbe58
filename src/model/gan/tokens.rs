//! The token Transformer: words and style to a picture's tokens, many at once (MaskGIT, Chang et
//! al. 2022), some of them given.
//!
//! A token's digits are drawn one after the other by a small network on top, each knowing those
//! before it, so that together they are one choice among all tokens. Other pictures of the same
//! thing, where there are some ([`super::memory`]), are shown as their tokens at the same places;
//! what a style tells of another is learned. A picture of one's own is redrawn in another style so.

use super::condition::{Condition, Wish};
use super::config::{Config, TOKENS};
use super::digits::DigitNetwork;
use super::layers::{Block, Drop, Modulation, layer_norm};
use super::memory::Shown;
use super::recall::{Recall, choose, product, rows_of};
use super::weights::{Linear, Weights, normal};
use crate::model::gradient;
use crate::model::linear::Pool;
use candle_core::{D, Error, Result, Tensor};
use std::sync::Arc;

/// Four tokens of words and one of style and flip stand before the picture's.
const WORDS: usize = 4;
const PREFIX: usize = WORDS + 1;

pub struct TokenTransformer {
    condition: Condition,
    words: Linear,
    style: Tensor,
    flip: Tensor,
    position: Tensor,
    token: Tensor,
    recall: Recall,
    mask: Tensor,
    blocks: Vec<Block>,
    head: Linear,
    before: Tensor,
    logits: Vec<Linear>,
    levels: Vec<usize>,
    width: usize,
    hidden: usize,
    styles: usize,
}

/// Tokens of pictures: `[batch][64][digits]`, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digits(pub Vec<u8>);

/// All that stays the same while a picture's tokens are written.
pub struct Prepared {
    /// `[batch, 5, width]`.
    prefix: Tensor,
    modulations: Vec<Modulation>,
    /// `[batch, 64, width]` or `[1, width]`.
    recalled: Tensor,
}

impl TokenTransformer {
    pub fn new(weights: &Weights, config: &Config) -> Result<TokenTransformer> {
        let stack = config.tokens.stack;
        let (width, hidden, digits) = (stack.width, config.tokens.hidden, config.digits());
        let (styles, rows) = (config.styles.len(), config.rows());
        let below = |name: &str| weights.below(name);
        let block = |at: usize| {
            let weights = below("block").below(at);
            Block::new(&weights, width, stack.heads, Some(config.condition))
        };
        let logits = |(at, levels): (usize, &usize)| {
            Linear::new(&below("logits").below(at).unpacked(), hidden, *levels)
        };
        let head = Linear::new(&below("head"), width, digits * hidden)?;
        Ok(TokenTransformer {
            condition: Condition::new(&below("condition"), config.text, styles, config.condition)?,
            words: Linear::new(&below("words"), config.text, WORDS * width)?,
            style: weights.table(styles + 1, width, "style", 1.0)?,
            flip: weights.table(2, width, "flip", 1.0)?,
            position: weights.get(&[TOKENS + PREFIX, width], "position", normal(0.1))?,
            token: weights.table(rows, width, "token", 0.1)?,
            recall: Recall::new(weights, config, head.is_quick())?,
            mask: weights.get(&[width], "mask", normal(0.1))?,
            blocks: (0..stack.blocks).map(block).collect::<Result<_>>()?,
            head,
            before: weights.table(rows, digits * hidden, "before", 0.05)?,
            logits: config
                .levels
                .iter()
                .enumerate()
                .map(logits)
                .collect::<Result<_>>()?,
            levels: config.levels.clone(),
            width,
            hidden,
            styles,
        })
    }

    pub fn digits(&self) -> usize {
        self.levels.len()
    }

    /// What stands for words that are not given: `[text]`.
    pub fn no_words(&self) -> &Tensor {
        self.condition.none()
    }

    /// Reads the wish, and the pictures that are shown beside each (or beside none).
    pub fn prepare(&self, wish: &Wish, shown: &[Shown]) -> Result<Prepared> {
        let condition = self.condition.forward(wish)?;
        let words = self.words.forward(&wish.text)?;
        let words = words.reshape((wish.len(), WORDS, self.width))?;
        let style = self.style.index_select(&wish.styles(self.styles)?, 0)?;
        let other = (style + self.flip.index_select(&wish.flips()?, 0)?)?;
        let prefix = Tensor::cat(&[words, other.unsqueeze(1)?], 1)?;
        let by = |block: &Block| block.modulation(Some(&condition));
        Ok(Prepared {
            prefix,
            modulations: self.blocks.iter().map(by).collect::<Result<_>>()?,
            recalled: self.recall.forward(wish, shown)?,
        })
    }

    /// What is known of each token after reading those that are given: `[batch, 64, width]`.
    /// `known` `[batch * 64]` says which are.
    pub fn hidden(
        &self,
        prepared: &Prepared,
        tokens: &Digits,
        known: &[bool],
        drop: &Drop,
    ) -> Result<Tensor> {
        let batch = prepared.prefix.dim(0)?;
        let tokens = self.sum(&self.token, tokens, batch)?;
        let x = choose(known, &tokens, &self.mask)?.broadcast_add(&prepared.recalled)?;
        let x = Tensor::cat(&[&prepared.prefix, &x], 1)?.broadcast_add(&self.position)?;
        let mut x = drop.apply(x)?;
        for (block, by) in self.blocks.iter().zip(&prepared.modulations) {
            x = block.forward(&x, by, drop)?;
        }
        layer_norm(&x.narrow(1, PREFIX, TOKENS)?.contiguous()?)
    }

    /// The small network on top, as it is now.
    pub fn digit_network(&self) -> Result<DigitNetwork> {
        let numbers = self.logits.iter().map(Linear::numbers);
        let numbers: Vec<(Vec<f32>, Vec<f32>)> = numbers.collect::<Result<_>>()?;
        let (weights, biases) = numbers.into_iter().unzip();
        Ok(DigitNetwork {
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
    pub fn logits(&self, heads: &Tensor, tokens: &Digits) -> Result<Vec<Tensor>> {
        let (rows, wide) = (self.levels.iter().sum::<usize>(), heads.dim(D::Minus1)?);
        let mut later = Vec::with_capacity(rows * wide);
        for (at, levels) in self.levels.iter().enumerate() {
            let rows = (0..levels * wide).map(|number| number % wide / self.hidden);
            later.extend(rows.map(|place| f32::from(u8::from(place > at))));
        }
        let later = Tensor::from_vec(later, (rows, wide), heads.device())?;
        let said = self.looked_up(&(&self.before * later)?, tokens)?;
        let own = (heads + said)?;
        let (mut matrix, mut bias) = (Vec::new(), Vec::new());
        for (at, logits) in self.logits.iter().enumerate() {
            let (weight, own) = logits.tensors()?;
            let (before, after) = (at * self.hidden, wide - (at + 1) * self.hidden);
            matrix.push(weight.pad_with_zeros(1, before, after)?);
            bias.push(own);
        }
        let (matrix, bias) = (Tensor::cat(&matrix, 0)?, Tensor::cat(&bias, 0)?);
        let all = match self.head.is_quick() {
            true => gradient::affine(&gradient::squared_relu(&own)?, &matrix, &bias)?,
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

    /// The rows of a table that belong to a token's digits, added up, as one product with a matrix
    /// of zeros and ones: `[batch * 64, width]`.
    fn looked_up(&self, table: &Tensor, tokens: &Digits) -> Result<Tensor> {
        let rows = table.dim(0)?;
        let count = tokens.0.len() / self.digits();
        let mut ones = vec![0f32; count * rows];
        for (ones, digits) in ones.chunks_mut(rows).zip(tokens.0.chunks(self.digits())) {
            rows_of(digits, &self.levels).for_each(|row| ones[row] = 1.0);
        }
        let ones = Tensor::from_vec(ones, (count, rows), table.device())?;
        product(&ones, table, self.head.is_quick())
    }

    /// The sum of the rows of a token's digits: `[batch, 64, width]`.
    fn sum(&self, table: &Tensor, tokens: &Digits, batch: usize) -> Result<Tensor> {
        if self.head.is_quick() {
            let sum = self.looked_up(table, tokens)?;
            return sum.reshape((batch, TOKENS, self.width));
        }
        let digits = self.digits();
        let mut sum: Option<Tensor> = None;
        let mut start = 0;
        for (at, levels) in self.levels.iter().enumerate() {
            let own = tokens.0.iter().skip(at).step_by(digits);
            let rows = own.map(|v| (start + usize::from(*v)) as u32).collect();
            let rows = self.rows(table, rows)?;
            sum = Some(match sum {
                None => rows,
                Some(sum) => (sum + rows)?,
            });
            start += levels;
        }
        let sum = sum.ok_or_else(|| Error::Msg("no digits".into()))?;
        sum.reshape((batch, TOKENS, self.width))
    }

    fn rows(&self, table: &Tensor, rows: Vec<u32>) -> Result<Tensor> {
        let rows = Tensor::new(rows, table.device())?;
        table.index_select(&rows, 0)
    }
}

//! Reads a wish, what is remembered and the tokens of pictures: the body that the network that
//! writes tokens ([`super::tokens`]) and the one that looks over them ([`super::refiner`]) share.

use super::conditioning::{ConditionEncoder, Conditioning};
use super::config::{Config, TOKENS};
use super::layers::{Block, Dropout, Modulation, layer_norm};
use super::retrieval_encoder::{self, RetrievalEncoder, product, rows_of};
use super::retrieval_index::RetrievedExamples;
use super::tokens::FsqCodes;
use super::weights::{Linear, Weights, normal};
use candle_core::{Error, Result, Tensor};

/// Four tokens of words and one of style and flip stand before the picture's.
const WORDS: usize = 4;
const PREFIX: usize = WORDS + 1;

pub struct Reader {
    condition: ConditionEncoder,
    words: Linear,
    style: Tensor,
    flip: Tensor,
    position: Tensor,
    token: Tensor,
    recall: RetrievalEncoder,
    blocks: Vec<Block>,
    levels: Vec<usize>,
    width: usize,
    styles: usize,
    quick: bool,
}

/// All that stays the same while a picture's tokens are read again and again.
pub struct Prepared {
    /// `[batch, 5, width]`.
    prefix: Tensor,
    modulations: Vec<Modulation>,
    /// How much each of the pictures shown counts, where any is: `[batch, styles + 1]`.
    near: Option<Tensor>,
    /// `[batch, 64, width]` or `[1, width]`.
    recalled: Tensor,
}

impl Prepared {
    /// Of the pictures shown beside each of the first rows, by chance ([`recall::one_of`]).
    pub fn one_of<'a>(
        &self,
        retrieved: &'a [RetrievedExamples],
        chances: &[f64],
    ) -> Result<Vec<Option<&'a FsqCodes>>> {
        match &self.near {
            Some(near) => retrieval_encoder::one_of(near, retrieved, chances),
            None => Ok(vec![None; chances.len()]),
        }
    }
}

impl Reader {
    pub fn new(weights: &Weights, config: &Config) -> Result<Reader> {
        let stack = config.tokens.stack;
        let (width, styles) = (stack.width, config.styles.len());
        let pp = |name: &str| weights.pp(name);
        let block = |at: usize| {
            let weights = pp("block").pp(at);
            Block::new(&weights, width, stack.heads, Some(config.condition))
        };
        let words = Linear::new(&pp("words"), config.text, WORDS * width)?;
        let quick = words.uses_autograd();
        Ok(Reader {
            condition: ConditionEncoder::new(
                &pp("condition"),
                config.text,
                styles,
                config.condition,
            )?,
            words,
            style: weights.table(styles + 1, width, "style", 1.0)?,
            flip: weights.table(2, width, "flip", 1.0)?,
            position: weights.get(&[TOKENS + PREFIX, width], "position", normal(0.1))?,
            token: weights.table(config.rows(), width, "token", 0.1)?,
            recall: RetrievalEncoder::new(weights, config, quick)?,
            blocks: (0..stack.blocks).map(block).collect::<Result<_>>()?,
            levels: config.levels.clone(),
            width,
            styles,
            quick,
        })
    }

    /// What stands for words that are not given: `[text]`.
    pub fn no_words(&self) -> &Tensor {
        self.condition.null_text()
    }

    /// Reads the wish, and the pictures that are shown beside each (or beside none).
    pub fn prepare(
        &self,
        conditioning: &Conditioning,
        retrieved: &[RetrievedExamples],
    ) -> Result<Prepared> {
        let condition = self.condition.forward(conditioning)?;
        let words = self.words.forward(&conditioning.text)?;
        let words = words.reshape((conditioning.len(), WORDS, self.width))?;
        let style = self
            .style
            .index_select(&conditioning.style_rows(self.styles)?, 0)?;
        let other = (style + self.flip.index_select(&conditioning.flip_rows()?, 0)?)?;
        let prefix = Tensor::cat(&[words, other.unsqueeze(1)?], 1)?;
        let by = |block: &Block| block.modulation(Some(&condition));
        let near = self.recall.near(conditioning, retrieved)?;
        Ok(Prepared {
            prefix,
            modulations: self.blocks.iter().map(by).collect::<Result<_>>()?,
            recalled: self.recall.forward(near.as_ref(), retrieved)?,
            near,
        })
    }

    /// What becomes of `tokens` `[batch, 64, width]`, as [`Reader::embedded`] gives them.
    pub fn hidden(&self, prepared: &Prepared, tokens: &Tensor, drop: &Dropout) -> Result<Tensor> {
        let x = tokens.broadcast_add(&prepared.recalled)?;
        let x = Tensor::cat(&[&prepared.prefix, &x], 1)?.broadcast_add(&self.position)?;
        let mut x = drop.apply(x)?;
        for (block, by) in self.blocks.iter().zip(&prepared.modulations) {
            x = block.forward(&x, by, drop)?;
        }
        layer_norm(&x.narrow(1, PREFIX, TOKENS)?.contiguous()?)
    }

    /// Each token as the sum of its digits' rows: `[batch, 64, width]`.
    pub fn embedded(&self, tokens: &FsqCodes) -> Result<Tensor> {
        let digits = self.levels.len();
        let batch = tokens.0.len() / digits / TOKENS;
        if self.quick {
            let sum = looked_up(&self.token, tokens, &self.levels, true)?;
            return sum.reshape((batch, TOKENS, self.width));
        }
        let mut sum: Option<Tensor> = None;
        let mut start = 0;
        for (at, levels) in self.levels.iter().enumerate() {
            let own = tokens.0.iter().skip(at).step_by(digits);
            let rows: Vec<u32> = own.map(|v| (start + usize::from(*v)) as u32).collect();
            let rows = Tensor::new(rows, self.token.device())?;
            let rows = self.token.index_select(&rows, 0)?;
            sum = Some(match sum {
                None => rows,
                Some(sum) => (sum + rows)?,
            });
            start += levels;
        }
        let sum = sum.ok_or_else(|| Error::Msg("no digits".into()))?;
        sum.reshape((batch, TOKENS, self.width))
    }
}

/// The rows of a table that belong to a token's digits, added up, as one product with a matrix
/// of zeros and ones: `[batch * 64, width]`.
pub fn looked_up(
    table: &Tensor,
    tokens: &FsqCodes,
    levels: &[usize],
    quick: bool,
) -> Result<Tensor> {
    let rows = table.dim(0)?;
    let count = tokens.0.len() / levels.len();
    let mut ones = vec![0f32; count * rows];
    for (ones, digits) in ones.chunks_mut(rows).zip(tokens.0.chunks(levels.len())) {
        rows_of(digits, levels).for_each(|row| ones[row] = 1.0);
    }
    let ones = Tensor::from_vec(ones, (count, rows), table.device())?;
    product(&ones, table, quick)
}

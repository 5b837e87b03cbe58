//! The Transformer body that the token Transformer ([`super::tokens`]) and the refiner
//! ([`super::refiner`]) have in common. Its inputs are conditioning, retrieved examples and a
//! picture's tokens.

use super::conditioning::{ConditionEncoder, Conditioning};
use super::config::{Config, TOKENS};
use super::layers::{Block, Dropout, Modulation, layer_norm};
use super::quantizer::FsqCodes;
use super::retrieval_encoder::{self, RetrievalEncoder, code_rows, matmul_table};
use super::retrieval_index::RetrievedExamples;
use super::weights::{Linear, Weights, normal};
use candle_core::{Error, Result, Tensor};

/// The number of prefix tokens for the text. They are followed by one prefix token for style and
/// mirroring, and then by the picture's tokens.
const WORDS: usize = 4;
const PREFIX: usize = WORDS + 1;

pub struct Backbone {
    condition: ConditionEncoder,
    words: Linear,
    style: Tensor,
    flip: Tensor,
    position: Tensor,
    token: Tensor,
    retrieval: RetrievalEncoder,
    blocks: Vec<Block>,
    levels: Vec<usize>,
    width: usize,
    styles: usize,
    use_autograd: bool,
}

/// The encoded conditioning and examples, which stay the same from one decoding step to the next.
pub struct BackboneInput {
    /// The prefix tokens, `[batch, 5, width]`.
    prefix: Tensor,
    modulations: Vec<Modulation>,
    /// The weight of each example style, `[batch, styles + 1]`; None if there are no examples.
    style_weights: Option<Tensor>,
    /// The encoded examples, `[batch, 64, width]`, or `[1, width]` if there are none.
    retrieved: Tensor,
}

impl BackboneInput {
    /// Samples one example for each picture (see `retrieval_encoder::sample_example`).
    pub fn sample_example<'a>(
        &self,
        retrieved: &'a [RetrievedExamples],
        chances: &[f64],
    ) -> Result<Vec<Option<&'a FsqCodes>>> {
        match &self.style_weights {
            Some(style_weights) => {
                retrieval_encoder::sample_example(style_weights, retrieved, chances)
            }
            None => Ok(vec![None; chances.len()]),
        }
    }
}

impl Backbone {
    pub fn new(weights: &Weights, config: &Config) -> Result<Backbone> {
        let stack = config.tokens.stack;
        let (width, styles) = (stack.width, config.styles.len());
        let pp = |name: &str| weights.pp(name);
        let block = |at: usize| {
            let weights = pp("block").pp(at);
            Block::new(&weights, width, stack.heads, Some(config.condition))
        };
        let words = Linear::new(&pp("words"), config.text, WORDS * width)?;
        let use_autograd = words.uses_autograd();
        Ok(Backbone {
            condition: ConditionEncoder::new(
                &pp("condition"),
                config.text,
                styles,
                config.condition,
            )?,
            words,
            style: weights.embedding_table(styles + 1, width, "style", 1.0)?,
            flip: weights.embedding_table(2, width, "flip", 1.0)?,
            position: weights.get(&[TOKENS + PREFIX, width], "position", normal(0.1))?,
            token: weights.embedding_table(config.code_values(), width, "token", 0.1)?,
            retrieval: RetrievalEncoder::new(weights, config, use_autograd)?,
            blocks: (0..stack.blocks).map(block).collect::<Result<_>>()?,
            levels: config.levels.clone(),
            width,
            styles,
            use_autograd,
        })
    }

    /// The null text embedding `[width of text]`, which is used if there is no prompt.
    pub fn null_text(&self) -> &Tensor {
        self.condition.null_text()
    }

    /// Encodes the conditioning and the retrieved examples of each picture. `retrieved` may be
    /// empty.
    pub fn prepare(
        &self,
        conditioning: &Conditioning,
        retrieved: &[RetrievedExamples],
    ) -> Result<BackboneInput> {
        let condition = self.condition.forward(conditioning)?;
        let words = self.words.forward(&conditioning.text)?;
        let words = words.reshape((conditioning.len(), WORDS, self.width))?;
        let style = self
            .style
            .index_select(&conditioning.style_rows(self.styles)?, 0)?;
        let other = (style + self.flip.index_select(&conditioning.flip_rows()?, 0)?)?;
        let prefix = Tensor::cat(&[words, other.unsqueeze(1)?], 1)?;
        let by = |block: &Block| block.modulation(Some(&condition));
        let style_weights = self.retrieval.style_weights(conditioning, retrieved)?;
        Ok(BackboneInput {
            prefix,
            modulations: self.blocks.iter().map(by).collect::<Result<_>>()?,
            retrieved: self.retrieval.forward(style_weights.as_ref(), retrieved)?,
            style_weights,
        })
    }

    /// Computes the hidden states `[batch, 64, width]` of `tokens`, which have the same shape and
    /// have been embedded with [`Backbone::embed`].
    pub fn hidden(
        &self,
        prepared: &BackboneInput,
        tokens: &Tensor,
        drop: &Dropout,
    ) -> Result<Tensor> {
        let x = tokens.broadcast_add(&prepared.retrieved)?;
        let x = Tensor::cat(&[&prepared.prefix, &x], 1)?.broadcast_add(&self.position)?;
        let mut x = drop.apply(x)?;
        for (block, by) in self.blocks.iter().zip(&prepared.modulations) {
            x = block.forward(&x, by, drop)?;
        }
        layer_norm(&x.narrow(1, PREFIX, TOKENS)?.contiguous()?)
    }

    /// Embeds each token as the sum of the embeddings of its codes. The result is `[batch, 64,
    /// width]`.
    pub fn embed(&self, tokens: &FsqCodes) -> Result<Tensor> {
        let codes = self.levels.len();
        let batch = tokens.0.len() / codes / TOKENS;
        if self.use_autograd {
            let sum = sum_of_code_rows(&self.token, tokens, &self.levels, true)?;
            return sum.reshape((batch, TOKENS, self.width));
        }
        let mut sum: Option<Tensor> = None;
        let mut start = 0;
        for (at, levels) in self.levels.iter().enumerate() {
            let own = tokens.0.iter().skip(at).step_by(codes);
            let rows: Vec<u32> = own.map(|v| (start + usize::from(*v)) as u32).collect();
            let rows = Tensor::new(rows, self.token.device())?;
            let rows = self.token.index_select(&rows, 0)?;
            sum = Some(match sum {
                None => rows,
                Some(sum) => (sum + rows)?,
            });
            start += levels;
        }
        let sum = sum.ok_or_else(|| Error::Msg("no codes".into()))?;
        sum.reshape((batch, TOKENS, self.width))
    }
}

/// Sums the table rows of each token's codes. The result is `[batch * 64, width]`. It is computed
/// by multiplying a matrix of zeros and ones by the table.
pub fn sum_of_code_rows(
    table: &Tensor,
    tokens: &FsqCodes,
    levels: &[usize],
    use_autograd: bool,
) -> Result<Tensor> {
    let rows = table.dim(0)?;
    let count = tokens.0.len() / levels.len();
    let mut ones = vec![0f32; count * rows];
    for (ones, codes) in ones.chunks_mut(rows).zip(tokens.0.chunks(levels.len())) {
        code_rows(codes, levels).for_each(|row| ones[row] = 1.0);
    }
    let ones = Tensor::from_vec(ones, (count, rows), table.device())?;
    matmul_table(&ones, table, use_autograd)
}

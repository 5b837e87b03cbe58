//! Encodes retrieved examples as one vector for each of a picture's 64 tokens.
//!
//! A token of an example is encoded as the sum of table rows, one for each of its codes. The table
//! has separate rows for every style. The relevance of one style to another is learned. Training
//! uses tensor operations. Drawing adds up the few rows directly.

use super::conditioning::Conditioning;
use super::config::{Config, TOKENS};
use super::quantizer::FsqCodes;
use super::retrieval_index::RetrievedExamples;
use super::weights::{Weights, normal};
use crate::autograd;
use candle_core::{Error, Result, Tensor};
use candle_nn::Init;

/// The factor by which the learned style similarities are multiplied before the softmax. An
/// optimizer step changes every parameter by about the same small amount, so without the factor the
/// similarities would change too slowly.
const SIMILARITY_TEMPERATURE: f64 = 8.0;

pub struct RetrievalEncoder {
    /// The rows that encode each code in each style, `[(styles + 1) * code values, width]`.
    table: Tensor,
    /// The similarity of each requested style (row) to each example style (column), `[styles + 1,
    /// styles + 1]`.
    nearness: Tensor,
    /// The vector `[width]` that is used if there is no example.
    empty: Tensor,
    levels: Vec<usize>,
    styles: usize,
    use_autograd: bool,
}

impl RetrievalEncoder {
    /// Creates an encoder. `use_autograd` says whether to train with the [`autograd`] crate.
    pub fn new(weights: &Weights, config: &Config, use_autograd: bool) -> Result<RetrievalEncoder> {
        let (width, styles) = (config.tokens.stack.width, config.styles.len());
        let rows = (styles + 1) * config.code_values();
        Ok(RetrievalEncoder {
            table: weights.get(&[rows, width], "memory", normal(0.1))?,
            nearness: weights.embedding_table(styles + 1, styles + 1, "nearness", 0.0)?,
            empty: weights.get(&[width], "no_memory", Init::Const(0.0))?,
            levels: config.levels.clone(),
            styles,
            use_autograd,
        })
    }

    /// Encodes the examples. The result is `[batch, 64, width]`, or `[1, width]` if no picture has
    /// an example.
    pub fn forward(
        &self,
        style_weights: Option<&Tensor>,
        retrieved: &[RetrievedExamples],
    ) -> Result<Tensor> {
        match style_weights {
            None => self.empty.unsqueeze(0),
            Some(style_weights) if style_weights.track_op() || !style_weights.device().is_cpu() => {
                self.forward_tensors(style_weights, retrieved)
            }
            Some(style_weights) => self.forward_cpu(style_weights, retrieved),
        }
    }

    /// Computes the weight of each example style, `[batch, styles + 1]`. The weights of a picture
    /// sum to one. The result is None if no picture has an example.
    pub fn style_weights(
        &self,
        conditioning: &Conditioning,
        retrieved: &[RetrievedExamples],
    ) -> Result<Option<Tensor>> {
        if retrieved.iter().all(Vec::is_empty) {
            return Ok(None);
        }
        if retrieved.len() != conditioning.len() {
            return Err(Error::Msg("each picture needs its own examples".into()));
        }
        let slots = self.styles + 1;
        let mut has = vec![0f32; conditioning.len() * slots];
        for (has, retrieved) in has.chunks_mut(slots).zip(retrieved) {
            retrieved.iter().for_each(|(slot, _)| has[*slot] = 1.0);
        }
        let has = Tensor::from_vec(has, (conditioning.len(), slots), self.nearness.device())?;
        let style_weights = self
            .nearness
            .index_select(&conditioning.style_rows(self.styles)?, 0)?;
        let style_weights = ((style_weights * SIMILARITY_TEMPERATURE)?.exp()? * has)?;
        style_weights
            .broadcast_div(&(style_weights.sum_keepdim(1)? + 1e-9)?)
            .map(Some)
    }

    fn forward_tensors(
        &self,
        style_weights: &Tensor,
        retrieved: &[RetrievedExamples],
    ) -> Result<Tensor> {
        let (slots, rows) = (self.styles + 1, self.levels.iter().sum::<usize>());
        let mut ones = vec![0f32; retrieved.len() * TOKENS * slots * rows];
        for (at, retrieved) in retrieved.iter().enumerate() {
            for (slot, codes) in retrieved {
                for (place, codes) in codes.0.chunks(self.levels.len()).enumerate() {
                    let start = ((at * TOKENS + place) * slots + slot) * rows;
                    let row = |row: usize| ones[start + row] = 1.0;
                    code_rows(codes, &self.levels).for_each(row);
                }
            }
        }
        let ones = Tensor::from_vec(
            ones,
            (retrieved.len(), TOKENS, slots, rows),
            style_weights.device(),
        )?;
        let out = ones.broadcast_mul(&style_weights.reshape((retrieved.len(), 1, slots, 1))?)?;
        let out = out.reshape((retrieved.len() * TOKENS, slots * rows))?;
        let out = matmul_table(&out, &self.table, self.use_autograd)?;
        let out = out.reshape((retrieved.len(), TOKENS, ()))?;
        let some: Vec<bool> = retrieved
            .iter()
            .flat_map(|s| [!s.is_empty(); TOKENS])
            .collect();
        select_rows(&some, &out, &self.empty)
    }

    fn forward_cpu(
        &self,
        style_weights: &Tensor,
        retrieved: &[RetrievedExamples],
    ) -> Result<Tensor> {
        let (width, rows) = (self.empty.dim(0)?, self.levels.iter().sum::<usize>());
        let table = self.table.flatten_all()?.to_vec1::<f32>()?;
        let empty = self.empty.to_vec1::<f32>()?;
        let mut out = vec![0f32; retrieved.len() * TOKENS * width];
        let each = out.chunks_mut(TOKENS * width).zip(retrieved);
        for ((out, retrieved), style_weights) in each.zip(style_weights.to_vec2::<f32>()?) {
            if retrieved.is_empty() {
                out.chunks_mut(width)
                    .for_each(|out| out.copy_from_slice(&empty));
            }
            for (slot, codes) in retrieved {
                let tokens = codes.0.chunks(self.levels.len());
                for (out, codes) in out.chunks_mut(width).zip(tokens) {
                    for row in code_rows(codes, &self.levels) {
                        let row = &table[(slot * rows + row) * width..][..width];
                        let pairs = out.iter_mut().zip(row);
                        pairs.for_each(|(out, x)| *out += style_weights[*slot] * x);
                    }
                }
            }
        }
        Tensor::from_vec(
            out,
            (retrieved.len(), TOKENS, width),
            style_weights.device(),
        )
    }
}

/// Samples one example for each picture with the probabilities `style_weights` `[batch, styles +
/// 1]`. `chances` contains one random number (0 to 1) for each picture.
pub fn sample_example<'a>(
    style_weights: &Tensor,
    retrieved: &'a [RetrievedExamples],
    chances: &[f64],
) -> Result<Vec<Option<&'a FsqCodes>>> {
    let style_weights = style_weights.to_vec2::<f32>()?;
    let rows = retrieved.iter().zip(style_weights).zip(chances);
    let one = |((retrieved, style_weights), chance): ((&'a RetrievedExamples, Vec<f32>), &f64)| {
        let mut left = *chance;
        let found = retrieved.iter().find(|(slot, _)| {
            left -= f64::from(style_weights[*slot]);
            left < 0.0
        });
        found.or(retrieved.last()).map(|(_, codes)| codes)
    };
    Ok(rows.map(one).collect())
}

/// Returns the rows of a token's codes in a table that has one row for each code value.
pub fn code_rows<'a>(codes: &'a [u8], levels: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    let starts = levels.iter().scan(0, |next, levels| {
        *next += levels;
        Some(*next - levels)
    });
    codes
        .iter()
        .zip(starts)
        .map(|(code, start)| start + usize::from(*code))
}

/// Multiplies `rows` `[count, rows]` by a table `[rows, width]`.
pub fn matmul_table(rows: &Tensor, table: &Tensor, use_autograd: bool) -> Result<Tensor> {
    if !use_autograd {
        return rows.matmul(table);
    }
    let empty = Tensor::zeros(table.dim(1)?, table.dtype(), table.device())?;
    autograd::affine(rows, &table.t()?, &empty)
}

/// Selects a row for each token: the token's row of `yes` `[batch, 64, width]` if `rows` is true
/// for the token, and `no` `[width]` if it is false.
pub fn select_rows(rows: &[bool], yes: &Tensor, no: &Tensor) -> Result<Tensor> {
    let share: Vec<f32> = rows.iter().map(|row| f32::from(u8::from(*row))).collect();
    let share = Tensor::from_vec(share, (yes.dim(0)?, TOKENS, 1), yes.device())?;
    let no = no.broadcast_mul(&(1.0 - &share)?)?;
    yes.broadcast_mul(&share)? + no
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use candle_nn::VarBuilder;
    use sampler::rng::Rng;
    use std::collections::HashMap;

    #[test]
    fn plain_numbers_and_tensors_tell_the_same() {
        let json = include_bytes!("../../../tests/reference/illuminator/config.json");
        let config = Config::parse(json).unwrap();
        let bytes = include_bytes!("../../../tests/reference/illuminator/tokens.safetensors");
        let cpu = &Device::Cpu;
        let tensors = candle_core::safetensors::load_buffer(bytes, cpu).unwrap();
        let tensors: HashMap<String, Tensor> = tensors;
        let weights = Weights::plain(VarBuilder::from_tensors(tensors, DType::F32, cpu));
        let encoder = RetrievalEncoder::new(&weights, &config, false).unwrap();
        let mut rng = Rng::new(1);
        let mut picture = || FsqCodes((0..128).map(|_| (rng.next_f64() * 3.0) as u8).collect());
        let retrieved = [
            vec![(0, picture()), (2, picture())],
            vec![],
            vec![(1, picture())],
        ];
        let conditioning = Conditioning {
            text: Tensor::zeros((3, 384), DType::F32, cpu).unwrap(),
            style: vec![Some(1), Some(0), None],
            flip: vec![false; 3],
        };
        let style_weights = encoder
            .style_weights(&conditioning, &retrieved)
            .unwrap()
            .unwrap();
        let flat = |out: Tensor| out.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let one = flat(encoder.forward_cpu(&style_weights, &retrieved).unwrap());
        let other = flat(encoder.forward_tensors(&style_weights, &retrieved).unwrap());
        assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-5));
        assert_ne!(one[..32], one[64 * 32..65 * 32]);
        let first = style_weights.to_vec2::<f32>().unwrap()[0][0];
        let by = |chance| sample_example(&style_weights, &retrieved, &[chance; 3]).unwrap();
        let (before, after) = (f64::from(first) - 1e-3, f64::from(first) + 1e-3);
        assert_eq!(by(before)[0], Some(&retrieved[0][0].1));
        assert_eq!(by(after)[0], Some(&retrieved[0][1].1));
        assert_eq!(by(1.0)[1..], [None, Some(&retrieved[2][0].1)]);
        assert!(encoder.style_weights(&conditioning, &[]).unwrap().is_none());
        assert!(
            encoder
                .style_weights(&conditioning, &retrieved[..2])
                .is_err()
        );
    }
}

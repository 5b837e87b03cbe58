//! What pictures that are shown beside one tell of each of its places.
//!
//! Each of their tokens is the sum of its digits' rows in a table that has its own for every style;
//! how much a style tells of another is learned. Training goes through tensors; drawing adds up the
//! few rows that count in plain numbers.

use super::conditioning::Conditioning;
use super::config::{Config, TOKENS};
use super::retrieval_index::RetrievedExamples;
use super::tokens::FsqCodes;
use super::weights::{Weights, normal};
use candle_core::{Error, Result, Tensor};
use candle_nn::Init;

/// How fast what is learned of styles' nearness counts, since training's steps are all of one size.
const SIMILARITY_TEMPERATURE: f64 = 8.0;

pub struct RetrievalEncoder {
    /// `[(styles + 1) * levels of all digits, width]`.
    memory: Tensor,
    /// `[styles + 1, styles + 1]`: of each style that is wanted to each that is shown.
    nearness: Tensor,
    /// `[width]`: where nothing is shown.
    none: Tensor,
    levels: Vec<usize>,
    styles: usize,
    quick: bool,
}

impl RetrievalEncoder {
    /// `quick`: trained by [`gradient`].
    pub fn new(weights: &Weights, config: &Config, quick: bool) -> Result<RetrievalEncoder> {
        let (width, styles) = (config.tokens.stack.width, config.styles.len());
        let rows = (styles + 1) * config.rows();
        Ok(RetrievalEncoder {
            memory: weights.get(&[rows, width], "memory", normal(0.1))?,
            nearness: weights.table(styles + 1, styles + 1, "nearness", 0.0)?,
            none: weights.get(&[width], "no_memory", Init::Const(0.0))?,
            levels: config.levels.clone(),
            styles,
            quick,
        })
    }

    /// `[batch, 64, width]`, or `[1, width]` where nothing is shown beside any.
    pub fn forward(
        &self,
        near: Option<&Tensor>,
        retrieved: &[RetrievedExamples],
    ) -> Result<Tensor> {
        match near {
            None => self.none.unsqueeze(0),
            Some(near) if near.track_op() || !near.device().is_cpu() => {
                self.tensors(near, retrieved)
            }
            Some(near) => self.numbers(near, retrieved),
        }
    }

    /// How much each of the pictures shown counts, together one: `[batch, styles + 1]`; None where
    /// nothing is shown beside any.
    pub fn near(
        &self,
        conditioning: &Conditioning,
        retrieved: &[RetrievedExamples],
    ) -> Result<Option<Tensor>> {
        if retrieved.iter().all(Vec::is_empty) {
            return Ok(None);
        }
        if retrieved.len() != conditioning.len() {
            return Err(Error::Msg("each picture wants its own beside it".into()));
        }
        let slots = self.styles + 1;
        let mut has = vec![0f32; conditioning.len() * slots];
        for (has, retrieved) in has.chunks_mut(slots).zip(retrieved) {
            retrieved.iter().for_each(|(slot, _)| has[*slot] = 1.0);
        }
        let has = Tensor::from_vec(has, (conditioning.len(), slots), self.nearness.device())?;
        let near = self
            .nearness
            .index_select(&conditioning.style_rows(self.styles)?, 0)?;
        let near = ((near * SIMILARITY_TEMPERATURE)?.exp()? * has)?;
        near.broadcast_div(&(near.sum_keepdim(1)? + 1e-9)?)
            .map(Some)
    }

    fn tensors(&self, near: &Tensor, retrieved: &[RetrievedExamples]) -> Result<Tensor> {
        let (slots, rows) = (self.styles + 1, self.levels.iter().sum::<usize>());
        let mut ones = vec![0f32; retrieved.len() * TOKENS * slots * rows];
        for (at, retrieved) in retrieved.iter().enumerate() {
            for (slot, digits) in retrieved {
                for (place, digits) in digits.0.chunks(self.levels.len()).enumerate() {
                    let start = ((at * TOKENS + place) * slots + slot) * rows;
                    let row = |row: usize| ones[start + row] = 1.0;
                    rows_of(digits, &self.levels).for_each(row);
                }
            }
        }
        let ones = Tensor::from_vec(ones, (retrieved.len(), TOKENS, slots, rows), near.device())?;
        let told = ones.broadcast_mul(&near.reshape((retrieved.len(), 1, slots, 1))?)?;
        let told = told.reshape((retrieved.len() * TOKENS, slots * rows))?;
        let told = product(&told, &self.memory, self.quick)?;
        let told = told.reshape((retrieved.len(), TOKENS, ()))?;
        let some: Vec<bool> = retrieved
            .iter()
            .flat_map(|s| [!s.is_empty(); TOKENS])
            .collect();
        choose(&some, &told, &self.none)
    }

    fn numbers(&self, near: &Tensor, retrieved: &[RetrievedExamples]) -> Result<Tensor> {
        let (width, rows) = (self.none.dim(0)?, self.levels.iter().sum::<usize>());
        let table = self.memory.flatten_all()?.to_vec1::<f32>()?;
        let none = self.none.to_vec1::<f32>()?;
        let mut told = vec![0f32; retrieved.len() * TOKENS * width];
        let each = told.chunks_mut(TOKENS * width).zip(retrieved);
        for ((told, retrieved), near) in each.zip(near.to_vec2::<f32>()?) {
            if retrieved.is_empty() {
                told.chunks_mut(width)
                    .for_each(|told| told.copy_from_slice(&none));
            }
            for (slot, digits) in retrieved {
                let tokens = digits.0.chunks(self.levels.len());
                for (told, digits) in told.chunks_mut(width).zip(tokens) {
                    for row in rows_of(digits, &self.levels) {
                        let row = &table[(slot * rows + row) * width..][..width];
                        let pairs = told.iter_mut().zip(row);
                        pairs.for_each(|(told, x)| *told += near[*slot] * x);
                    }
                }
            }
        }
        Tensor::from_vec(told, (retrieved.len(), TOKENS, width), near.device())
    }
}

/// Of the pictures shown beside each one, by the chance (0 to 1) that is given for each: the likelier,
/// the more its style tells of the wanted one, which `near` `[batch, styles + 1]` says.
pub fn one_of<'a>(
    near: &Tensor,
    retrieved: &'a [RetrievedExamples],
    chances: &[f64],
) -> Result<Vec<Option<&'a FsqCodes>>> {
    let near = near.to_vec2::<f32>()?;
    let rows = retrieved.iter().zip(near).zip(chances);
    let one = |((retrieved, near), chance): ((&'a RetrievedExamples, Vec<f32>), &f64)| {
        let mut left = *chance;
        let found = retrieved.iter().find(|(slot, _)| {
            left -= f64::from(near[*slot]);
            left < 0.0
        });
        found.or(retrieved.last()).map(|(_, digits)| digits)
    };
    Ok(rows.map(one).collect())
}

/// The rows that belong to a token's digits, in a table with one for each digit and value.
pub fn rows_of<'a>(digits: &'a [u8], levels: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    let starts = levels.iter().scan(0, |next, levels| {
        *next += levels;
        Some(*next - levels)
    });
    digits
        .iter()
        .zip(starts)
        .map(|(digit, start)| start + usize::from(*digit))
}

/// Rows `[count, rows]` times a table `[rows, width]`.
pub fn product(rows: &Tensor, table: &Tensor, quick: bool) -> Result<Tensor> {
    if !quick {
        return rows.matmul(table);
    }
    let none = Tensor::zeros(table.dim(1)?, table.dtype(), table.device())?;
    autograd::affine(rows, &table.t()?, &none)
}

/// Rows of `yes` `[batch, 64, width]` where `rows` is true, `no` `[width]` elsewhere.
pub fn choose(rows: &[bool], yes: &Tensor, no: &Tensor) -> Result<Tensor> {
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
        let recall = RetrievalEncoder::new(&weights, &config, false).unwrap();
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
        let near = recall.near(&conditioning, &retrieved).unwrap().unwrap();
        let flat = |told: Tensor| told.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let one = flat(recall.numbers(&near, &retrieved).unwrap());
        let other = flat(recall.tensors(&near, &retrieved).unwrap());
        assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-5));
        assert_ne!(one[..32], one[64 * 32..65 * 32]);
        let first = near.to_vec2::<f32>().unwrap()[0][0];
        let by = |chance| one_of(&near, &retrieved, &[chance; 3]).unwrap();
        let (before, after) = (f64::from(first) - 1e-3, f64::from(first) + 1e-3);
        assert_eq!(by(before)[0], Some(&retrieved[0][0].1));
        assert_eq!(by(after)[0], Some(&retrieved[0][1].1));
        assert_eq!(by(1.0)[1..], [None, Some(&retrieved[2][0].1)]);
        assert!(recall.near(&conditioning, &[]).unwrap().is_none());
        assert!(recall.near(&conditioning, &retrieved[..2]).is_err());
    }
}

//! What pictures that are shown beside one tell of each of its places.
//!
//! Each of their tokens is the sum of its digits' rows in a table that has its own for every style;
//! how much a style tells of another is learned. Training goes through tensors; drawing adds up the
//! few rows that count in plain numbers.

use super::condition::Wish;
use super::config::{Config, TOKENS};
use super::memory::Shown;
use super::tokens::Digits;
use super::weights::{Weights, normal};
use candle_core::{Error, Result, Tensor};
use candle_nn::Init;

/// How fast what is learned of styles' nearness counts, since training's steps are all of one size.
const STEEP: f64 = 8.0;

pub struct Recall {
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

impl Recall {
    /// `quick`: trained by [`gradient`].
    pub fn new(weights: &Weights, config: &Config, quick: bool) -> Result<Recall> {
        let (width, styles) = (config.tokens.stack.width, config.styles.len());
        let rows = (styles + 1) * config.rows();
        Ok(Recall {
            memory: weights.get(&[rows, width], "memory", normal(0.1))?,
            nearness: weights.table(styles + 1, styles + 1, "nearness", 0.0)?,
            none: weights.get(&[width], "no_memory", Init::Const(0.0))?,
            levels: config.levels.clone(),
            styles,
            quick,
        })
    }

    /// `[batch, 64, width]`, or `[1, width]` where nothing is shown beside any.
    pub fn forward(&self, near: Option<&Tensor>, shown: &[Shown]) -> Result<Tensor> {
        match near {
            None => self.none.unsqueeze(0),
            Some(near) if near.track_op() || !near.device().is_cpu() => self.tensors(near, shown),
            Some(near) => self.numbers(near, shown),
        }
    }

    /// How much each of the pictures shown counts, together one: `[batch, styles + 1]`; None where
    /// nothing is shown beside any.
    pub fn near(&self, wish: &Wish, shown: &[Shown]) -> Result<Option<Tensor>> {
        if shown.iter().all(Vec::is_empty) {
            return Ok(None);
        }
        if shown.len() != wish.len() {
            return Err(Error::Msg("each picture wants its own beside it".into()));
        }
        let slots = self.styles + 1;
        let mut has = vec![0f32; wish.len() * slots];
        for (has, shown) in has.chunks_mut(slots).zip(shown) {
            shown.iter().for_each(|(slot, _)| has[*slot] = 1.0);
        }
        let has = Tensor::from_vec(has, (wish.len(), slots), self.nearness.device())?;
        let near = self.nearness.index_select(&wish.styles(self.styles)?, 0)?;
        let near = ((near * STEEP)?.exp()? * has)?;
        near.broadcast_div(&(near.sum_keepdim(1)? + 1e-9)?)
            .map(Some)
    }

    fn tensors(&self, near: &Tensor, shown: &[Shown]) -> Result<Tensor> {
        let (slots, rows) = (self.styles + 1, self.levels.iter().sum::<usize>());
        let mut ones = vec![0f32; shown.len() * TOKENS * slots * rows];
        for (at, shown) in shown.iter().enumerate() {
            for (slot, digits) in shown {
                for (place, digits) in digits.0.chunks(self.levels.len()).enumerate() {
                    let start = ((at * TOKENS + place) * slots + slot) * rows;
                    let row = |row: usize| ones[start + row] = 1.0;
                    rows_of(digits, &self.levels).for_each(row);
                }
            }
        }
        let ones = Tensor::from_vec(ones, (shown.len(), TOKENS, slots, rows), near.device())?;
        let told = ones.broadcast_mul(&near.reshape((shown.len(), 1, slots, 1))?)?;
        let told = told.reshape((shown.len() * TOKENS, slots * rows))?;
        let told = product(&told, &self.memory, self.quick)?;
        let told = told.reshape((shown.len(), TOKENS, ()))?;
        let some: Vec<bool> = shown.iter().flat_map(|s| [!s.is_empty(); TOKENS]).collect();
        choose(&some, &told, &self.none)
    }

    fn numbers(&self, near: &Tensor, shown: &[Shown]) -> Result<Tensor> {
        let (width, rows) = (self.none.dim(0)?, self.levels.iter().sum::<usize>());
        let table = self.memory.flatten_all()?.to_vec1::<f32>()?;
        let none = self.none.to_vec1::<f32>()?;
        let mut told = vec![0f32; shown.len() * TOKENS * width];
        let each = told.chunks_mut(TOKENS * width).zip(shown);
        for ((told, shown), near) in each.zip(near.to_vec2::<f32>()?) {
            if shown.is_empty() {
                told.chunks_mut(width)
                    .for_each(|told| told.copy_from_slice(&none));
            }
            for (slot, digits) in shown {
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
        Tensor::from_vec(told, (shown.len(), TOKENS, width), near.device())
    }
}

/// Of the pictures shown beside each one, by the chance (0 to 1) that is given for each: the likelier,
/// the more its style tells of the wanted one, which `near` `[batch, styles + 1]` says.
pub fn one_of<'a>(
    near: &Tensor,
    shown: &'a [Shown],
    chances: &[f64],
) -> Result<Vec<Option<&'a Digits>>> {
    let near = near.to_vec2::<f32>()?;
    let rows = shown.iter().zip(near).zip(chances);
    let one = |((shown, near), chance): ((&'a Shown, Vec<f32>), &f64)| {
        let mut left = *chance;
        let found = shown.iter().find(|(slot, _)| {
            left -= f64::from(near[*slot]);
            left < 0.0
        });
        found.or(shown.last()).map(|(_, digits)| digits)
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
        let config = Config::read(json).unwrap();
        let bytes = include_bytes!("../../../tests/reference/illuminator/tokens.safetensors");
        let cpu = &Device::Cpu;
        let tensors = candle_core::safetensors::load_buffer(bytes, cpu).unwrap();
        let tensors: HashMap<String, Tensor> = tensors;
        let weights = Weights::plain(VarBuilder::from_tensors(tensors, DType::F32, cpu));
        let recall = Recall::new(&weights, &config, false).unwrap();
        let mut rng = Rng::new(1);
        let mut picture = || Digits((0..128).map(|_| (rng.next_f64() * 3.0) as u8).collect());
        let shown = [
            vec![(0, picture()), (2, picture())],
            vec![],
            vec![(1, picture())],
        ];
        let wish = Wish {
            text: Tensor::zeros((3, 384), DType::F32, cpu).unwrap(),
            style: vec![Some(1), Some(0), None],
            flip: vec![false; 3],
        };
        let near = recall.near(&wish, &shown).unwrap().unwrap();
        let flat = |told: Tensor| told.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let one = flat(recall.numbers(&near, &shown).unwrap());
        let other = flat(recall.tensors(&near, &shown).unwrap());
        assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-5));
        assert_ne!(one[..32], one[64 * 32..65 * 32]);
        let first = near.to_vec2::<f32>().unwrap()[0][0];
        let by = |chance| one_of(&near, &shown, &[chance; 3]).unwrap();
        let (before, after) = (f64::from(first) - 1e-3, f64::from(first) + 1e-3);
        assert_eq!(by(before)[0], Some(&shown[0][0].1));
        assert_eq!(by(after)[0], Some(&shown[0][1].1));
        assert_eq!(by(1.0)[1..], [None, Some(&shown[2][0].1)]);
        assert!(recall.near(&wish, &[]).unwrap().is_none());
        assert!(recall.near(&wish, &shown[..2]).is_err());
    }
}

//! What the token Transformer composes of the words of pictures that are trained on, as drawing
//! would: a few at each step, each once, until all that are drawn have theirs.

use super::batches::{Batch, Batches};
use super::token_table::Table;
use super::variables::{Tensors, fixed};
use candle_core::{Device, Error, Result, Tensor};
use imagegen::conditioning::Conditioning;
use imagegen::config::{Config, TOKENS};
use imagegen::retrieval_index::RetrievedExamples;
use imagegen::sampling::{Sampling, generate_tokens};
use imagegen::tokens::{FsqCodes, TokenTransformer};
use rayon::current_num_threads;
use sampler::rng::Rng;
use std::collections::BTreeMap;

/// Pictures that are composed at a step, at most.
const SOME: usize = 8;
/// How strongly what is remembered pulls, at least and at most.
const LEAST: f64 = 1.0;
const MOST: f64 = 4.0;

pub struct Pool {
    composer: TokenTransformer,
    /// By picture and flip.
    composed: BTreeMap<(usize, bool), Vec<u8>>,
    /// Digits of a picture.
    digits: usize,
    device: Device,
}

impl Pool {
    /// `tokens`: the token Transformer's. On a CPU it composes as drawing does, with 8 bits.
    pub fn new(tokens: &Tensors, config: &Config, batches: &Batches) -> Result<Pool> {
        let device = batches.device();
        let composer = fixed(tokens, device, |weights| {
            TokenTransformer::new(&weights.for_inference(current_num_threads()), config)
        })?;
        Ok(Pool {
            composer,
            composed: BTreeMap::new(),
            digits: TOKENS * config.codes_per_token(),
            device: device.clone(),
        })
    }

    /// What was composed of a picture's words.
    pub fn of(&self, at: usize, flip: bool) -> Option<&[u8]> {
        self.composed.get(&(at, flip)).map(Vec::as_slice)
    }

    /// Composes those of a batch that are not yet, but not too many at once.
    pub fn compose(
        &mut self,
        batches: &Batches,
        batch: &Batch,
        table: &Table,
        rng: &mut Rng,
    ) -> Result<()> {
        let mut rows = Vec::new();
        for (row, key) in batch.index.iter().zip(&batch.conditioning.flip).enumerate() {
            let key = (*key.0, *key.1);
            let fresh = !self.composed.contains_key(&key);
            if fresh && rows.len() < SOME && rows.iter().all(|(_, other)| *other != key) {
                rows.push((row, key));
            }
        }
        // So that drawing may have it either way.
        let recall = LEAST + (MOST - LEAST) * rng.next_f64();
        // So that chance is the same whatever is known already.
        let mut rngs: Vec<Rng> = (0..SOME).map(|_| Rng::new(rng.next_u64())).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let of_row = |(row, _): &(usize, _)| *row as u32;
        let some: Vec<u32> = rows.iter().map(of_row).collect();
        let conditioning = Conditioning {
            text: batch
                .conditioning
                .text
                .index_select(&Tensor::new(some, &self.device)?, 0)?,
            style: rows
                .iter()
                .map(|(row, _)| batch.conditioning.style[*row])
                .collect(),
            flip: rows.iter().map(|(_, (_, flip))| *flip).collect(),
        };
        let others = |(_, key): &(usize, (usize, bool))| table.others(batches, *key, || true);
        let shown: Vec<RetrievedExamples> = rows.iter().map(others).collect();
        let sampling = Sampling {
            retrieval_strength: recall,
            ..Sampling::default()
        };
        let written = self.write((&conditioning, &shown), &sampling, &mut rngs[..rows.len()])?;
        for ((_, key), digits) in rows.into_iter().zip(written.0.chunks(self.digits)) {
            self.composed.insert(key, digits.to_vec());
        }
        Ok(())
    }

    /// Composes under a wish, beside what is shown.
    pub fn write(
        &self,
        (conditioning, shown): (&Conditioning, &[RetrievedExamples]),
        sampling: &Sampling,
        rngs: &mut [Rng],
    ) -> Result<FsqCodes> {
        let go_on = &mut || true;
        let written = generate_tokens(
            &self.composer,
            conditioning,
            sampling,
            rngs,
            None,
            shown,
            go_on,
        )?;
        Ok(written.unwrap_or(FsqCodes(Vec::new())))
    }

    /// `tokens` `[pictures, 64 * digits]`, and `picture` and `flip` `[pictures]`.
    pub fn keep(&self) -> Result<Tensors> {
        let (cpu, count) = (&Device::Cpu, self.composed.len());
        let tokens: Vec<u8> = self.composed.values().flatten().copied().collect();
        let picture: Vec<u32> = self.composed.keys().map(|(at, _)| *at as u32).collect();
        let flip: Vec<u32> = self.composed.keys().map(|(_, f)| u32::from(*f)).collect();
        Ok(Tensors::from([
            (
                "tokens".into(),
                Tensor::from_vec(tokens, (count, self.digits), cpu)?,
            ),
            ("picture".into(), Tensor::from_vec(picture, count, cpu)?),
            ("flip".into(), Tensor::from_vec(flip, count, cpu)?),
        ]))
    }

    pub fn restore(&mut self, kept: Option<Tensors>) -> Result<()> {
        let missing = || Error::Msg("the checkpoint has nothing composed".into());
        let kept = kept.ok_or_else(missing)?;
        let part = |name: &str| kept.get(name).ok_or_else(missing);
        let tokens = part("tokens")?.flatten_all()?.to_vec1::<u8>()?;
        let picture = part("picture")?.to_vec1::<u32>()?;
        let flip = part("flip")?.to_vec1::<u32>()?;
        let keys = picture
            .iter()
            .zip(flip)
            .map(|(at, flip)| (*at as usize, flip != 0));
        let each = tokens.chunks(self.digits).map(<[u8]>::to_vec);
        self.composed = keys.zip(each).collect();
        Ok(())
    }
}

//! Tokens that the token Transformer samples for the captions of training pictures, just as when it
//! draws: for a few pictures at each step, until every picture of the dataset has sampled tokens.

use super::batches::Batch;
use super::data::dataset::PictureKey;
use super::phase::PhaseInput;
use super::token_table::TokenTable;
use super::variables::Tensors;
use candle_core::{Device, Error, Result, Tensor};
use imagegen::conditioning::Conditioning;
use imagegen::config::TOKENS;
use imagegen::quantizer::FsqCodes;
use imagegen::retrieval_index::RetrievedExamples;
use imagegen::sampling::{Sampling, generate_tokens};
use imagegen::tokens::TokenTransformer;
use rayon::current_num_threads;
use sampler::rng::Rng;
use std::collections::BTreeMap;

/// The maximum number of pictures to sample per step.
const PER_STEP: usize = 8;
/// The lowest retrieval strength. The strength varies, so that the refiner sees tokens sampled at
/// every setting.
const WEAKEST_RETRIEVAL: f64 = 1.0;
/// The highest retrieval strength.
const STRONGEST_RETRIEVAL: f64 = 4.0;

pub struct TokenPool {
    transformer: TokenTransformer,
    tokens: BTreeMap<PictureKey, Vec<u8>>,
    /// The number of bytes of a picture's tokens.
    length: usize,
    device: Device,
}

impl TokenPool {
    /// Creates an empty pool. `transformer` contains the weights of the token Transformer, which on
    /// a CPU runs in 8 bits, just as when it draws.
    pub fn new(input: &PhaseInput, transformer: &Tensors) -> Result<TokenPool> {
        Ok(TokenPool {
            transformer: input.frozen(transformer, |w, config| {
                TokenTransformer::new(&w.for_inference(current_num_threads()), config)
            })?,
            tokens: BTreeMap::new(),
            length: TOKENS * input.config.codes_per_token(),
            device: input.device().clone(),
        })
    }

    /// The tokens sampled for a picture's caption, if there are any yet.
    pub fn tokens(&self, key: PictureKey) -> Option<&[u8]> {
        self.tokens.get(&key).map(Vec::as_slice)
    }

    /// Samples tokens for the pictures of a batch that have none yet, up to [`PER_STEP`] of them.
    pub fn fill(&mut self, batch: &Batch, table: &TokenTable, rng: &mut Rng) -> Result<()> {
        let mut rows: Vec<(usize, PictureKey)> = Vec::new();
        for (row, key) in batch.keys().enumerate() {
            let missing = !self.tokens.contains_key(&key);
            if missing && rows.len() < PER_STEP && rows.iter().all(|(_, other)| *other != key) {
                rows.push((row, key));
            }
        }
        let strength =
            WEAKEST_RETRIEVAL + (STRONGEST_RETRIEVAL - WEAKEST_RETRIEVAL) * rng.next_f64();
        // The same random numbers are used up, whether or not tokens are missing.
        let mut rngs: Vec<Rng> = (0..PER_STEP).map(|_| Rng::new(rng.next_u64())).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let index: Vec<u32> = rows.iter().map(|(row, _)| *row as u32).collect();
        let conditioning = Conditioning {
            text: batch
                .conditioning
                .text
                .index_select(&Tensor::new(index, &self.device)?, 0)?,
            style: rows
                .iter()
                .map(|(row, _)| batch.conditioning.style[*row])
                .collect(),
            flip: rows.iter().map(|(_, key)| key.flip).collect(),
        };
        let examples = |(_, key): &(usize, PictureKey)| table.examples(*key, || true);
        let shown: Vec<RetrievedExamples> = rows.iter().map(examples).collect();
        let sampling = Sampling {
            retrieval_strength: strength,
            ..Sampling::default()
        };
        let written = self.sample(&conditioning, &shown, &sampling, &mut rngs[..rows.len()])?;
        for ((_, key), tokens) in rows.into_iter().zip(written.0.chunks(self.length)) {
            self.tokens.insert(key, tokens.to_vec());
        }
        Ok(())
    }

    /// Samples tokens under a conditioning, with retrieved examples.
    pub fn sample(
        &self,
        conditioning: &Conditioning,
        shown: &[RetrievedExamples],
        sampling: &Sampling,
        rngs: &mut [Rng],
    ) -> Result<FsqCodes> {
        let go_on = &mut || true;
        let written = generate_tokens(
            &self.transformer,
            conditioning,
            sampling,
            rngs,
            None,
            shown,
            go_on,
        )?;
        Ok(written.unwrap_or(FsqCodes(Vec::new())))
    }

    /// The pool as tensors for a checkpoint: `tokens` `[pictures, 64 * codes]`, and `picture` and
    /// `flip` `[pictures]`.
    pub fn save(&self) -> Result<Tensors> {
        let (cpu, count) = (&Device::Cpu, self.tokens.len());
        let tokens: Vec<u8> = self.tokens.values().flatten().copied().collect();
        let picture: Vec<u32> = self.tokens.keys().map(|key| key.index as u32).collect();
        let flip: Vec<u32> = self.tokens.keys().map(|key| u32::from(key.flip)).collect();
        let tokens = Tensor::from_vec(tokens, (count, self.length), cpu)?;
        Ok(Tensors::from([
            ("tokens".into(), tokens),
            ("picture".into(), Tensor::from_vec(picture, count, cpu)?),
            ("flip".into(), Tensor::from_vec(flip, count, cpu)?),
        ]))
    }

    pub fn restore(&mut self, saved: Option<Tensors>) -> Result<()> {
        let missing = || Error::Msg("the checkpoint has no sampled tokens".into());
        let saved = saved.ok_or_else(missing)?;
        let part = |name: &str| saved.get(name).ok_or_else(missing);
        let tokens = part("tokens")?.flatten_all()?.to_vec1::<u8>()?;
        let picture = part("picture")?.to_vec1::<u32>()?;
        let flip = part("flip")?.to_vec1::<u32>()?;
        let keys = picture.iter().zip(flip).map(|(index, flip)| PictureKey {
            index: *index as usize,
            flip: flip != 0,
        });
        let each = tokens.chunks(self.length).map(<[u8]>::to_vec);
        self.tokens = keys.zip(each).collect();
        Ok(())
    }
}

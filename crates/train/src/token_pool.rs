//! Tokens that the token Transformer samples for the captions of training pictures, in the same way
//! as for a drawing. Each training step samples tokens for a few more pictures, until every picture
//! of the dataset has sampled tokens.

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

/// The maximum number of pictures for which tokens are sampled per step.
const PER_STEP: usize = 8;
/// The lowest retrieval strength. The strength is random, so that the refiner is trained on tokens
/// sampled at different strengths.
const WEAKEST_RETRIEVAL: f64 = 1.0;
/// The highest retrieval strength.
const STRONGEST_RETRIEVAL: f64 = 4.0;

pub struct TokenPool {
    transformer: TokenTransformer,
    tokens: BTreeMap<PictureKey, Vec<u8>>,
    /// The number of bytes that a picture's tokens take up.
    length: usize,
    device: Device,
}

impl TokenPool {
    /// Creates an empty pool. `transformer` contains the weights of the token Transformer. On a CPU
    /// the network runs in 8 bits, as it does when it draws.
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

    /// Returns the tokens sampled for a picture's caption, or None if they have not been sampled
    /// yet.
    pub fn tokens(&self, key: PictureKey) -> Option<&[u8]> {
        self.tokens.get(&key).map(Vec::as_slice)
    }

    /// Samples tokens for at most [`PER_STEP`] of the batch's pictures that have no sampled tokens
    /// yet.
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

    /// Samples tokens for a conditioning. `shown` contains the retrieved examples.
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

    /// Returns the pool as tensors for a checkpoint. `tokens` is `[pictures, 64 * codes]`;
    /// `picture` and `flip` are `[pictures]`.
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

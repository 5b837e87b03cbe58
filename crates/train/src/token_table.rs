//! The tokens of every picture of the dataset, both unflipped and flipped, and the retrieved
//! examples of each picture. The retrieved examples are pictures of the same concept in other
//! styles.

use super::TrainError;
use super::batches::{Batch, Batches, random_below};
use super::data::dataset::PictureKey;
use super::phase::PhaseInput;
use super::picture_tokenizer::PictureTokenizer;
use base::progress::Unobserved;
use imagegen::quantizer::FsqCodes;
use imagegen::retrieval_index::{RetrievedExamples, unknown_style};
use sampler::rng::Rng;

/// Among the pictures that have examples, the share with one example whose style is marked as
/// unknown.
const UNKNOWN_STYLE: f64 = 0.1;

pub struct TokenTable<'a> {
    batches: &'a Batches<'a>,
    /// The tokens of all pictures: `[picture][flip][64][codes]`.
    tokens: Vec<[Vec<u8>; 2]>,
    /// The style number that stands for an unknown style.
    unknown_style: usize,
}

impl<'a> TokenTable<'a> {
    pub fn new(
        input: &PhaseInput<'a>,
        tokenizer: &PictureTokenizer,
    ) -> Result<TokenTable<'a>, TrainError> {
        let pictures = input.batches.pictures();
        let all: Vec<usize> = (0..pictures.len()).collect();
        let encode = |flip| tokenizer.encode(pictures, &all, flip, &Unobserved);
        let (plain, flipped) = (encode(false)?, encode(true)?);
        let both = plain.into_iter().zip(flipped);
        Ok(TokenTable {
            batches: input.batches,
            tokens: both.map(|(plain, flipped)| [plain, flipped]).collect(),
            unknown_style: unknown_style(input.config),
        })
    }

    pub fn tokens(&self, key: PictureKey) -> &[u8] {
        &self.tokens[key.index][usize::from(key.flip)]
    }

    /// The tokens of all pictures of a batch.
    pub fn batch_tokens(&self, batch: &Batch) -> FsqCodes {
        let all = batch.keys().flat_map(|key| self.tokens(key));
        FsqCodes(all.copied().collect())
    }

    /// Returns pictures of the same concept in other styles as retrieved examples. `keep` is called
    /// for each picture; only pictures for which it returns true are included.
    pub fn examples(&self, key: PictureKey, mut keep: impl FnMut() -> bool) -> RetrievedExamples {
        let others = self.batches.other_styles(key.index).filter(|_| keep());
        let tokens = |index| FsqCodes(self.tokens(PictureKey { index, ..key }).to_vec());
        others
            .map(|(style, other)| (style as usize, tokens(other)))
            .collect()
    }

    /// Returns all examples of each picture in `index`, unflipped.
    pub fn all_examples(&self, index: &[usize]) -> Vec<RetrievedExamples> {
        let keys = index.iter().map(|index| PictureKey {
            index: *index,
            flip: false,
        });
        keys.map(|key| self.examples(key, || true)).collect()
    }

    /// Returns a random subset of the examples of each picture of a batch. `share` is the
    /// probability that an example is included.
    pub fn retrieved_examples(
        &self,
        batch: &Batch,
        share: f64,
        rng: &mut Rng,
    ) -> Vec<RetrievedExamples> {
        let retrieved = batch.keys().map(|key| {
            let mut shown = self.examples(key, || rng.next_f64() < share);
            if rng.next_f64() < UNKNOWN_STYLE && !shown.is_empty() {
                let one = random_below(rng, shown.len());
                shown[one].0 = self.unknown_style;
            }
            shown
        });
        retrieved.collect()
    }
}

//! The tokens of every picture, as it is and flipped, and which of them are shown beside another.

use super::batches::{Batch, Batches, below};
use super::picture_tokenizer::PictureTokenizer;
use candle_core::Result;
use imagegen::config::Config;
use imagegen::retrieval_index::{RetrievedExamples, unknown_style};
use imagegen::tokens::FsqCodes;
use sampler::rng::Rng;

/// The share of pictures that have one of the others shown as in no style that is known.
const UNKNOWN: f64 = 0.1;

/// `[picture][flip][64][digits]`.
pub struct Table(Vec<[Vec<u8>; 2]>);

impl Table {
    pub fn new(batches: &Batches, by: &PictureTokenizer) -> Result<Table> {
        let pictures = batches.pictures();
        let all: Vec<usize> = (0..pictures.len()).collect();
        let read = |flip| by.read(pictures, &all, flip, &mut |_| ());
        let (plain, flipped) = (read(false)?, read(true)?);
        let both = plain.into_iter().zip(flipped);
        Ok(Table(
            both.map(|(plain, flipped)| [plain, flipped]).collect(),
        ))
    }

    pub fn tokens(&self, at: usize, flip: bool) -> &[u8] {
        &self.0[at][usize::from(flip)]
    }

    /// Of all pictures of a batch.
    pub fn of(&self, batch: &Batch) -> FsqCodes {
        let each = batch.index.iter().zip(&batch.conditioning.flip);
        let all = each.flat_map(|(at, flip)| self.tokens(*at, *flip));
        FsqCodes(all.copied().collect())
    }

    /// The other pictures of the same thing, of which each may be wanted.
    pub fn others(
        &self,
        batches: &Batches,
        (at, flip): (usize, bool),
        mut wanted: impl FnMut() -> bool,
    ) -> RetrievedExamples {
        let some = batches.others(at).filter(|_| wanted());
        let digits = |other: usize| FsqCodes(self.tokens(other, flip).to_vec());
        some.map(|(style, other)| (style as usize, digits(other)))
            .collect()
    }

    /// A share of the other pictures of the same things, beside each of a batch.
    pub fn shown(
        &self,
        batches: &Batches,
        batch: &Batch,
        (share, config): (f64, &Config),
        rng: &mut Rng,
    ) -> Vec<RetrievedExamples> {
        let each = batch.index.iter().zip(&batch.conditioning.flip);
        let shown = each.map(|(at, flip)| {
            let mut shown = self.others(batches, (*at, *flip), || rng.next_f64() < share);
            if rng.next_f64() < UNKNOWN && !shown.is_empty() {
                let one = below(rng, shown.len());
                shown[one].0 = unknown_style(config);
            }
            shown
        });
        shown.collect()
    }
}

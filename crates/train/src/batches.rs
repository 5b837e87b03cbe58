//! Batches of the dataset: pictures as tensors, with their conditioning (the text, the style, and
//! whether the picture is flipped).

use super::data::dataset::Dataset;
use super::data::dataset::PictureKey;
use super::data::emoji::with_tone;
use super::data::sets::ICON_SETS;
use super::data::split::Split;
use super::variables::noise;
use candle_core::{Device, Error, Result, Tensor};
use imagegen::conditioning::Conditioning;
use imagegen::config::CHANNELS;
use imagegen::retriever::may_be_example;
use sampler::rng::Rng;
use std::collections::BTreeMap;

/// The dataset, ready for sampling.
pub struct Batches<'a> {
    pictures: &'a Dataset,
    /// The centred embeddings of all captions: `[captions, width]`.
    text: Tensor,
    /// For each picture, the rows of `text` that contain its captions' embeddings. The first row is
    /// the label's.
    captions: Vec<Vec<u32>>,
    /// Cumulative sums of the pictures' sampling weights.
    cumulative: Vec<f64>,
    /// For each concept and skin tone, the index of one training picture per style.
    by_concept: BTreeMap<ConceptKey, BTreeMap<u32, usize>>,
}

/// A batch of pictures with their conditioning.
pub struct Batch {
    /// The pictures' indices in the dataset.
    pub index: Vec<usize>,
    /// The pixels: `[batch, 4, size, size]`, premultiplied, from -1 to 1.
    pub pictures: Tensor,
    pub conditioning: Conditioning,
}

/// The sampling weight of silhouettes, which make up two fifths of the shipped dataset.
const INK_WEIGHT: f64 = 0.4;
/// The sampling weight of pictures with a skin tone: the five tones together count as much as the
/// picture without a tone.
const TONE_WEIGHT: f64 = 0.2;
/// The standard deviation of the noise that is added to text embeddings, so that the model can also
/// draw prompts that resemble a caption.
const TEXT_NOISE: f64 = 0.05;
/// The share of pictures for which both text and style are dropped, for classifier-free guidance.
pub const DROP_TEXT: f64 = 0.1;
/// The share of pictures for which only the style is dropped.
pub const DROP_STYLE: f64 = 0.05;

/// All captions of the dataset, in the order of their embeddings.
pub fn captions(pictures: &Dataset) -> Vec<String> {
    numbered_captions(pictures).1
}

/// The index of a concept, and a skin tone.
type ConceptKey = (u32, u8);

/// Returns two values: for each concept and skin tone, the indices of its captions in the list of
/// all captions; and the list of all captions.
fn numbered_captions(pictures: &Dataset) -> (BTreeMap<ConceptKey, Vec<u32>>, Vec<String>) {
    let pairs = pictures
        .concept
        .iter()
        .copied()
        .zip(pictures.tone.iter().copied());
    let mut rows: BTreeMap<ConceptKey, Vec<u32>> = pairs.map(|pair| (pair, Vec::new())).collect();
    let mut all = Vec::new();
    for ((concept, tone), rows) in &mut rows {
        for caption in &pictures.concepts[*concept as usize].captions {
            rows.push(all.len() as u32);
            all.push(with_tone(caption, *tone));
        }
    }
    (rows, all)
}

impl Batch {
    /// The key of each picture of the batch: the picture's index in the dataset, and whether the
    /// picture is flipped.
    pub fn keys(&self) -> impl Iterator<Item = PictureKey> {
        let each = self.index.iter().zip(&self.conditioning.flip);
        each.map(|(index, flip)| PictureKey {
            index: *index,
            flip: *flip,
        })
    }
}

impl<'a> Batches<'a> {
    /// Prepares a dataset for sampling. `text` contains the centred embeddings of [`captions`], in
    /// the same order.
    pub fn new(pictures: &'a Dataset, text: Tensor) -> Result<Batches<'a>> {
        let (rows, all) = numbered_captions(pictures);
        if text.dim(0)? != all.len() {
            return Err(Error::Msg(
                "the caption embeddings belong to a different dataset".into(),
            ));
        }
        let key = |at: usize| (pictures.concept[at], pictures.tone[at]);
        let trained = |at: &usize| pictures.split[*at] == Split::Train;
        let mut by_concept: BTreeMap<ConceptKey, BTreeMap<u32, usize>> = BTreeMap::new();
        for at in (0..pictures.len()).filter(trained) {
            let styles = by_concept.entry(key(at)).or_default();
            styles.entry(pictures.style[at]).or_insert(at);
        }
        let mut sum = 0.0;
        let mut cumulative = Vec::with_capacity(pictures.len());
        for at in 0..pictures.len() {
            sum += sampling_weight(pictures, at);
            cumulative.push(sum);
        }
        if sum <= 0.0 {
            return Err(Error::Msg("the dataset has no training pictures".into()));
        }
        Ok(Batches {
            captions: (0..pictures.len())
                .map(|at| rows[&key(at)].clone())
                .collect(),
            by_concept,
            pictures,
            text,
            cumulative,
        })
    }

    pub fn pictures(&self) -> &'a Dataset {
        self.pictures
    }

    /// The width and height of a picture in pixels.
    pub fn size(&self) -> usize {
        self.pictures.size as usize
    }

    /// The indices of at most `count` pictures, spread evenly over the dataset.
    pub fn evenly_spaced(&self, count: usize) -> Vec<usize> {
        let all = self.pictures.len();
        let every = (all / count).max(1);
        (0..all).step_by(every).take(count).collect()
    }

    pub fn device(&self) -> &Device {
        self.text.device()
    }

    /// Returns a batch of `count` random training pictures, each with one of its captions, chosen
    /// at random. Each picture is flipped with probability 0.5.
    pub fn sample(&self, count: usize, rng: &mut Rng) -> Result<Batch> {
        let all = self.cumulative.last().copied().unwrap_or_default();
        let pick = |rng: &mut Rng| {
            let chance = rng.next_f64() * all;
            let at = self.cumulative.partition_point(|sum| *sum <= chance);
            at.min(self.cumulative.len() - 1)
        };
        let index: Vec<usize> = (0..count).map(|_| pick(rng)).collect();
        let flip: Vec<bool> = (0..count).map(|_| rng.next_f64() < 0.5).collect();
        let caption = |at: &usize| {
            let rows = &self.captions[*at];
            rows[random_below(rng, rows.len())]
        };
        let rows: Vec<u32> = index.iter().map(caption).collect();
        let text = self
            .text
            .index_select(&Tensor::new(rows, self.device())?, 0)?;
        let shift = (noise(text.dims(), rng, self.device())? * TEXT_NOISE)?;
        let style = |at: &usize| Some(self.pictures.style[*at]);
        Ok(Batch {
            pictures: self.pixels(&index, &flip)?,
            conditioning: Conditioning {
                text: (text + shift)?,
                style: index.iter().map(style).collect(),
                flip,
            },
            index,
        })
    }

    /// Returns a batch of the pictures at `index`, unflipped, with the embeddings of their labels.
    pub fn labelled(&self, index: &[usize]) -> Result<Batch> {
        let rows: Vec<u32> = index.iter().map(|at| self.captions[*at][0]).collect();
        let flip = vec![false; index.len()];
        Ok(Batch {
            index: index.to_vec(),
            pictures: self.pixels(index, &flip)?,
            conditioning: Conditioning {
                text: self
                    .text
                    .index_select(&Tensor::new(rows, self.device())?, 0)?,
                style: index
                    .iter()
                    .map(|at| Some(self.pictures.style[*at]))
                    .collect(),
                flip,
            },
        })
    }

    /// Returns the training pictures that show the concept of picture `at` in other styles, each as
    /// the index of its style and the index of the picture.
    pub fn other_styles(&self, at: usize) -> impl Iterator<Item = (u32, usize)> {
        let pictures = self.pictures;
        let concept = pictures.concept[at];
        let own = (concept, Some(pictures.style[at]));
        let styles = self.by_concept.get(&(concept, pictures.tone[at]));
        let all = styles.into_iter().flatten();
        all.filter(move |(style, _)| may_be_example((concept, **style), own))
            .map(|(style, at)| (*style, *at))
    }

    /// Returns the pictures at `index` as a tensor `[count, 4, size, size]`. `flip` says which of
    /// them are flipped.
    pub fn pixels(&self, index: &[usize], flip: &[bool]) -> Result<Tensor> {
        pixels(self.pictures, index, flip, self.device())
    }
}

/// Returns the pictures at `index` as a tensor `[count, 4, size, size]` of premultiplied values
/// from -1 to 1. `flip` says which pictures are flipped.
pub fn pixels(
    pictures: &Dataset,
    index: &[usize],
    flip: &[bool],
    device: &Device,
) -> Result<Tensor> {
    let size = pictures.size as usize;
    let mut numbers = Vec::with_capacity(index.len() * CHANNELS * size * size);
    for (at, flip) in index.iter().zip(flip) {
        let picture = pictures.picture(*at);
        for (channel, y, x) in positions(size) {
            let x = if *flip { size - 1 - x } else { x };
            let byte = picture[(y * size + x) * CHANNELS + channel];
            numbers.push(f32::from(byte) / 127.5 - 1.0);
        }
    }
    Tensor::from_vec(numbers, (index.len(), CHANNELS, size, size), device)
}

/// Removes both text and style from some random pictures, and only the style from others, for
/// classifier-free guidance. The vector `none` `[width]` replaces removed text.
pub fn drop_conditioning(
    conditioning: &Conditioning,
    none: &Tensor,
    rng: &mut Rng,
) -> Result<Conditioning> {
    let chances: Vec<f64> = (0..conditioning.len()).map(|_| rng.next_f64()).collect();
    let has_text: Vec<bool> = chances.iter().map(|c| *c >= DROP_TEXT).collect();
    let keeps =
        |(style, chance): (&Option<u32>, &f64)| style.filter(|_| *chance >= DROP_TEXT + DROP_STYLE);
    Ok(Conditioning {
        text: text_or_none(&has_text, &conditioning.text, none)?,
        style: conditioning.style.iter().zip(&chances).map(keeps).collect(),
        flip: conditioning.flip.clone(),
    })
}

/// Returns `text` `[batch, width]`, in which `none` `[width]` replaces each row whose `has_text` is
/// false.
pub fn text_or_none(has_text: &[bool], text: &Tensor, none: &Tensor) -> Result<Tensor> {
    let kept: Vec<f32> = has_text
        .iter()
        .map(|kept| f32::from(u8::from(*kept)))
        .collect();
    let kept = Tensor::new(kept, text.device())?.unsqueeze(1)?;
    let none = none.unsqueeze(0)?.broadcast_mul(&(1.0 - &kept)?)?;
    text.broadcast_mul(&kept)? + none
}

/// Returns a random shift by at most `reach` pixels vertically and at most `reach` pixels
/// horizontally.
pub fn random_shift(reach: usize, rng: &mut Rng) -> Shift {
    let [down, right] = [(); 2].map(|()| random_below(rng, 2 * reach + 1) as i32 - reach as i32);
    Shift { down, right }
}

/// The distance by which pictures are shifted, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    pub down: i32,
    pub right: i32,
}

/// Shifts pictures `[batch, 4, size, size]`. Pixels that are shifted out of the picture reappear at
/// the opposite edge.
pub fn shifted(pictures: &Tensor, by: Shift) -> Result<Tensor> {
    pictures.roll(by.down, 2)?.roll(by.right, 3)
}

/// A random whole number below `count`.
pub fn random_below(rng: &mut Rng, count: usize) -> usize {
    ((rng.next_f64() * count as f64) as usize).min(count.saturating_sub(1))
}

fn sampling_weight(pictures: &Dataset, at: usize) -> f64 {
    if pictures.split[at] != Split::Train {
        return 0.0;
    }
    // The shipped set's name for silhouettes; in a user's own folder it may mean something else.
    let shipped = ICON_SETS.iter().map(|set| set.style).eq(&pictures.styles);
    let ink = shipped && pictures.styles[pictures.style[at] as usize] == "ink";
    let toned = pictures.tone[at] > 0;
    (if ink { INK_WEIGHT } else { 1.0 }) * (if toned { TONE_WEIGHT } else { 1.0 })
}

/// Iterates over the channel, row and column of each value in a picture.
fn positions(size: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let rows = (0..CHANNELS).flat_map(move |channel| (0..size).map(move |y| (channel, y)));
    rows.flat_map(move |(channel, y)| (0..size).map(move |x| (channel, y, x)))
}

#[cfg(test)]
mod tests;

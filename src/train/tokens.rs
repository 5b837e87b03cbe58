//! The second phase: the token Transformer, on the frozen encoder's tokens.

use super::TrainError;
use super::batches::{ANY_STYLE, Batches, WITHOUT, below, worded_where};
use super::checkpoint::Parts;
use super::data::file::Pictures;
use super::reconstruct::{Trained, bytes};
use super::run::{Metrics, Phase, Sheet};
use super::tokenize::Tokenizer;
use super::variables::{Tensors, fixed, make};
use crate::model::gan::condition::Wish;
use crate::model::gan::config::{Config, TOKENS};
use crate::model::gan::generator::Generator;
use crate::model::gan::layers::Drop;
use crate::model::gan::memory::{Shown, unknown};
use crate::model::gan::quantizer::Quantizer;
use crate::model::gan::sampling::{Sampling, write};
use crate::model::gan::tokens::{Digits, TokenTransformer};
use crate::model::sampler::rng::Rng;
use candle_core::{D, Result, Tensor};
use candle_nn::ops::log_softmax;
use std::cell::RefCell;

pub struct Tokens<'a> {
    batches: &'a Batches<'a>,
    config: Config,
    batch: usize,
    model: Trained<TokenTransformer>,
    /// The tokens of each picture, as it is and flipped: `[picture][flip][64][digits]`.
    table: Vec<[Vec<u8>; 2]>,
    generator: Generator,
    quantizer: Quantizer,
}

const CLIP: f64 = 1.0;
/// The share of what a half of a block adds that is left away in training.
const DROP: f64 = 0.1;
/// How many of the other pictures of a thing are shown beside one that is learned.
const SHOWN: f64 = 0.7;
/// The share of pictures that have one of the others shown as in no style that is known.
const UNKNOWN: f64 = 0.1;
/// The share of pictures that have nothing shown, and of those that have the share without words.
const FORGOTTEN: f64 = 1.0 / 6.0;
const WORDLESS: f64 = 0.5;

impl<'a> Tokens<'a> {
    /// `encoder` and `generator`: those of the first phase. Begins with `known` where there is some.
    pub fn new(
        batches: &'a Batches<'a>,
        config: &Config,
        (batch, seed): (usize, u64),
        (encoder, generator): (&Tensors, &Tensors),
        known: Tensors,
    ) -> Result<Tokens<'a>> {
        let device = batches.device();
        let tokenizer = Tokenizer::new(encoder, config, device)?;
        let model = make(known, seed, device, |weights| {
            TokenTransformer::new(&weights.quick(), config)
        })?;
        Ok(Tokens {
            table: table(batches.pictures(), &tokenizer)?,
            generator: fixed(generator, device, |weights| Generator::new(weights, config))?,
            model: Trained::new(model, 0.9, CLIP)?.orthogonal(),
            config: config.clone(),
            quantizer: tokenizer.quantizer,
            batches,
            batch,
        })
    }

    /// The mean cross-entropy of the unknown tokens, in nats a token.
    fn loss(&self, tokens: &Digits, known: &[bool], hidden: &Tensor) -> Result<Tensor> {
        let model = &self.model.network;
        let unknown: Vec<f32> = known.iter().map(|k| f32::from(u8::from(!k))).collect();
        let count: f32 = unknown.iter().sum();
        let unknown = Tensor::new(unknown, hidden.device())?;
        let heads = model.heads(hidden)?.flatten_to(1)?;
        let mut total = unknown.zeros_like()?;
        for (at, logits) in model.logits(&heads, tokens)?.iter().enumerate() {
            let own: Vec<u8> = tokens
                .0
                .iter()
                .skip(at)
                .step_by(model.digits())
                .copied()
                .collect();
            let likely = log_softmax(logits, D::Minus1)?;
            let wanted: Vec<u32> = own.iter().map(|digit| u32::from(*digit)).collect();
            let wanted = Tensor::new(wanted, hidden.device())?.unsqueeze(1)?;
            total = (total - likely.gather(&wanted, 1)?.squeeze(1)?)?;
        }
        (total * unknown)?.sum_all()? / f64::from(count.max(1.0))
    }

    /// The other pictures of the same thing, of which each may be wanted.
    fn others(&self, at: usize, flip: bool, mut wanted: impl FnMut() -> bool) -> Shown {
        let digits = |other: usize| Digits(self.table[other][usize::from(flip)].clone());
        let some = self.batches.others(at).filter(|_| wanted());
        some.map(|(style, other)| (style as usize, digits(other)))
            .collect()
    }

    /// Some of the other pictures of the same thing.
    fn shown(&self, at: usize, flip: bool, rng: &mut Rng) -> Shown {
        let mut shown = self.others(at, flip, || rng.next_f64() < SHOWN);
        if rng.next_f64() < UNKNOWN && !shown.is_empty() {
            let one = below(rng, shown.len());
            shown[one].0 = unknown(&self.config);
        }
        shown
    }
}

/// Takes words, style or what is shown from some: guidance starts from none of them, and those
/// without words learn to read what is shown. `none` stands for words.
fn without_some(wish: &Wish, shown: &mut [Shown], none: &Tensor, rng: &mut Rng) -> Result<Wish> {
    let (mut worded, mut style) = (Vec::new(), wish.style.clone());
    for (style, shown) in style.iter_mut().zip(shown) {
        let [guided, forgotten, wordless] = [(); 3].map(|()| rng.next_f64());
        if guided < WITHOUT + ANY_STYLE {
            *style = None;
        }
        if guided < WITHOUT || forgotten < FORGOTTEN {
            shown.clear();
        }
        let wordless = !shown.is_empty() && wordless < WORDLESS;
        worded.push(guided >= WITHOUT && !wordless);
    }
    Ok(Wish {
        text: worded_where(&worded, &wish.text, none)?,
        style,
        flip: wish.flip.clone(),
    })
}

/// Which tokens are known: a share that is small as often as the rounds of drawing want it.
fn known(batch: usize, rng: &mut Rng) -> Vec<bool> {
    let mut known = Vec::with_capacity(batch * TOKENS);
    for _ in 0..batch {
        let unknown = (std::f64::consts::FRAC_PI_2 * rng.next_f64()).cos();
        known.extend((0..TOKENS).map(|_| rng.next_f64() >= unknown));
    }
    known
}

/// The tokens of every picture, as it is and flipped.
fn table(pictures: &Pictures, by: &Tokenizer) -> Result<Vec<[Vec<u8>; 2]>> {
    let all: Vec<usize> = (0..pictures.len()).collect();
    let read = |flip| by.read(pictures, &all, flip, &mut |_| ());
    let (plain, flipped) = (read(false)?, read(true)?);
    Ok(plain
        .into_iter()
        .zip(flipped)
        .map(|(plain, flipped)| [plain, flipped])
        .collect())
}

impl Phase for Tokens<'_> {
    fn name(&self) -> &'static str {
        "tokens"
    }

    fn parts(&self) -> std::result::Result<Parts, TrainError> {
        let mut parts = Parts::new();
        self.model.keep("tokens", &mut parts)?;
        Ok(parts)
    }

    fn restore(&mut self, mut parts: Parts) -> std::result::Result<(), TrainError> {
        Ok(self.model.restore("tokens", &mut parts)?)
    }

    fn step(
        &mut self,
        number: u64,
        rate: f64,
        rng: &mut Rng,
    ) -> std::result::Result<Metrics, TrainError> {
        let drawn = self.batches.draw(self.batch, rng)?;
        let (index, flip) = (&drawn.index, &drawn.wish.flip);
        let own = index
            .iter()
            .zip(flip)
            .flat_map(|(at, flip)| &self.table[*at][usize::from(*flip)]);
        let tokens = Digits(own.copied().collect());
        let each = index.iter().zip(flip);
        let mut shown: Vec<Shown> = each.map(|(at, flip)| self.shown(*at, *flip, rng)).collect();
        let model = &self.model.network;
        let wish = without_some(&drawn.wish, &mut shown, model.no_words(), rng)?;
        let known = known(self.batch, rng);
        let chance = RefCell::new(&mut *rng);
        let device = self.batches.device();
        let mask = |shape: &[usize]| {
            let mut rng = chance.borrow_mut();
            let count: usize = shape.iter().product();
            let keep = (1.0 / (1.0 - DROP)) as f32;
            let mut one = || if rng.next_f64() < DROP { 0.0 } else { keep };
            let mask: Vec<f32> = (0..count).map(|_| one()).collect();
            Tensor::from_vec(mask, shape, device)
        };
        let prepared = model.prepare(&wish, &shown)?;
        let hidden = model.hidden(&prepared, &tokens, &known, &Drop::Masks(&mask))?;
        let loss = self.loss(&tokens, &known, &hidden)?;
        let gradients = loss.backward()?;
        let length = self.model.step(&gradients, rate, number)?;
        let loss = f64::from(loss.to_scalar::<f32>()?);
        Ok(vec![("loss", loss), ("gradient", length)])
    }

    /// Real pictures, each above two drawings of its label in its style.
    fn sheet(&self) -> std::result::Result<Sheet, TrainError> {
        const ROW: usize = 12;
        let device = self.batches.device();
        let model = fixed(&self.model.mean, device, |w| {
            TokenTransformer::new(w, &self.config)
        })?;
        let pictures = self.batches.pictures();
        let step = (pictures.len() / ROW).max(1);
        let index: Vec<usize> = (0..pictures.len()).step_by(step).take(ROW).collect();
        let batch = self.batches.labelled(&index)?;
        let shown = index.iter().map(|at| self.others(*at, false, || true));
        let shown: Vec<Shown> = shown.collect();
        let mut rows = vec![bytes(&batch.pictures)?];
        for seed in 1..=2 {
            let mut rngs: Vec<Rng> = index.iter().map(|_| Rng::new(seed)).collect();
            let sampling = Sampling::default();
            let go_on = &mut || true;
            let drawn = write(
                &model,
                &batch.wish,
                &sampling,
                &mut rngs,
                None,
                &shown,
                go_on,
            )?;
            let digits = drawn.unwrap_or(Digits(Vec::new()));
            let numbers: Vec<f32> = digits.0.iter().map(|digit| f32::from(*digit)).collect();
            let shape = (index.len(), TOKENS, self.config.digits());
            let values = self
                .quantizer
                .values(&Tensor::from_vec(numbers, shape, device)?)?;
            rows.push(bytes(&self.generator.forward(&values, &batch.wish)?)?);
        }
        Ok(Sheet {
            size: pictures.size as usize,
            rows,
        })
    }
}

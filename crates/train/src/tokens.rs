//! The second phase: the token Transformer, on the frozen encoder's tokens.

use super::TrainError;
use super::batches::{ANY_STYLE, Batches, WITHOUT, worded_where};
use super::checkpoint::Parts;
use super::picture_tokenizer::PictureTokenizer;
use super::reconstruct::{TrainedNetwork, bytes};
use super::run::{Metrics, Phase, SampleSheet};
use super::token_table::Table;
use super::variables::{Tensors, dropout, fixed, make};
use candle_core::{D, Result, Tensor};
use candle_nn::ops::log_softmax;
use imagegen::conditioning::Conditioning;
use imagegen::config::{Config, TOKENS};
use imagegen::generator::Generator;
use imagegen::layers::Dropout;
use imagegen::quantizer::Quantizer;
use imagegen::retrieval_index::RetrievedExamples;
use imagegen::sampling::{Sampling, generate_tokens};
use imagegen::tokens::{FsqCodes, TokenTransformer};
use sampler::rng::Rng;
use std::cell::RefCell;

pub struct TokensPhase<'a> {
    batches: &'a Batches<'a>,
    config: Config,
    batch: usize,
    model: TrainedNetwork<TokenTransformer>,
    table: Table,
    generator: Generator,
    quantizer: Quantizer,
}

const CLIP: f64 = 1.0;
/// How many of the other pictures of a thing are shown beside one that is learned.
const SHOWN: f64 = 0.7;
/// The share of pictures that have nothing shown, and of those that have the share without words.
const FORGOTTEN: f64 = 1.0 / 6.0;
const WORDLESS: f64 = 0.5;

impl<'a> TokensPhase<'a> {
    /// `encoder` and `generator`: those of the first phase. Begins with `known` where there is some.
    pub fn new(
        batches: &'a Batches<'a>,
        config: &Config,
        (batch, seed): (usize, u64),
        (encoder, generator): (&Tensors, &Tensors),
        known: Tensors,
    ) -> Result<TokensPhase<'a>> {
        let device = batches.device();
        let tokenizer = PictureTokenizer::new(encoder, config, device)?;
        let model = make(known, seed, device, |weights| {
            TokenTransformer::new(&weights.with_autograd(), config)
        })?;
        Ok(TokensPhase {
            table: Table::new(batches, &tokenizer)?,
            generator: fixed(generator, device, |weights| Generator::new(weights, config))?,
            model: TrainedNetwork::new(model, 0.9, CLIP)?.orthogonal(),
            config: config.clone(),
            quantizer: tokenizer.quantizer,
            batches,
            batch,
        })
    }

    /// The mean cross-entropy of the unknown tokens, in nats a token.
    fn loss(&self, tokens: &FsqCodes, known: &[bool], hidden: &Tensor) -> Result<Tensor> {
        let model = &self.model.network;
        let unknown: Vec<f32> = known.iter().map(|k| f32::from(u8::from(!k))).collect();
        let count: f32 = unknown.iter().sum();
        let unknown = Tensor::new(unknown, hidden.device())?;
        let heads = model.head_inputs(hidden)?.flatten_to(1)?;
        let mut total = unknown.zeros_like()?;
        for (at, logits) in model.logits(&heads, tokens)?.iter().enumerate() {
            let own: Vec<u8> = tokens
                .0
                .iter()
                .skip(at)
                .step_by(model.codes_per_token())
                .copied()
                .collect();
            let likely = log_softmax(logits, D::Minus1)?;
            let wanted: Vec<u32> = own.iter().map(|digit| u32::from(*digit)).collect();
            let wanted = Tensor::new(wanted, hidden.device())?.unsqueeze(1)?;
            total = (total - likely.gather(&wanted, 1)?.squeeze(1)?)?;
        }
        (total * unknown)?.sum_all()? / f64::from(count.max(1.0))
    }
}

/// Takes words, style or what is shown from some: guidance starts from none of them, and those
/// without words learn to read what is shown. `none` stands for words.
fn without_some(
    conditioning: &Conditioning,
    shown: &mut [RetrievedExamples],
    none: &Tensor,
    rng: &mut Rng,
) -> Result<Conditioning> {
    let (mut worded, mut style) = (Vec::new(), conditioning.style.clone());
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
    Ok(Conditioning {
        text: worded_where(&worded, &conditioning.text, none)?,
        style,
        flip: conditioning.flip.clone(),
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

impl Phase for TokensPhase<'_> {
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
        let tokens = self.table.of(&drawn);
        let share = (SHOWN, &self.config);
        let mut shown = self.table.shown(self.batches, &drawn, share, rng);
        let model = &self.model.network;
        let conditioning = without_some(&drawn.conditioning, &mut shown, model.null_text(), rng)?;
        let known = known(self.batch, rng);
        let chance = RefCell::new(&mut *rng);
        let device = self.batches.device();
        let mask = |shape: &[usize]| dropout(shape, &mut chance.borrow_mut(), device);
        let prepared = model.prepare(&conditioning, &shown)?;
        let hidden = model.hidden(&prepared, &tokens, &known, &Dropout::Masks(&mask))?;
        let loss = self.loss(&tokens, &known, &hidden)?;
        let gradients = loss.backward()?;
        let length = self.model.step(&gradients, rate, number)?;
        let loss = f64::from(loss.to_scalar::<f32>()?);
        Ok(vec![("loss", loss), ("gradient", length)])
    }

    /// Real pictures, each above two drawings of its label in its style.
    fn sheet(&self) -> std::result::Result<SampleSheet, TrainError> {
        const ROW: usize = 12;
        let device = self.batches.device();
        let model = fixed(&self.model.mean, device, |w| {
            TokenTransformer::new(w, &self.config)
        })?;
        let pictures = self.batches.pictures();
        let step = (pictures.len() / ROW).max(1);
        let index: Vec<usize> = (0..pictures.len()).step_by(step).take(ROW).collect();
        let batch = self.batches.labelled(&index)?;
        let others = |at: &usize| self.table.others(self.batches, (*at, false), || true);
        let shown = index.iter().map(others);
        let shown: Vec<RetrievedExamples> = shown.collect();
        let mut rows = vec![bytes(&batch.pictures)?];
        for seed in 1..=2 {
            let mut rngs: Vec<Rng> = index.iter().map(|_| Rng::new(seed)).collect();
            let sampling = Sampling::default();
            let go_on = &mut || true;
            let drawn = generate_tokens(
                &model,
                &batch.conditioning,
                &sampling,
                &mut rngs,
                None,
                &shown,
                go_on,
            )?;
            let digits = drawn.unwrap_or(FsqCodes(Vec::new()));
            let values = self.quantizer.token_values(&digits, device)?;
            rows.push(bytes(
                &self.generator.forward(&values, &batch.conditioning)?,
            )?);
        }
        Ok(SampleSheet {
            size: pictures.size as usize,
            rows,
        })
    }
}

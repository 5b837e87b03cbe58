//! The second phase, which trains the token Transformer on the frozen encoder's tokens.

use super::TrainError;
use super::adam::AdamOptions;
use super::batches::{DROP_STYLE, DROP_TEXT, text_or_none};
use super::losses::scalar;
use super::phase::{Autoencoder, Phase, PhaseInput, PhaseKind, SampleSheet};
use super::picture_tokenizer::PictureTokenizer;
use super::step::{Metrics, Step};
use super::token_table::TokenTable;
use super::trained::{NetworkState, TrainedNetwork};
use super::variables::{Tensors, dropout};
use candle_core::{D, Result, Tensor};
use candle_nn::ops::log_softmax;
use imagegen::conditioning::Conditioning;
use imagegen::config::TOKENS;
use imagegen::generator::Generator;
use imagegen::layers::Dropout;
use imagegen::quantizer::FsqCodes;
use imagegen::quantizer::Quantizer;
use imagegen::retrieval_index::RetrievedExamples;
use imagegen::sampling::{Sampling, generate_tokens};
use imagegen::tokens::TokenTransformer;
use sampler::rng::Rng;
use std::cell::RefCell;

pub struct TokensPhase<'a> {
    input: PhaseInput<'a>,
    transformer: TrainedNetwork<TokenTransformer>,
    table: TokenTable<'a>,
    generator: Generator,
    quantizer: Quantizer,
}

const ADAM: AdamOptions = AdamOptions {
    beta1: 0.9,
    clip_norm: 1.0,
    orthogonal: true,
};
/// The probability that another picture of the same concept is given as a retrieved example.
const RETRIEVED: f64 = 0.7;
/// The share of pictures for which all retrieved examples are dropped.
const WITHOUT_EXAMPLES: f64 = 1.0 / 6.0;
/// Among the pictures with retrieved examples, the share whose text is removed.
const WITHOUT_TEXT: f64 = 0.5;

impl<'a> TokensPhase<'a> {
    /// Creates the phase. `autoencoder` is the result of the first phase. `start` contains the
    /// weights of a token Transformer from which to continue; it may be empty.
    pub fn new(
        input: PhaseInput<'a>,
        autoencoder: &Autoencoder,
        start: Tensors,
    ) -> std::result::Result<TokensPhase<'a>, TrainError> {
        let tokenizer = PictureTokenizer::new(&autoencoder.encoder, input.config, input.device())?;
        Ok(TokensPhase {
            table: TokenTable::new(&input, &tokenizer)?,
            generator: input.frozen(&autoencoder.generator, Generator::new)?,
            transformer: input.trainable(start, ADAM, |w, config| {
                TokenTransformer::new(&w.with_autograd(), config)
            })?,
            quantizer: tokenizer.quantizer,
            input,
        })
    }

    /// Computes the mean cross-entropy of the unknown tokens, in nats per token.
    fn loss(&self, tokens: &FsqCodes, known: &[bool], hidden: &Tensor) -> Result<Tensor> {
        let transformer = &self.transformer.network;
        let unknown: Vec<f32> = known.iter().map(|k| f32::from(u8::from(!k))).collect();
        let count: f32 = unknown.iter().sum();
        let unknown = Tensor::new(unknown, hidden.device())?;
        let heads = transformer.head_inputs(hidden)?.flatten_to(1)?;
        let mut total = unknown.zeros_like()?;
        for (at, logits) in transformer.logits(&heads, tokens)?.iter().enumerate() {
            let digits = tokens
                .0
                .iter()
                .skip(at)
                .step_by(transformer.codes_per_token());
            let target: Vec<u32> = digits.map(|digit| u32::from(*digit)).collect();
            let target = Tensor::new(target, hidden.device())?.unsqueeze(1)?;
            let log_probabilities = log_softmax(logits, D::Minus1)?;
            total = (total - log_probabilities.gather(&target, 1)?.squeeze(1)?)?;
        }
        (total * unknown)?.sum_all()? / f64::from(count.max(1.0))
    }
}

/// Removes the text, the style or the retrieved examples of some pictures. Guidance requires
/// predictions without text and style, and pictures without text teach the Transformer to use the
/// examples. `none` replaces removed text.
fn drop_conditioning(
    conditioning: &Conditioning,
    shown: &mut [RetrievedExamples],
    none: &Tensor,
    rng: &mut Rng,
) -> Result<Conditioning> {
    let (mut has_text, mut style) = (Vec::new(), conditioning.style.clone());
    for (style, shown) in style.iter_mut().zip(shown) {
        let [guided, without_examples, without_text] = [(); 3].map(|()| rng.next_f64());
        if guided < DROP_TEXT + DROP_STYLE {
            *style = None;
        }
        if guided < DROP_TEXT || without_examples < WITHOUT_EXAMPLES {
            shown.clear();
        }
        let without_text = !shown.is_empty() && without_text < WITHOUT_TEXT;
        has_text.push(guided >= DROP_TEXT && !without_text);
    }
    Ok(Conditioning {
        text: text_or_none(&has_text, &conditioning.text, none)?,
        style,
        flip: conditioning.flip.clone(),
    })
}

/// Randomly chooses which tokens of each picture are known. The share of unknown tokens in a
/// picture has the same distribution as during decoding.
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
        PhaseKind::Tokens.name()
    }

    fn networks(&mut self) -> Vec<(&'static str, &mut NetworkState)> {
        vec![("tokens", &mut self.transformer.state)]
    }

    fn step(&mut self, step: Step, rng: &mut Rng) -> std::result::Result<Metrics, TrainError> {
        let batch = self.input.batches.sample(self.input.batch_size, rng)?;
        let tokens = self.table.batch_tokens(&batch);
        let mut shown = self.table.retrieved_examples(&batch, RETRIEVED, rng);
        let transformer = &self.transformer.network;
        let conditioning = drop_conditioning(
            &batch.conditioning,
            &mut shown,
            transformer.null_text(),
            rng,
        )?;
        let known = known(self.input.batch_size, rng);
        let rng = RefCell::new(&mut *rng);
        let device = self.input.device();
        let mask = |shape: &[usize]| dropout(shape, &mut rng.borrow_mut(), device);
        let prepared = transformer.prepare(&conditioning, &shown)?;
        let hidden = transformer.hidden(&prepared, &tokens, &known, &Dropout::Masks(&mask))?;
        let loss = self.loss(&tokens, &known, &hidden)?;
        let gradients = loss.backward()?;
        let norm = self.transformer.step(&gradients, step)?;
        Ok(vec![("loss", scalar(&loss)?), ("gradient", norm)])
    }

    /// Returns a sample sheet. Below each real picture are two pictures that are generated from its
    /// label and style.
    fn sheet(&self) -> std::result::Result<Option<SampleSheet>, TrainError> {
        const ROW: usize = 12;
        let batches = self.input.batches;
        let transformer = self
            .input
            .frozen(&self.transformer.state.ema, TokenTransformer::new)?;
        let index = batches.evenly_spaced(ROW);
        let batch = batches.labelled(&index)?;
        let shown = self.table.all_examples(&index);
        let mut rows = vec![batch.pictures];
        for seed in 1..=2 {
            let mut rngs: Vec<Rng> = index.iter().map(|_| Rng::new(seed)).collect();
            let sampling = Sampling::default();
            let go_on = &mut || true;
            let written = generate_tokens(
                &transformer,
                &batch.conditioning,
                &sampling,
                &mut rngs,
                None,
                &shown,
                go_on,
            )?;
            let digits = written.unwrap_or(FsqCodes(Vec::new()));
            let values = self.quantizer.token_values(&digits, self.input.device())?;
            rows.push(self.generator.forward(&values, &batch.conditioning)?);
        }
        Ok(Some(SampleSheet::new(batches.size(), &rows)?))
    }
}

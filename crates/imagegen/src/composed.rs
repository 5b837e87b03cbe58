//! The composed design: a token Transformer composes, a refiner (where the weights have one) looks
//! over it, a generator paints, and an encoder reads pictures back as tokens.

use super::code::Code;
use super::concepts::{Concepts, Match};
use super::config::{Config, TOKENS};
use super::encoder::Encoder;
use super::fitting::Fitting;
use super::folder::Folder;
use super::generator::Generator;
use super::layers::Drop;
use super::memory::{Memory, Shown};
use super::quantizer::Quantizer;
use super::refiner::Refiner;
use super::sampling::{self, Given};
use super::tokens::{Digits, TokenTransformer};
use super::{Drawn, FILES, Illuminator, Led, Order, REFINER};
use crate::ImageError;
use candle_core::{Device, Tensor};
use sampler::rng::Rng;

pub(super) struct Composed {
    generator: Generator,
    tokens: TokenTransformer,
    refiner: Option<Refiner>,
    encoder: Encoder,
    quantizer: Quantizer,
    memory: Memory,
    fitting: Fitting,
}

/// What pictures are drawn from besides words.
#[derive(Default)]
pub(super) struct Basis<'a> {
    pub given: Option<Given<'a>>,
    /// What is shown beside each picture, instead of what is remembered of its concept.
    pub shown: Option<Shown>,
}

impl Composed {
    pub fn load(
        folder: &mut Folder,
        config: &Config,
        concepts: &Concepts,
        device: &Device,
    ) -> Result<Composed, ImageError> {
        let [.., table] = FILES;
        let known = (concepts.labels().len(), config.styles.len());
        let memory = Memory::read(&folder.read(table)?, known, &config.levels)
            .map_err(|why| folder.unreadable(table, &why))?;
        let refiner = match folder.has(REFINER) {
            true => Some(folder.network(REFINER, |w| Refiner::new(w, config))?),
            false => None,
        };
        Ok(Composed {
            refiner,
            generator: folder.network("generator.safetensors", |w| Generator::new(w, config))?,
            tokens: folder.network("tokens.safetensors", |w| TokenTransformer::new(w, config))?,
            encoder: folder.network("encoder.safetensors", |w| Encoder::new(w, config))?,
            quantizer: Quantizer::new(&config.levels, device)?,
            fitting: Fitting::new(&memory, known),
            memory,
        })
    }

    /// Whether a concept can be drawn in a style; None for any.
    pub fn fits(&self, concept: u32, style: Option<u32>) -> bool {
        self.fitting.fits(concept, style)
    }

    /// Remembers what has a number (of concept and style) only, of so many concepts and styles.
    pub fn forget(
        &mut self,
        number: &dyn Fn(u32, u32) -> Option<(u32, u32)>,
        counts: (usize, usize),
    ) {
        self.memory = self.memory.renumbered(number);
        self.fitting = Fitting::new(&self.memory, counts);
    }

    /// Pictures `[batch, 4, size, size]` as tokens.
    pub fn read(&self, pictures: &Tensor) -> Result<Code, ImageError> {
        let values = self.encoder.forward(pictures)?;
        let digits = self.quantizer.digits(&self.quantizer.quantize(&values)?)?;
        let digits = digits.flatten_all()?.to_vec1::<f32>()?;
        let digits = digits.into_iter().map(|digit| digit as u8).collect();
        Ok(Code::Tokens(Digits(digits)))
    }
}

/// How much less what is remembered pulls where none of it is in a style like the one that is asked for
/// (silhouettes would stay black in colours, and what is restyled as it was), and where a part of a
/// picture is written anew, which has to fit the rest and not another drawing.
const LESS: f64 = 0.4;

impl Illuminator {
    /// What is remembered of the concept that was asked for, where one was: in styles like the one that
    /// is asked for, where there are such.
    fn remembered(&self, by: &Composed, order: &Order, led: &Led) -> Shown {
        let found = led
            .concepts
            .first()
            .filter(|found| found.similarity >= base::KNOWN_SIMILARITY);
        let recall = |found: &Match| by.memory.recall(found.concept, order.style, &self.config);
        let all: Shown = found.map(recall).unwrap_or_default();
        let near = |style: usize| by.fitting.near(style, order.style);
        match all.iter().any(|(style, _)| near(*style)) {
            true => all.into_iter().filter(|(style, _)| near(*style)).collect(),
            false => all,
        }
    }

    /// What all ways of drawing of the composed design share: tokens are written, then painted.
    pub(super) fn compose(
        &self,
        by: &Composed,
        (order, led): (&Order, &Led),
        basis: Basis,
        rngs: &mut [Rng],
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Drawn>, ImageError> {
        let wish = self.wish(order, led, by.tokens.no_words())?;
        let Basis { given, shown } = basis;
        let shown = shown.unwrap_or_else(|| self.remembered(by, order, led));
        let near = |(style, _): &(usize, _)| by.fitting.near(*style, order.style);
        let mut sampling = order.sampling;
        if given.is_some() || !shown.iter().any(near) {
            sampling.recall *= LESS;
        }
        let shown = vec![shown; wish.len()];
        let written = sampling::write(&by.tokens, &wish, &sampling, rngs, given, &shown, go_on)?;
        let Some(digits) = written else {
            return Ok(None);
        };
        let mut values = by.quantizer.of(&digits, &self.device)?;
        if let Some(refiner) = &by.refiner {
            let wish = self.wish(order, led, refiner.no_words())?;
            values = refiner.forward((&digits, &values), &wish, &shown, &Drop::None)?;
        }
        let wish = self.wish(order, led, by.generator.no_words())?;
        let pictures = self.pictures(&by.generator.forward(&values, &wish)?)?;
        let own = digits.0.chunks(TOKENS * self.config.digits());
        Ok(Some(Drawn {
            pictures,
            codes: own.map(|own| Code::Tokens(Digits(own.to_vec()))).collect(),
            concepts: led.concepts.clone(),
        }))
    }
}

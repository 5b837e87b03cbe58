//! The composed design: a token Transformer composes, a refiner (where the weights have one) looks
//! over it, a generator paints, and an encoder reads pictures back as tokens.

use super::concepts::{Concepts, Match};
use super::config::{Config, TOKENS};
use super::encoded::EncodedPicture;
use super::encoder::Encoder;
use super::folder::Folder;
use super::generator::Generator;
use super::layers::Dropout;
use super::quantizer::Quantizer;
use super::refiner::Refiner;
use super::retrieval_index::{RetrievalIndex, RetrievedExamples};
use super::sampling::{self, Given};
use super::style_coverage::StyleCoverage;
use super::tokens::{FsqCodes, TokenTransformer};
use super::{FILES, GeneratedImages, Illuminator, ImageSpec, REFINER_FILE, TextCondition};
use crate::ImageError;
use candle_core::{Device, Tensor};
use sampler::rng::Rng;

pub(super) struct Composed {
    generator: Generator,
    tokens: TokenTransformer,
    refiner: Option<Refiner>,
    encoder: Encoder,
    quantizer: Quantizer,
    memory: RetrievalIndex,
    fitting: StyleCoverage,
}

/// What pictures are drawn from besides words.
#[derive(Default)]
pub(super) struct Basis<'a> {
    pub given: Option<Given<'a>>,
    /// What is shown beside each picture, instead of what is remembered of its concept.
    pub retrieved: Option<RetrievedExamples>,
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
        let memory = RetrievalIndex::parse(&folder.read(table)?, known, &config.levels)
            .map_err(|why| folder.unreadable(table, &why))?;
        let refiner = match folder.has(REFINER_FILE) {
            true => Some(folder.network(REFINER_FILE, |w| Refiner::new(w, config))?),
            false => None,
        };
        Ok(Composed {
            refiner,
            generator: folder.network("generator.safetensors", |w| Generator::new(w, config))?,
            tokens: folder.network("tokens.safetensors", |w| TokenTransformer::new(w, config))?,
            encoder: folder.network("encoder.safetensors", |w| Encoder::new(w, config))?,
            quantizer: Quantizer::new(&config.levels, device)?,
            fitting: StyleCoverage::new(&memory, known),
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
        self.fitting = StyleCoverage::new(&self.memory, counts);
    }

    /// Pictures `[batch, 4, size, size]` as tokens.
    pub fn read(&self, pictures: &Tensor) -> Result<EncodedPicture, ImageError> {
        let values = self.encoder.forward(pictures)?;
        let digits = self.quantizer.codes(&self.quantizer.quantize(&values)?)?;
        let digits = digits.flatten_all()?.to_vec1::<f32>()?;
        let digits = digits.into_iter().map(|digit| digit as u8).collect();
        Ok(EncodedPicture::Tokens(FsqCodes(digits)))
    }
}

/// How much less what is remembered pulls where none of it is in a style like the one that is asked for
/// (silhouettes would stay black in colours, and what is restyled as it was), and where a part of a
/// picture is written anew, which has to fit the rest and not another drawing.
const LESS: f64 = 0.4;

impl Illuminator {
    /// What is remembered of the concept that was asked for, where one was: in styles like the one that
    /// is asked for, where there are such.
    fn remembered(
        &self,
        by: &Composed,
        spec: &ImageSpec,
        led: &TextCondition,
    ) -> RetrievedExamples {
        let found = led
            .concepts
            .first()
            .filter(|found| found.similarity >= base::KNOWN_SIMILARITY);
        let recall = |found: &Match| by.memory.recall(found.concept, spec.style, &self.config);
        let all: RetrievedExamples = found.map(recall).unwrap_or_default();
        let near = |style: usize| by.fitting.near(style, spec.style);
        match all.iter().any(|(style, _)| near(*style)) {
            true => all.into_iter().filter(|(style, _)| near(*style)).collect(),
            false => all,
        }
    }

    /// What all ways of drawing of the composed design share: tokens are written, then painted.
    pub(super) fn compose(
        &self,
        by: &Composed,
        (spec, led): (&ImageSpec, &TextCondition),
        basis: Basis,
        rngs: &mut [Rng],
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<Option<GeneratedImages>, ImageError> {
        let conditioning = self.conditioning(spec, led, by.tokens.null_text())?;
        let Basis { given, retrieved } = basis;
        let retrieved = retrieved.unwrap_or_else(|| self.remembered(by, spec, led));
        let near = |(style, _): &(usize, _)| by.fitting.near(*style, spec.style);
        let mut sampling = spec.sampling;
        if given.is_some() || !retrieved.iter().any(near) {
            sampling.recall *= LESS;
        }
        let retrieved = vec![retrieved; conditioning.len()];
        let written = sampling::generate_tokens(
            &by.tokens,
            &conditioning,
            &sampling,
            rngs,
            given,
            &retrieved,
            keep_going,
        )?;
        let Some(digits) = written else {
            return Ok(None);
        };
        let mut values = by.quantizer.token_values(&digits, &self.device)?;
        if let Some(refiner) = &by.refiner {
            let conditioning = self.conditioning(spec, led, refiner.null_text())?;
            values = refiner.forward(
                (&digits, &values),
                &conditioning,
                &retrieved,
                &Dropout::None,
            )?;
        }
        let conditioning = self.conditioning(spec, led, by.generator.null_text())?;
        let pictures = self.pictures(&by.generator.forward(&values, &conditioning)?)?;
        let own = digits.0.chunks(TOKENS * self.config.codes_per_token());
        Ok(Some(GeneratedImages {
            pictures,
            codes: own
                .map(|own| EncodedPicture::Tokens(FsqCodes(own.to_vec())))
                .collect(),
            concepts: led.concepts.clone(),
        }))
    }
}

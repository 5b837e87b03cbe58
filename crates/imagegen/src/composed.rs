//! The composed design: a token Transformer composes, a refiner (where the weights have one) looks
//! over it, a generator paints, and an encoder reads pictures back as tokens.

use super::concepts::{Concepts, Match};
use super::config::{Config, TOKENS};
use super::encoded::EncodedPicture;
use super::encoder::Encoder;
use super::folder::WeightsFolder;
use super::generator::Generator;
use super::layers::Dropout;
use super::quantizer::Quantizer;
use super::refiner::Refiner;
use super::retrieval_index::{RetrievalIndex, RetrievedExamples};
use super::sampling::{self, KnownTokens};
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
    index: RetrievalIndex,
    coverage: StyleCoverage,
}

/// What pictures are drawn from besides words.
#[derive(Default)]
pub(super) struct GenerationInput<'a> {
    pub known: Option<KnownTokens<'a>>,
    /// What is shown beside each picture, instead of what is remembered of its concept.
    pub retrieved: Option<RetrievedExamples>,
}

impl Composed {
    pub fn load(
        folder: &mut WeightsFolder,
        config: &Config,
        concepts: &Concepts,
        device: &Device,
    ) -> Result<Composed, ImageError> {
        let [.., table] = FILES;
        let known = (concepts.labels().len(), config.styles.len());
        let index = RetrievalIndex::parse(&folder.read_file(table)?, known, &config.levels)
            .map_err(|why| folder.unreadable(table, &why))?;
        let refiner = match folder.has(REFINER_FILE) {
            true => Some(folder.load_network(REFINER_FILE, |w| Refiner::new(w, config))?),
            false => None,
        };
        Ok(Composed {
            refiner,
            generator: folder
                .load_network("generator.safetensors", |w| Generator::new(w, config))?,
            tokens: folder
                .load_network("tokens.safetensors", |w| TokenTransformer::new(w, config))?,
            encoder: folder.load_network("encoder.safetensors", |w| Encoder::new(w, config))?,
            quantizer: Quantizer::new(&config.levels, device)?,
            coverage: StyleCoverage::new(&index, known),
            index,
        })
    }

    /// Whether a concept can be drawn in a style; None for any.
    pub fn fits(&self, concept: u32, style: Option<u32>) -> bool {
        self.coverage.covers(concept, style)
    }

    /// Remembers what has a number (of concept and style) only, of so many concepts and styles.
    pub fn remove_drawings(
        &mut self,
        number: &dyn Fn(u32, u32) -> Option<(u32, u32)>,
        counts: (usize, usize),
    ) {
        self.index = self.index.renumbered(number);
        self.coverage = StyleCoverage::new(&self.index, counts);
    }

    /// Pictures `[batch, 4, size, size]` as tokens.
    pub fn encode(&self, pictures: &Tensor) -> Result<EncodedPicture, ImageError> {
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
const MISFIT_FACTOR: f64 = 0.4;

impl Illuminator {
    /// What is remembered of the concept that was asked for, where one was: in styles like the one that
    /// is asked for, where there are such.
    fn retrieve(&self, by: &Composed, spec: &ImageSpec, text: &TextCondition) -> RetrievedExamples {
        let found = text
            .concepts
            .first()
            .filter(|found| found.similarity >= base::KNOWN_SIMILARITY);
        let examples = |found: &Match| by.index.examples(found.concept, spec.style, &self.config);
        let all: RetrievedExamples = found.map(examples).unwrap_or_default();
        let near = |style: usize| by.coverage.shares_concepts(style, spec.style);
        match all.iter().any(|(style, _)| near(*style)) {
            true => all.into_iter().filter(|(style, _)| near(*style)).collect(),
            false => all,
        }
    }

    /// What all ways of drawing of the composed design share: tokens are written, then painted.
    pub(super) fn compose(
        &self,
        by: &Composed,
        (spec, text): (&ImageSpec, &TextCondition),
        basis: GenerationInput,
        rngs: &mut [Rng],
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<Option<GeneratedImages>, ImageError> {
        let conditioning = self.conditioning(spec, text, by.tokens.null_text())?;
        let GenerationInput { known, retrieved } = basis;
        let retrieved = retrieved.unwrap_or_else(|| self.retrieve(by, spec, text));
        let near = |(style, _): &(usize, _)| by.coverage.shares_concepts(*style, spec.style);
        let mut sampling = spec.sampling;
        if known.is_some() || !retrieved.iter().any(near) {
            sampling.retrieval_strength *= MISFIT_FACTOR;
        }
        let retrieved = vec![retrieved; conditioning.len()];
        let written = sampling::generate_tokens(
            &by.tokens,
            &conditioning,
            &sampling,
            rngs,
            known,
            &retrieved,
            keep_going,
        )?;
        let Some(digits) = written else {
            return Ok(None);
        };
        let mut values = by.quantizer.token_values(&digits, &self.device)?;
        if let Some(refiner) = &by.refiner {
            let conditioning = self.conditioning(spec, text, refiner.null_text())?;
            values = refiner.forward(
                (&digits, &values),
                &conditioning,
                &retrieved,
                &Dropout::None,
            )?;
        }
        let conditioning = self.conditioning(spec, text, by.generator.null_text())?;
        let pictures = self.pictures(&by.generator.forward(&values, &conditioning)?)?;
        let own = digits.0.chunks(TOKENS * self.config.codes_per_token());
        Ok(Some(GeneratedImages {
            pictures,
            encoded: own
                .map(|own| EncodedPicture::Tokens(FsqCodes(own.to_vec())))
                .collect(),
            concepts: text.concepts.clone(),
        }))
    }
}

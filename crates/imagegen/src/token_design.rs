//! The token design. A token Transformer samples a picture's tokens, a refiner (if the weights
//! contain one) corrects the tokens, and a decoder converts them to pixels. An encoder turns
//! pictures into tokens.

use super::concepts::Concepts;
use super::config::{Config, TOKENS};
use super::design::{Design, DesignInput, DesignOutput, Generated, KeepGoing, Renumber};
use super::encoded::EncodedPicture;
use super::encoder::Encoder;
use super::folder::WeightsFolder;
use super::generator::Generator;
use super::layers::Dropout;
use super::quantizer::FsqCodes;
use super::quantizer::Quantizer;
use super::refiner::Refiner;
use super::retrieval_index::{RetrievalIndex, RetrievedExamples};
use super::retriever::Retriever;
use super::sampling::{self, KnownTokens};
use super::tokens::TokenTransformer;
use super::{FILES, REFINER_FILE};
use crate::ImageError;
use candle_core::{Device, Tensor};
use sampler::rng::Rng;

pub struct TokenDesign {
    generator: Generator,
    tokens: TokenTransformer,
    refiner: Option<Refiner>,
    encoder: Encoder,
    quantizer: Quantizer,
    retriever: Retriever,
    levels: Vec<usize>,
}

/// The inputs for sampling tokens apart from the conditioning.
#[derive(Default)]
pub struct TokenInput<'a> {
    pub known: Option<KnownTokens<'a>>,
    /// The examples to use instead of the drawings in the retrieval index, if any.
    pub examples: Option<RetrievedExamples>,
}

impl TokenDesign {
    pub fn load(
        folder: &mut WeightsFolder,
        config: &Config,
        concepts: &Concepts,
        device: &Device,
    ) -> Result<TokenDesign, ImageError> {
        let [.., index] = FILES;
        let counts = (concepts.labels().len(), config.styles.len());
        let index = RetrievalIndex::parse(&folder.read_file(index)?, counts, &config.levels)
            .map_err(|why| folder.unreadable(index, &why))?;
        let refiner = match folder.has(REFINER_FILE) {
            true => Some(folder.load_network(REFINER_FILE, |w| Refiner::new(w, config))?),
            false => None,
        };
        Ok(TokenDesign {
            refiner,
            generator: folder
                .load_network("generator.safetensors", |w| Generator::new(w, config))?,
            tokens: folder
                .load_network("tokens.safetensors", |w| TokenTransformer::new(w, config))?,
            encoder: folder.load_network("encoder.safetensors", |w| Encoder::new(w, config))?,
            quantizer: Quantizer::new(&config.levels, device)?,
            retriever: Retriever::new(index, counts),
            levels: config.levels.clone(),
        })
    }

    /// Samples tokens, refines them and decodes them to pictures.
    pub fn sample(
        &self,
        input: &DesignInput,
        from: TokenInput,
        rngs: &mut [Rng],
        keep_going: KeepGoing,
    ) -> Generated {
        let conditioning = input.conditioning(self.tokens.null_text())?;
        let TokenInput { known, examples } = from;
        let (retriever, style) = (&self.retriever, input.spec.style);
        let concepts = &input.text.concepts;
        let retrieve = || retriever.retrieve(concepts, style, input.config);
        let examples = examples.unwrap_or_else(retrieve);
        let mut sampling = input.spec.sampling;
        sampling.retrieval_strength *= retriever.strength(&examples, style, known.is_some());
        let examples = vec![examples; conditioning.len()];
        let sampled = sampling::generate_tokens(
            &self.tokens,
            &conditioning,
            &sampling,
            rngs,
            known,
            &examples,
            keep_going,
        )?;
        let Some(codes) = sampled else {
            return Ok(None);
        };
        let pixels = self.decode(input, &codes, &examples)?;
        let each = codes.0.chunks(TOKENS * self.levels.len());
        Ok(Some(DesignOutput {
            pixels,
            encoded: each.map(|own| EncodedPicture(own.to_vec())).collect(),
        }))
    }

    fn decode(
        &self,
        input: &DesignInput,
        codes: &FsqCodes,
        examples: &[RetrievedExamples],
    ) -> candle_core::Result<Tensor> {
        let mut values = self.quantizer.token_values(codes, input.device)?;
        if let Some(refiner) = &self.refiner {
            let conditioning = input.conditioning(refiner.null_text())?;
            values = refiner.forward((codes, &values), &conditioning, examples, &Dropout::None)?;
        }
        let conditioning = input.conditioning(self.generator.null_text())?;
        self.generator.forward(&values, &conditioning)
    }
}

impl Design for TokenDesign {
    fn covers(&self, concept: u32, style: Option<u32>) -> bool {
        self.retriever.covers(concept, style)
    }

    fn remove_drawings(&mut self, renumber: Renumber, counts: (usize, usize)) {
        self.retriever.remove_drawings(renumber, counts);
    }

    fn generate(&self, input: &DesignInput, keep_going: KeepGoing) -> Generated {
        let rngs = &mut input.rngs(None);
        self.sample(input, TokenInput::default(), rngs, keep_going)
    }

    fn vary(
        &self,
        input: &DesignInput,
        picture: &EncodedPicture,
        amount: f64,
        keep_going: KeepGoing,
    ) -> Generated {
        self.resample(input, picture, amount, keep_going)
    }

    fn restyle(
        &self,
        input: &DesignInput,
        picture: &EncodedPicture,
        keep_going: KeepGoing,
    ) -> Generated {
        self.redraw(input, picture, keep_going)
    }

    fn encode(&self, picture: &Tensor) -> Result<EncodedPicture, ImageError> {
        let values = self.encoder.forward(picture)?;
        let codes = self.quantizer.codes(&self.quantizer.quantize(&values)?)?;
        let codes = codes.flatten_all()?.to_vec1::<f32>()?;
        let codes = codes.into_iter().map(|code| code as u8).collect();
        Ok(EncodedPicture(codes))
    }

    fn accepts(&self, picture: &EncodedPicture) -> bool {
        let pairs = picture.0.iter().zip(self.levels.iter().cycle());
        let mut codes = pairs.map(|(code, levels)| usize::from(*code) < *levels);
        picture.0.len() == TOKENS * self.levels.len() && codes.all(|sound| sound)
    }
}

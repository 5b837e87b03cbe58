//! The retrieval index: the tokens of all known drawings, by concept and style. The index includes
//! drawings that were not used in training.
//!
//! The token Transformer sees retrieved drawings of the same concept in other styles (retrieval
//! augmentation, Blattmann et al. 2022, arXiv 2204.11824), so that a small model need not store
//! five thousand concepts in its weights. A drawing in the requested style itself is never
//! retrieved, neither in training nor when a picture is drawn, so nothing is copied.

use super::config::{Config, TOKENS};
use super::quantizer::FsqCodes;
use ::safetensors::SafeTensors;
use candle_core::{Device, Tensor, safetensors};
use std::collections::BTreeMap;

/// The drawings retrieved for one picture, at most one per style. Each drawing has the index of its
/// style in the style table ([`unknown_style`] if the style is not in the weights) and its tokens.
/// One of the drawings, chosen at random by style weight, biases the logits. Only this choice
/// depends on the order of the drawings.
pub type RetrievedExamples = Vec<(usize, FsqCodes)>;

/// The row of the style table for drawings whose style is not in the weights.
pub fn unknown_style(config: &Config) -> usize {
    config.styles.len()
}

/// The tokens of each drawing, by concept index and style index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetrievalIndex(BTreeMap<(u32, u32), [u32; TOKENS]>);

impl RetrievalIndex {
    /// Adds the tokens of a drawing, unless the index already has a drawing for the concept and
    /// style.
    pub fn insert(&mut self, (concept, style): (u32, u32), codes: &[u8], config: &Config) {
        let mut tokens = [0; TOKENS];
        for (token, codes) in tokens
            .iter_mut()
            .zip(codes.chunks(config.codes_per_token()))
        {
            *token = token_number(codes, &config.levels);
        }
        self.0.entry((concept, style)).or_insert(tokens);
    }

    /// Returns the drawings of a concept in the styles for which `keep` returns true.
    pub fn examples(
        &self,
        concept: u32,
        config: &Config,
        keep: impl Fn(u32) -> bool,
    ) -> RetrievedExamples {
        let all = self.0.range((concept, 0)..=(concept, u32::MAX));
        let kept = all.filter(|((_, style), _)| keep(*style));
        let spelled = kept.map(|((_, style), tokens)| {
            let codes = tokens.iter().flat_map(|t| codes_of(*t, &config.levels));
            (*style as usize, FsqCodes(codes.collect()))
        });
        spelled.collect()
    }

    /// Iterates over the concept index and style index of each drawing.
    pub fn keys(&self) -> impl Iterator<Item = (u32, u32)> {
        self.0.keys().copied()
    }

    /// Returns an index of the same drawings with new concept and style indices. Drawings for which
    /// `number` returns None are removed.
    pub fn renumbered(&self, number: impl Fn(u32, u32) -> Option<(u32, u32)>) -> RetrievalIndex {
        let kept = self.0.iter();
        RetrievalIndex(
            kept.filter_map(|((concept, style), tokens)| {
                Some((number(*concept, *style)?, *tokens))
            })
            .collect(),
        )
    }

    /// Adds the drawings of `other` whose concept and style this index does not contain.
    pub fn extend(&mut self, other: RetrievalIndex) {
        for (key, tokens) in other.0 {
            self.0.entry(key).or_insert(tokens);
        }
    }

    /// Parses `memory.safetensors`. The file contains the tensors `tokens` `[pictures, 64]`,
    /// `concept` `[pictures]` and `style` `[pictures]`, all of type u32. A token is one number, in
    /// which the first code is least significant. Every concept, style and token is checked against
    /// the given counts and levels; [`unknown_style`] is a valid style.
    pub fn parse(
        bytes: &[u8],
        (concepts, styles): (usize, usize),
        levels: &[usize],
    ) -> Result<RetrievalIndex, String> {
        let text = |why: candle_core::Error| why.to_string();
        SafeTensors::deserialize(bytes).map_err(|why| why.to_string())?;
        let tensors = safetensors::load_buffer(bytes, &Device::Cpu).map_err(text)?;
        let column = |name: &str| {
            let tensor = tensors.get(name).ok_or(format!("it has no {name}"))?;
            tensor
                .flatten_all()
                .and_then(|all| all.to_vec1::<u32>())
                .map_err(text)
        };
        let (concept, style, tokens) = (column("concept")?, column("style")?, column("tokens")?);
        let values: u64 = levels.iter().map(|levels| *levels as u64).product();
        let sound = concept.iter().all(|concept| (*concept as usize) < concepts)
            && style.iter().all(|style| *style as usize <= styles)
            && tokens.iter().all(|token| u64::from(*token) < values)
            && concept.len() == style.len()
            && tokens.len() == concept.len() * TOKENS;
        if !sound {
            return Err("its retrieval index does not match its weights".into());
        }
        let tokens = tokens
            .chunks_exact(TOKENS)
            .filter_map(|own| own.try_into().ok());
        let keys = concept.into_iter().zip(style);
        Ok(RetrievalIndex(keys.zip(tokens).collect()))
    }

    /// Returns the named tensors that [`RetrievalIndex::parse`] expects.
    pub fn to_tensors(&self) -> candle_core::Result<Vec<(String, Tensor)>> {
        let count = self.0.len();
        let (concept, style): (Vec<u32>, Vec<u32>) = self.0.keys().copied().unzip();
        let tokens: Vec<u32> = self.0.values().flatten().copied().collect();
        let column = |numbers: Vec<u32>| Tensor::from_vec(numbers, count, &Device::Cpu);
        Ok(vec![
            ("concept".into(), column(concept)?),
            ("style".into(), column(style)?),
            (
                "tokens".into(),
                Tensor::from_vec(tokens, (count, TOKENS), &Device::Cpu)?,
            ),
        ])
    }
}

/// Combines the codes of a token into one number. [`Config::validate`] ensures that the number fits
/// in 32 bits.
fn token_number(codes: &[u8], levels: &[usize]) -> u32 {
    let pairs = codes.iter().zip(levels).rev();
    pairs.fold(0, |number, (code, levels)| {
        number * *levels as u32 + u32::from(*code)
    })
}

/// Splits the number that [`token_number`] returns into the FSQ codes of the token.
fn codes_of(number: u32, levels: &[usize]) -> impl Iterator<Item = u8> {
    levels.iter().scan(number, |rest, levels| {
        let code = *rest % *levels as u32;
        *rest /= *levels as u32;
        Some(code as u8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Config {
        let json = include_bytes!("../../../tests/reference/illuminator/config.json");
        Config::parse(json).unwrap()
    }

    /// An index with drawings of a dragon in two styles and of a castle in one style.
    fn some() -> RetrievalIndex {
        let mut index = RetrievalIndex::default();
        for (key, first) in [((0, 0), 1), ((0, 1), 2), ((1, 1), 3)] {
            index.insert(key, &[vec![first, 2], vec![0; 126]].concat(), &tiny());
        }
        index
    }

    fn file(index: &RetrievalIndex) -> Vec<u8> {
        ::safetensors::serialize(index.to_tensors().unwrap(), None).unwrap()
    }

    #[test]
    fn a_thing_is_recalled_in_all_styles_but_the_one_that_is_asked_for() {
        let (index, config) = (some(), tiny());
        let first = |concept, wanted| {
            let retrieved = index.examples(concept, &config, |style| Some(style) != wanted);
            let first = retrieved
                .iter()
                .map(|(style, codes)| (*style, codes.0[0], codes.0[1]));
            first.collect::<Vec<_>>()
        };
        assert_eq!(first(0, None), [(0, 1, 2), (1, 2, 2)]);
        assert_eq!(first(0, Some(1)), [(0, 1, 2)]);
        assert_eq!(first(1, Some(1)), []);
        assert_eq!(first(7, None), []);
    }

    #[test]
    fn a_token_is_one_number_and_its_digits_again() {
        let levels = [7, 7, 7, 5, 5, 5, 5, 5, 5, 5, 5, 5];
        let most: Vec<u8> = levels.iter().map(|levels| *levels as u8 - 1).collect();
        assert_eq!(token_number(&most, &levels), 669_921_875 - 1);
        assert_eq!(codes_of(669_921_874, &levels).collect::<Vec<_>>(), most);
        assert_eq!(token_number(&[1, 2], &[5, 3]), 11);
    }

    #[test]
    fn what_is_written_is_read_and_what_does_not_fit_is_refused() {
        let (index, config) = (some(), tiny());
        let read =
            |bytes: &[u8], concepts| RetrievalIndex::parse(bytes, (concepts, 2), &config.levels);
        assert_eq!(read(&file(&index), 2), Ok(index.clone()));
        let fits = |index: &RetrievalIndex, concepts| read(&file(index), concepts).is_ok();
        assert!(!fits(&index, 1));
        let style = |style| index.renumbered(|concept, _| Some((concept, style)));
        assert!(fits(&style(2), 2) && !fits(&style(3), 2));
        let mut large = index.clone();
        large.0.insert((0, 0), [15; TOKENS]);
        assert!(!fits(&large, 2));
        assert!(read(b"", 2).is_err());
    }

    #[test]
    fn memories_join_and_what_has_no_number_is_forgotten() {
        let mut index = some().renumbered(|concept, style| (concept == 0).then_some((5, style)));
        assert_eq!(index.examples(5, &tiny(), |_| true).len(), 2);
        index.extend(some());
        assert_eq!(index.examples(0, &tiny(), |_| true).len(), 2);
    }
}

//! What is remembered of drawings, also of those that were held out of training: their tokens, by
//! concept and style.
//!
//! A picture is composed with pictures of the same thing in other styles before the token
//! Transformer's eyes (retrieval, as of Blattmann et al. 2022, arXiv 2204.11824): so small a model
//! cannot hold five thousand things in its weights, and does not have to. A picture in the very
//! style that is asked for is never shown, in training or in drawing, so nothing is copied out.

use super::config::{Config, TOKENS};
use super::tokens::FsqCodes;
use ::safetensors::SafeTensors;
use candle_core::{Device, Tensor, safetensors};
use std::collections::BTreeMap;

/// Pictures that are shown beside one that is to be written, at most one a style: the row of each
/// one's style ([`unknown`] for one in no style that is known), and its tokens.
pub type RetrievedExamples = Vec<(usize, FsqCodes)>;

/// The row of a picture in no style that is known.
pub fn unknown(config: &Config) -> usize {
    config.styles.len()
}

/// Pictures by the number of their concept and that of their style.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetrievalIndex(BTreeMap<(u32, u32), [u32; TOKENS]>);

impl RetrievalIndex {
    /// Keeps the tokens of a picture; where there is one of the thing in the style already, that
    /// stays.
    pub fn keep(&mut self, (concept, style): (u32, u32), digits: &[u8], config: &Config) {
        let mut tokens = [0; TOKENS];
        for (token, digits) in tokens
            .iter_mut()
            .zip(digits.chunks(config.codes_per_token()))
        {
            *token = number(digits, &config.levels);
        }
        self.0.entry((concept, style)).or_insert(tokens);
    }

    /// Pictures of a concept in all styles but that of the one to be written.
    pub fn recall(&self, concept: u32, wanted: Option<u32>, config: &Config) -> RetrievedExamples {
        let all = self.0.range((concept, 0)..=(concept, u32::MAX));
        let others = all.filter(|((_, style), _)| Some(*style) != wanted);
        let spelled = others.map(|((_, style), tokens)| {
            let digits = tokens.iter().flat_map(|t| digits(*t, &config.levels));
            (*style as usize, FsqCodes(digits.collect()))
        });
        spelled.collect()
    }

    /// The concept and style of each picture.
    pub fn keys(&self) -> impl Iterator<Item = (u32, u32)> {
        self.0.keys().copied()
    }

    /// The same under other numbers of concepts and styles; what has none is forgotten.
    pub fn renumbered(&self, number: impl Fn(u32, u32) -> Option<(u32, u32)>) -> RetrievalIndex {
        let kept = self.0.iter();
        RetrievalIndex(
            kept.filter_map(|((concept, style), tokens)| {
                Some((number(*concept, *style)?, *tokens))
            })
            .collect(),
        )
    }

    /// Adds what `other` has and this has not.
    pub fn extend(&mut self, other: RetrievalIndex) {
        for (key, tokens) in other.0 {
            self.0.entry(key).or_insert(tokens);
        }
    }

    /// Reads `memory.safetensors`: `tokens` `[pictures, 64]` (a token's number: its digits, the
    /// first counting least), `concept` and `style` `[pictures]` ([`unknown`] is one); all u32.
    /// There are so many concepts and styles, and tokens have digits of such levels.
    pub fn read(
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
            return Err("what it remembers does not fit the weights beside it".into());
        }
        let tokens = tokens
            .chunks_exact(TOKENS)
            .filter_map(|own| own.try_into().ok());
        let keys = concept.into_iter().zip(style);
        Ok(RetrievalIndex(keys.zip(tokens).collect()))
    }

    /// What [`Memory::read`] reads, by name.
    pub fn tensors(&self) -> candle_core::Result<Vec<(String, Tensor)>> {
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

/// A token as one number: [`Config::check`] sees to it that there is room.
fn number(digits: &[u8], levels: &[usize]) -> u32 {
    let pairs = digits.iter().zip(levels).rev();
    pairs.fold(0, |number, (digit, levels)| {
        number * *levels as u32 + u32::from(*digit)
    })
}

/// The digits of a token.
fn digits(number: u32, levels: &[usize]) -> impl Iterator<Item = u8> {
    levels.iter().scan(number, |rest, levels| {
        let digit = *rest % *levels as u32;
        *rest /= *levels as u32;
        Some(digit as u8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Config {
        let json = include_bytes!("../../../tests/reference/illuminator/config.json");
        Config::parse(json).unwrap()
    }

    /// Dragons in two styles and a castle in one.
    fn some() -> RetrievalIndex {
        let mut memory = RetrievalIndex::default();
        for (key, first) in [((0, 0), 1), ((0, 1), 2), ((1, 1), 3)] {
            memory.keep(key, &[vec![first, 2], vec![0; 126]].concat(), &tiny());
        }
        memory
    }

    fn file(memory: &RetrievalIndex) -> Vec<u8> {
        ::safetensors::serialize(memory.tensors().unwrap(), None).unwrap()
    }

    #[test]
    fn a_thing_is_recalled_in_all_styles_but_the_one_that_is_asked_for() {
        let (memory, config) = (some(), tiny());
        let first = |concept, wanted| {
            let retrieved = memory.recall(concept, wanted, &config);
            let first = retrieved
                .iter()
                .map(|(style, digits)| (*style, digits.0[0], digits.0[1]));
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
        assert_eq!(number(&most, &levels), 669_921_875 - 1);
        assert_eq!(digits(669_921_874, &levels).collect::<Vec<_>>(), most);
        assert_eq!(number(&[1, 2], &[5, 3]), 11);
    }

    #[test]
    fn what_is_written_is_read_and_what_does_not_fit_is_refused() {
        let (memory, config) = (some(), tiny());
        let read =
            |bytes: &[u8], concepts| RetrievalIndex::parse(bytes, (concepts, 2), &config.levels);
        assert_eq!(read(&file(&memory), 2), Ok(memory.clone()));
        let fits = |memory: &RetrievalIndex, concepts| read(&file(memory), concepts).is_ok();
        assert!(!fits(&memory, 1));
        let style = |style| memory.renumbered(|concept, _| Some((concept, style)));
        assert!(fits(&style(2), 2) && !fits(&style(3), 2));
        let mut large = memory.clone();
        large.0.insert((0, 0), [15; TOKENS]);
        assert!(!fits(&large, 2));
        assert!(read(b"", 2).is_err());
    }

    #[test]
    fn memories_join_and_what_has_no_number_is_forgotten() {
        let mut memory = some().renumbered(|concept, style| (concept == 0).then_some((5, style)));
        assert_eq!(memory.recall(5, None, &tiny()).len(), 2);
        memory.extend(some());
        assert_eq!(memory.recall(0, None, &tiny()).len(), 2);
    }
}

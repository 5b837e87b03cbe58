//! Measures the quantities that an expectation can compare with a number.

use super::Quantity;
use super::observed::Observed;
use crate::measure::bleu::bleu;
use crate::measure::rouge::rouge;
use crate::measure::{self, picture, variety};

impl Quantity {
    /// Measures the quantity. Some quantities are measured in `text`, the others in `seen`, the
    /// results of the typed line.
    pub(super) fn measure(&self, text: &str, seen: &Observed) -> Result<f64, String> {
        let none = || "The last passage was not generated, so it has no such number.".to_string();
        Ok(match self {
            Quantity::Words => measure::word_count(text) as f64,
            Quantity::Sentences => measure::sentence_count(text) as f64,
            Quantity::Characters => measure::character_count(text.trim()) as f64,
            Quantity::Tokens => seen.tokens.ok_or_else(none)? as f64,
            Quantity::Levenshtein(other) => measure::levenshtein(text.trim(), other.trim()) as f64,
            Quantity::Bleu(references) => bleu(text.trim(), references),
            Quantity::Rouge(which, references) => rouge(*which, text, references),
            Quantity::Repetition(n) => variety::repetition(text, *n),
            Quantity::Distinct(n) => variety::distinct(text, *n),
            Quantity::SelfBleu => variety::self_bleu(&seen.versions).ok_or(
                "The passage has only one version; generate more, for example with /gen 4.",
            )?,
            Quantity::Latency => seen.milliseconds,
            Quantity::TokensPerSecond => seen.tokens_per_second.ok_or_else(none)?,
            Quantity::Pictures => seen.pictures.len() as f64,
            Quantity::PictureHash(hash) => {
                let picture = picture::decode(last_picture(seen)?)?;
                f64::from(picture::distance(picture::perceptual_hash(&picture), *hash))
            }
        })
    }

    /// Whether the quantity is measured on a single text. If so, a failure shows this text.
    pub(super) fn is_of_text(&self) -> bool {
        match self {
            Quantity::Words
            | Quantity::Sentences
            | Quantity::Characters
            | Quantity::Tokens
            | Quantity::Levenshtein(_)
            | Quantity::Bleu(_)
            | Quantity::Rouge(..)
            | Quantity::Repetition(_)
            | Quantity::Distinct(_) => true,
            Quantity::SelfBleu
            | Quantity::Latency
            | Quantity::TokensPerSecond
            | Quantity::Pictures
            | Quantity::PictureHash(_) => false,
        }
    }

    /// The reference texts with which the quantity compares a text; empty if there are none.
    pub(super) fn references(&self) -> &[String] {
        match self {
            Quantity::Levenshtein(text) => std::slice::from_ref(text),
            Quantity::Bleu(texts) | Quantity::Rouge(_, texts) => texts,
            Quantity::Words
            | Quantity::Sentences
            | Quantity::Characters
            | Quantity::Tokens
            | Quantity::Repetition(_)
            | Quantity::Distinct(_)
            | Quantity::SelfBleu
            | Quantity::Latency
            | Quantity::TokensPerSecond
            | Quantity::Pictures
            | Quantity::PictureHash(_) => &[],
        }
    }

    /// Returns a description of the quantity, with which the sentence that reports the number
    /// begins.
    pub(super) fn describe(&self, name: &str) -> String {
        match self {
            Quantity::Words => format!("The number of words in the {name}"),
            Quantity::Sentences => format!("The number of sentences in the {name}"),
            Quantity::Characters => format!("The number of characters in the {name}"),
            Quantity::Tokens => "The number of tokens".to_string(),
            Quantity::Levenshtein(_) => "The Levenshtein distance".to_string(),
            Quantity::Bleu(_) => "BLEU".to_string(),
            Quantity::Rouge(..) => "ROUGE".to_string(),
            Quantity::Repetition(n) => format!("The share of repeated sequences of {n} words"),
            Quantity::Distinct(n) => format!("The share of distinct sequences of {n} words"),
            Quantity::SelfBleu => "Self-BLEU".to_string(),
            Quantity::Latency => "The latency in milliseconds".to_string(),
            Quantity::TokensPerSecond => "The number of tokens per second".to_string(),
            Quantity::Pictures => "The number of pictures".to_string(),
            Quantity::PictureHash(_) => "The distance between the perceptual hashes".to_string(),
        }
    }
}

/// Returns the bytes of the last picture that the line drew.
pub(super) fn last_picture<'a>(seen: &'a Observed) -> Result<&'a [u8], String> {
    let none = || "The last line drew no picture.".to_string();
    Ok(seen.pictures.last().ok_or_else(none)?)
}

/// Rounds a number to four decimal places.
pub(super) fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

//! Measures the quantities that an expectation can compare with a number.

use super::observed::Observed;
use super::{Bound, Quantity};
use crate::measure::bleu::bleu;
use crate::measure::rouge::rouge;
use crate::measure::{self, promptfoo, variety};
use story::message::Measurement;

/// The number of words in the n-grams that `overlap-with` compares.
const OVERLAP: usize = 4;

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
            Quantity::PictureHash(file) => file.distance(last_picture(seen)?)?,
            Quantity::OverlapWith(place) => {
                variety::overlap(text, &(seen.passage)(place)?, OVERLAP)
            }
            Quantity::Cost => seen
                .cost
                .ok_or("The model server does not say what the line cost.")?,
            Quantity::PromptfooWords => promptfoo::word_count(text) as f64,
            Quantity::PromptfooLevenshtein(other) => promptfoo::levenshtein(text, other) as f64,
            Quantity::PromptfooRouge(reference) => promptfoo::rouge_n(text, reference),
            Quantity::PromptfooBleu(references) => promptfoo::bleu(text, references),
            Quantity::PromptfooGleu(references) => promptfoo::gleu(text, references),
            Quantity::PictureShows(_)
            | Quantity::Similar(_)
            | Quantity::SimilarTo(_)
            | Quantity::Perplexity => {
                self.question(text, "", seen)?;
                seen.measured.ok_or("No model measured this.")?
            }
        })
    }

    /// Returns what a model must measure to determine this quantity; None if no model is needed.
    /// `before` is the part of the story that precedes `text`.
    pub(super) fn question(
        &self,
        text: &str,
        before: &str,
        seen: &Observed,
    ) -> Result<Option<Measurement>, String> {
        let similar = |text: &str, others: Vec<String>| {
            let text = text.trim().to_string();
            match text.is_empty() || others.iter().all(|other| other.trim().is_empty()) {
                true => Err("An empty text is similar to nothing.".to_string()),
                false => Ok(Some(Measurement::Similarity { text, others })),
            }
        };
        match self {
            Quantity::Similar(others) => similar(text, others.clone()),
            Quantity::SimilarTo(place) => similar(text, vec![(seen.passage)(place)?]),
            Quantity::PictureShows(words) => {
                last_picture(seen)?;
                let concepts = seen.picture_concepts.iter();
                let concepts: Vec<String> = concepts.map(ToString::to_string).collect();
                match concepts.is_empty() {
                    true => Err("The last picture was not drawn from a prompt.".to_string()),
                    false => similar(words, concepts),
                }
            }
            Quantity::Perplexity if text.trim().is_empty() => {
                Err("An empty text has no perplexity.".to_string())
            }
            Quantity::Perplexity => Ok(Some(Measurement::Perplexity {
                before: before.to_string(),
                text: text.to_string(),
            })),
            Quantity::Words
            | Quantity::Sentences
            | Quantity::Characters
            | Quantity::Tokens
            | Quantity::Levenshtein(_)
            | Quantity::Bleu(_)
            | Quantity::Rouge(..)
            | Quantity::Repetition(_)
            | Quantity::Distinct(_)
            | Quantity::SelfBleu
            | Quantity::Latency
            | Quantity::TokensPerSecond
            | Quantity::Pictures
            | Quantity::PictureHash(_)
            | Quantity::OverlapWith(_)
            | Quantity::Cost
            | Quantity::PromptfooWords
            | Quantity::PromptfooLevenshtein(_)
            | Quantity::PromptfooRouge(_)
            | Quantity::PromptfooBleu(_)
            | Quantity::PromptfooGleu(_) => Ok(None),
        }
    }

    /// Returns the score of a quantity that is a grade in itself, as in promptfoo. If a high value
    /// is expected, the score is the grade; if a low value is expected, it is 1 minus the grade.
    /// Returns None if the quantity is not a grade, or if neither a high nor a low value is
    /// expected.
    pub(super) fn grade(&self, value: f64, bound: Bound) -> Option<f64> {
        let grade = match self {
            Quantity::Bleu(_) => value / 100.0,
            Quantity::Rouge(..)
            | Quantity::Similar(_)
            | Quantity::SimilarTo(_)
            | Quantity::PictureShows(_)
            | Quantity::PromptfooRouge(_)
            | Quantity::PromptfooBleu(_)
            | Quantity::PromptfooGleu(_) => value,
            Quantity::Words
            | Quantity::Sentences
            | Quantity::Characters
            | Quantity::Tokens
            | Quantity::Levenshtein(_)
            | Quantity::Repetition(_)
            | Quantity::Distinct(_)
            | Quantity::SelfBleu
            | Quantity::Latency
            | Quantity::TokensPerSecond
            | Quantity::Pictures
            | Quantity::PictureHash(_)
            | Quantity::OverlapWith(_)
            | Quantity::Perplexity
            | Quantity::Cost
            | Quantity::PromptfooWords
            | Quantity::PromptfooLevenshtein(_) => return None,
        };
        match bound {
            Bound::AtLeast(_) | Bound::Above(_) => Some(grade),
            Bound::AtMost(_) | Bound::Below(_) => Some(1.0 - grade),
            Bound::Equal(_) | Bound::Unequal(_) | Bound::Between(..) => None,
        }
    }

    /// Whether the quantity is measured on a single text, so that showing this text explains the
    /// number.
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
            | Quantity::Distinct(_)
            | Quantity::Similar(_)
            | Quantity::SimilarTo(_)
            | Quantity::OverlapWith(_)
            | Quantity::Perplexity
            | Quantity::PromptfooWords
            | Quantity::PromptfooLevenshtein(_)
            | Quantity::PromptfooRouge(_)
            | Quantity::PromptfooBleu(_)
            | Quantity::PromptfooGleu(_) => true,
            Quantity::SelfBleu
            | Quantity::Latency
            | Quantity::TokensPerSecond
            | Quantity::Pictures
            | Quantity::PictureHash(_)
            | Quantity::PictureShows(_)
            | Quantity::Cost => false,
        }
    }

    /// The reference texts with which the quantity compares a text; empty if there are none.
    pub(super) fn references(&self) -> &[String] {
        match self {
            Quantity::Levenshtein(text)
            | Quantity::PromptfooLevenshtein(text)
            | Quantity::PromptfooRouge(text) => std::slice::from_ref(text),
            Quantity::Bleu(texts)
            | Quantity::Rouge(_, texts)
            | Quantity::PromptfooBleu(texts)
            | Quantity::PromptfooGleu(texts) => texts,
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
            | Quantity::PictureHash(_)
            | Quantity::PictureShows(_)
            | Quantity::Similar(_)
            | Quantity::SimilarTo(_)
            | Quantity::OverlapWith(_)
            | Quantity::Perplexity
            | Quantity::Cost
            | Quantity::PromptfooWords => &[],
        }
    }

    /// Returns a description of the quantity, used as the subject of the sentence that reports the
    /// number.
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
            Quantity::PictureShows(words) => {
                format!("The similarity of the picture's concepts to \"{words}\"")
            }
            Quantity::Similar(_) => "The similarity".to_string(),
            Quantity::SimilarTo(place) => format!("The similarity to passage {place}"),
            Quantity::OverlapWith(place) => {
                format!("The share of sequences of {OVERLAP} words that passage {place} also has")
            }
            Quantity::Perplexity => format!("The perplexity of the {name}"),
            Quantity::Cost => "The cost".to_string(),
            Quantity::PromptfooWords => format!("promptfoo's number of words in the {name}"),
            Quantity::PromptfooLevenshtein(_) => "promptfoo's Levenshtein distance".to_string(),
            Quantity::PromptfooRouge(_) => "promptfoo's ROUGE-1".to_string(),
            Quantity::PromptfooBleu(_) => "promptfoo's BLEU".to_string(),
            Quantity::PromptfooGleu(_) => "promptfoo's GLEU".to_string(),
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

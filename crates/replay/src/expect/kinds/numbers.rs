//! Expectations about a number that is measured in a text.

use super::{Kind, number};
use crate::expect::{Check, Quantity};
use crate::measure::rouge::Rouge;

/// The kinds of expectations about a number that is measured in a text.
pub(super) const KINDS: &[Kind] = &[
    number("words", "COMPARISON", "the number of words", |it| {
        it.number(Quantity::Words)
    }),
    number("sentences", "COMPARISON", "the number of sentences", |it| {
        it.number(Quantity::Sentences)
    }),
    number(
        "characters",
        "COMPARISON",
        "the number of characters",
        |it| it.number(Quantity::Characters),
    ),
    number(
        "levenshtein",
        "TEXT COMPARISON",
        "the edit distance to TEXT in characters",
        |it| {
            let (mut texts, bound) = it.texts_and_bound()?;
            Ok(Check::Number(
                Quantity::Levenshtein(texts.swap_remove(0)),
                bound,
            ))
        },
    ),
    number(
        "bleu",
        "TEXT … COMPARISON",
        "BLEU against these references as sacrebleu computes it, 0 to 100",
        |it| {
            let (texts, bound) = it.texts_and_bound()?;
            Ok(Check::Number(Quantity::Bleu(texts), bound))
        },
    ),
    number(
        "rouge-1",
        "TEXT … COMPARISON",
        "ROUGE-1 as rouge-score computes it (F-measure, 0 to 1)",
        |it| it.rouge(Rouge::N(1)),
    ),
    number("rouge-2", "TEXT … COMPARISON", "ROUGE-2, likewise", |it| {
        it.rouge(Rouge::N(2))
    }),
    number("rouge-l", "TEXT … COMPARISON", "ROUGE-L, likewise", |it| {
        it.rouge(Rouge::L)
    }),
    number(
        "repetition",
        "COMPARISON",
        "the share of repeated sequences of four words, 0 to 1",
        |it| it.number(Quantity::Repetition(4)),
    ),
    number(
        "distinct-1",
        "COMPARISON",
        "the share of distinct words, 0 to 1",
        |it| it.number(Quantity::Distinct(1)),
    ),
    number(
        "distinct-2",
        "COMPARISON",
        "the share of distinct pairs of words",
        |it| it.number(Quantity::Distinct(2)),
    ),
    number(
        "distinct-3",
        "COMPARISON",
        "the share of distinct triples of words",
        |it| it.number(Quantity::Distinct(3)),
    ),
    number(
        "similar",
        "TEXT … COMPARISON",
        "the cosine similarity of the meaning to the closest of these texts, -1 to 1",
        |it| {
            let (texts, bound) = it.texts_and_bound()?;
            Ok(Check::Number(Quantity::Similar(texts), bound))
        },
    ),
    number(
        "similar-to",
        "PLACE COMPARISON",
        "the cosine similarity of the meaning to this passage",
        |it| it.place_and_bound(Quantity::SimilarTo),
    ),
    number(
        "overlap-with",
        "PLACE COMPARISON",
        "the share of the text's sequences of four words that this passage also has, 0 to 1",
        |it| it.place_and_bound(Quantity::OverlapWith),
    ),
    number(
        "perplexity",
        "COMPARISON",
        "the perplexity of the text under the model, given the story before it",
        |it| it.number(Quantity::Perplexity),
    ),
];

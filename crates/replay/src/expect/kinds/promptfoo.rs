//! Expectations with promptfoo's definitions, which differ from illumine's own. The command
//! `illumine replay import` writes these expectations, so that promptfoo's thresholds keep their
//! meaning.

use super::{Kind, number, text};
use crate::expect::{Check, Quantity};

/// The kinds of expectations with promptfoo's definitions.
pub(super) const KINDS: &[Kind] = &[
    text(
        "promptfoo-equals",
        "TEXT",
        "the whole text, with white space at its start and end",
        |it| Ok(Check::Exactly(it.text()?)),
    ),
    text(
        "promptfoo-starts-with",
        "TEXT",
        "the text starts with TEXT, without any white space before it",
        |it| Ok(Check::ExactStart(it.text()?)),
    ),
    text(
        "promptfoo-contains-html",
        "",
        "the text contains HTML, as far as promptfoo's patterns tell",
        |_| Ok(Check::ContainsHtml),
    ),
    text(
        "promptfoo-is-refusal",
        "",
        "the text contains one of promptfoo's phrases that refuse to answer, or is empty",
        |_| Ok(Check::Refusal),
    ),
    Kind {
        // Nothing else says that a number is outside a range.
        negatable: true,
        ..number(
            "promptfoo-word-count",
            "COMPARISON",
            "the number of words that white space separates",
            |it| it.number(Quantity::PromptfooWords),
        )
    },
    number(
        "promptfoo-levenshtein",
        "TEXT COMPARISON",
        "the edit distance to TEXT in UTF-16 units, white space included",
        |it| {
            let (mut texts, bound) = it.texts_and_bound()?;
            let text = texts.swap_remove(0);
            Ok(Check::Number(Quantity::PromptfooLevenshtein(text), bound))
        },
    ),
    number(
        "promptfoo-rouge-n",
        "TEXT COMPARISON",
        "ROUGE-1 as promptfoo computes it, 0 to 1",
        |it| {
            let (mut texts, bound) = it.texts_and_bound()?;
            let text = texts.swap_remove(0);
            Ok(Check::Number(Quantity::PromptfooRouge(text), bound))
        },
    ),
    number(
        "promptfoo-bleu",
        "TEXT … COMPARISON",
        "BLEU as promptfoo computes it, 0 to 1",
        |it| {
            let (texts, bound) = it.texts_and_bound()?;
            Ok(Check::Number(Quantity::PromptfooBleu(texts), bound))
        },
    ),
    number(
        "promptfoo-gleu",
        "TEXT … COMPARISON",
        "GLEU as promptfoo computes it, 0 to 1",
        |it| {
            let (texts, bound) = it.texts_and_bound()?;
            Ok(Check::Number(Quantity::PromptfooGleu(texts), bound))
        },
    ),
];

//! The table of all kinds of expectations.

use super::arguments::{Arguments, Build, Built};
use super::{Check, Quantity};
use crate::measure::rouge::Rouge;

/// A row of the table: the name, arguments and meaning of one kind of expectation.
pub struct Kind {
    pub name: &'static str,
    /// A description of the arguments, as shown in the help.
    pub args: &'static str,
    pub help: &'static str,
    /// Whether the expectation is about a text. By default this is the last passage; the word
    /// `story` or `answer` before the name selects another text.
    pub of_text: bool,
    /// Whether the name may begin with `not-`. An expectation that compares a number has no `not-`
    /// form, because the opposite comparison can be written instead.
    pub negatable: bool,
    pub(super) build: Build,
}

const fn text(name: &'static str, args: &'static str, help: &'static str, build: Build) -> Kind {
    Kind {
        name,
        args,
        help,
        of_text: true,
        negatable: true,
        build,
    }
}

const fn number(name: &'static str, args: &'static str, help: &'static str, build: Build) -> Kind {
    Kind {
        negatable: false,
        ..text(name, args, help, build)
    }
}

const fn line(name: &'static str, args: &'static str, help: &'static str, build: Build) -> Kind {
    Kind {
        of_text: false,
        ..number(name, args, help, build)
    }
}

fn contains(it: &mut Arguments, all: bool, ignore_case: bool) -> Built {
    Ok(Check::Contains {
        texts: it.texts()?,
        all,
        ignore_case,
    })
}

/// Every kind of expectation.
pub const KINDS: &[Kind] = &[
    text(
        "equals",
        "TEXT",
        "the whole text, without white space at its start and end",
        |it| Ok(Check::Equals(it.text()?)),
    ),
    text("contains", "TEXT", "the text contains TEXT", |it| {
        let texts = vec![it.text()?];
        Ok(Check::Contains {
            texts,
            all: true,
            ignore_case: false,
        })
    }),
    text(
        "contains-any",
        "TEXT …",
        "the text contains at least one of these",
        |it| contains(it, false, false),
    ),
    text(
        "contains-all",
        "TEXT …",
        "the text contains each of these",
        |it| contains(it, true, false),
    ),
    text("icontains", "TEXT", "like contains, ignoring case", |it| {
        let texts = vec![it.text()?];
        Ok(Check::Contains {
            texts,
            all: true,
            ignore_case: true,
        })
    }),
    text(
        "icontains-any",
        "TEXT …",
        "like contains-any, ignoring case",
        |it| contains(it, false, true),
    ),
    text(
        "icontains-all",
        "TEXT …",
        "like contains-all, ignoring case",
        |it| contains(it, true, true),
    ),
    text(
        "regex",
        "/PATTERN/FLAGS",
        "the pattern matches somewhere; flags: i, m, s, x",
        |it| Ok(Check::Regex(it.regex()?)),
    ),
    text(
        "starts-with",
        "TEXT",
        "the text starts with TEXT, after any white space",
        |it| Ok(Check::StartsWith(it.text()?)),
    ),
    text(
        "ends-with",
        "TEXT",
        "the text ends with TEXT, before any white space",
        |it| Ok(Check::EndsWith(it.text()?)),
    ),
    text(
        "one-of",
        "TEXT …",
        "the whole text is one of these",
        |it| Ok(Check::OneOf(it.texts()?)),
    ),
    text("is-json", "", "the text is valid JSON", |it| {
        it.nothing()?;
        Ok(Check::Json)
    }),
    text(
        "json-schema",
        "FILE | {…}",
        "the text is JSON that fits this JSON Schema",
        |it| Ok(Check::JsonSchema(it.schema()?)),
    ),
    text(
        "language",
        "NAME",
        "the language of the text, given as a code or by its English name",
        |it| Ok(Check::Language(it.language()?)),
    ),
    text(
        "same-as",
        "PLACE",
        "the text equals this passage, named as in /goto",
        |it| Ok(Check::SameAs(it.text()?)),
    ),
    Kind {
        negatable: false,
        ..text(
            "golden",
            "NAME",
            "the text equals the golden file of this name",
            |it| Ok(Check::Golden(it.golden()?)),
        )
    },
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
    line(
        "self-bleu",
        "COMPARISON",
        "the mean BLEU of each version of the passage against the others, 0 to 100",
        |it| it.number(Quantity::SelfBleu),
    ),
    line(
        "tokens",
        "COMPARISON",
        "the number of the passage's tokens",
        |it| it.number(Quantity::Tokens),
    ),
    Kind {
        negatable: true,
        ..line(
            "finish",
            "REASON",
            "why the passage ended: complete, length, stop-string, context-full or stopped",
            |it| Ok(Check::Finish(it.finish()?)),
        )
    },
    line(
        "latency",
        "COMPARISON",
        "milliseconds from the line to the end of its answer",
        |it| it.number(Quantity::Latency),
    ),
    line(
        "tokens-per-second",
        "COMPARISON",
        "how fast the passage was generated",
        |it| it.number(Quantity::TokensPerSecond),
    ),
    Kind {
        negatable: true,
        ..line(
            "refused",
            "TEXT",
            "the last line was refused with a message that contains TEXT",
            |it| Ok(Check::Refused(it.text()?)),
        )
    },
    line(
        "pictures",
        "COMPARISON",
        "how many pictures the last line drew",
        |it| it.number(Quantity::Pictures),
    ),
    Kind {
        negatable: true,
        ..line(
            "picture-size",
            "WIDTHxHEIGHT",
            "the size of the last picture in pixels",
            |it| {
                let (width, height) = it.size()?;
                Ok(Check::PictureSize(width, height))
            },
        )
    },
    line(
        "picture-hash",
        "FILE COMPARISON",
        "in how many of 64 bits the last picture's perceptual hash differs from the file's",
        |it| it.picture_hash(),
    ),
];

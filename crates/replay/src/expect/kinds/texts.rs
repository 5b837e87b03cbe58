//! Expectations that a text either meets or does not meet.

use super::{Kind, text};
use crate::expect::Check;
use crate::expect::arguments::{Arguments, Built};

fn contains(it: &mut Arguments, all: bool, ignore_case: bool) -> Built {
    Ok(Check::Contains {
        texts: it.texts()?,
        all,
        ignore_case,
    })
}

/// The kinds of expectations that a text either meets or does not meet.
pub(super) const KINDS: &[Kind] = &[
    text(
        "equals",
        "TEXT",
        "the text equals TEXT, apart from white space at the start and end",
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
    text(
        "contains-json",
        "[FILE | {…}]",
        "the text contains a JSON object, one that fits this JSON Schema if there is one",
        |it| Ok(Check::ContainsJson(it.optional_schema()?)),
    ),
    text(
        "longer-than",
        "PLACE",
        "the text has more words than this passage",
        |it| Ok(Check::LongerThan(it.text()?)),
    ),
];

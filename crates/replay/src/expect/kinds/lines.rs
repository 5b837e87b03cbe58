//! Expectations about the last line, the last passage as a whole, or a picture.

use super::{Kind, line};
use crate::expect::{Check, Quantity};

/// The kinds of expectations about the last line, the last passage as a whole, or a picture.
pub(super) const KINDS: &[Kind] = &[
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
    Kind {
        negatable: true,
        ..line(
            "picture-style",
            "NAME",
            "the style in which the last picture was drawn",
            |it| Ok(Check::PictureStyle(it.text()?)),
        )
    },
    line(
        "picture-shows",
        "TEXT COMPARISON",
        "the cosine similarity of TEXT to the closest concept of the last picture, -1 to 1",
        |it| {
            let (mut texts, bound) = it.texts_and_bound()?;
            Ok(Check::Number(
                Quantity::PictureShows(texts.swap_remove(0)),
                bound,
            ))
        },
    ),
    line(
        "cost",
        "COMPARISON",
        "what the last line cost; a model on this machine costs 0",
        |it| it.number(Quantity::Cost),
    ),
];

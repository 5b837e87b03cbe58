//! Expectations: what a script requires of a passage, the story, an answer or a picture.
//!
//! [`kinds::KINDS`] is the table of all expectations. The parser, the error messages and
//! docs/replay.md use it.

mod arguments;
mod bound;
mod check;
pub mod kinds;
mod observed;
pub(crate) mod parse;
mod quantity;
mod schema;

pub use bound::Bound;
pub use check::Finding;
pub use observed::Observed;

use crate::measure::language::Language;
use crate::measure::rouge::Rouge;
use crate::position::Position;
use fancy_regex::Regex;
use schema::Schema;
use story::Status;

/// An expectation: one `expect` line of a script.
#[derive(Debug)]
pub struct Expectation {
    pub at: Position,
    /// The text of the line as written, without the word `expect`.
    pub source: String,
    pub target: Target,
    /// Whether the name begins with `not-`, so that the opposite is expected.
    pub negated: bool,
    pub check: Check,
}

/// Which text an expectation is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// The last passage of the current story.
    #[default]
    Text,
    /// The current story from its beginning.
    Story,
    /// The answer to the last command, together with any notices.
    Answer,
}

impl Target {
    /// Every target, with its name in scripts.
    pub const ALL: &[(&str, Target)] = &[
        ("text", Target::Text),
        ("story", Target::Story),
        ("answer", Target::Answer),
    ];
}

/// What an expectation checks.
#[derive(Debug)]
pub enum Check {
    Equals(String),
    /// If `all` is set, the text must contain every one of `texts`; otherwise, at least one of
    /// them.
    Contains {
        texts: Vec<String>,
        all: bool,
        ignore_case: bool,
    },
    Regex(Box<Regex>),
    StartsWith(String),
    EndsWith(String),
    OneOf(Vec<String>),
    Json,
    JsonSchema(Schema),
    Language(Language),
    Finish(Status),
    /// The last line was refused with a message that contains this text.
    Refused(String),
    /// The text equals that of another passage, which is named by its place as in `/goto`.
    SameAs(String),
    Golden(String),
    PictureSize(u32, u32),
    Number(Quantity, Bound),
}

/// A quantity that an expectation can measure and compare with a number.
#[derive(Debug)]
pub enum Quantity {
    Words,
    Sentences,
    Characters,
    Tokens,
    Levenshtein(String),
    Bleu(Vec<String>),
    Rouge(Rouge, Vec<String>),
    /// The share of a text's n-grams that repeat an earlier n-gram; the value is n.
    Repetition(usize),
    /// The share of a text's n-grams that are distinct; the value is n.
    Distinct(usize),
    SelfBleu,
    /// The time in milliseconds from when the line is typed to the end of its answer.
    Latency,
    TokensPerSecond,
    /// The number of pictures that the last line drew.
    Pictures,
    /// The distance between the perceptual hash of the last picture and this hash.
    PictureHash(u64),
}

#[cfg(test)]
mod tests;

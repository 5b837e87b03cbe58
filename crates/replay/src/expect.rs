//! Expectations: what a script says about a passage, the story, an answer or a picture.
//!
//! [`kinds::all`] lists all expectations, for parsing, errors and docs/replay.md.

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

/// One `expect` line.
#[derive(Debug)]
pub struct Expectation {
    pub at: Position,
    /// The line as written, without `expect`.
    pub source: String,
    /// How much it counts in the score of its case; with 0 it cannot fail.
    pub weight: f64,
    pub target: Target,
    /// Whether the opposite is expected (`not-`).
    pub negated: bool,
    pub check: Check,
}

/// The text that an expectation is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// The last passage of the current story.
    #[default]
    Text,
    /// The current story from its beginning.
    Story,
    /// The answer to the last command, with any notices.
    Answer,
}

impl Target {
    /// Every target with its name in a script.
    pub const ALL: &[(&str, Target)] = &[
        ("text", Target::Text),
        ("story", Target::Story),
        ("answer", Target::Answer),
    ];
}

/// What is checked.
#[derive(Debug)]
pub enum Check {
    Equals(String),
    /// The text contains all of `texts`, or, unless `all` is set, at least one of them.
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
    /// The text contains a JSON object, which may have to fit a schema.
    ContainsJson(Option<Schema>),
    Language(Language),
    Finish(Status),
    /// The last line was refused with a message that contains this text.
    Refused(String),
    /// The text equals another passage, named as in `/goto`.
    SameAs(String),
    /// The text has more words than another passage.
    LongerThan(String),
    Golden(String),
    PictureSize(u32, u32),
    PictureStyle(String),
    /// The whole text, including white space at its start and end.
    Exactly(String),
    /// The start of the text, including white space.
    ExactStart(String),
    Number(Quantity, Bound),
}

impl Check {
    /// Whether the check measures time, which differs from run to run.
    pub fn is_timed(&self) -> bool {
        matches!(
            self,
            Check::Number(Quantity::Latency | Quantity::TokensPerSecond, _)
        )
    }
}

/// A number that can be compared.
#[derive(Debug)]
pub enum Quantity {
    Words,
    Sentences,
    Characters,
    Tokens,
    Levenshtein(String),
    Bleu(Vec<String>),
    Rouge(Rouge, Vec<String>),
    /// The share of repeated n-grams.
    Repetition(usize),
    /// The share of distinct n-grams.
    Distinct(usize),
    SelfBleu,
    /// Milliseconds from the line to the end of its answer.
    Latency,
    TokensPerSecond,
    /// How many pictures the last line drew.
    Pictures,
    /// The distance to a picture with this perceptual hash.
    PictureHash(u64),
    /// The similarity of the last picture's concepts to this text.
    PictureShows(String),
    /// The similarity to the closest of these texts.
    Similar(Vec<String>),
    /// The similarity to another passage, named as in `/goto`.
    SimilarTo(String),
    /// The share of n-grams that another passage also has.
    OverlapWith(String),
    Perplexity,
    Cost,
    PromptfooWords,
    PromptfooLevenshtein(String),
    PromptfooRouge(String),
    PromptfooBleu(Vec<String>),
    PromptfooGleu(Vec<String>),
}

#[cfg(test)]
mod tests;

//! Expectations: what a script requires of a passage, the story, an answer or a picture.
//!
//! [`kinds::all`] is the table of all expectations. The parser, the error messages and
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
    /// How much it counts in the score of its case; with 0 it cannot fail.
    pub weight: f64,
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
    /// The text contains a JSON object, which may have to fit a schema.
    ContainsJson(Option<Schema>),
    Language(Language),
    Finish(Status),
    /// The last line was refused with a message that contains this text.
    Refused(String),
    /// The text equals that of another passage, which is named by its place as in `/goto`.
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
    ContainsHtml,
    Refusal,
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

    /// Whether the check needs the text encoder.
    pub fn uses_encoder(&self) -> bool {
        matches!(
            self,
            Check::Number(
                Quantity::Similar(_) | Quantity::SimilarTo(_) | Quantity::PictureShows(_),
                _
            )
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

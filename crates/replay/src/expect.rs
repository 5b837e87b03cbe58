//! Expectations: what a script requires of a passage, the story, an answer or a picture.
//!
//! [`kinds::all`] is the table of all expectations. The parser, the error messages and
//! docs/replay.md use it.

mod arguments;
mod bound;
mod check;
mod finding;
pub mod kinds;
mod new_picture;
mod observed;
pub(crate) mod parse;
mod picture_file;
mod quantity;
mod schema;

pub use bound::Bound;
pub use finding::Finding;
pub use new_picture::NewPicture;
pub use observed::Observed;
pub use picture_file::PictureFile;

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
    /// The weight of this expectation in the score of its case. An expectation with the weight 0
    /// cannot fail.
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
    /// The text contains a JSON object. If there is a schema, the object must match it.
    ContainsJson(Option<Schema>),
    Language(Language),
    Finish(Status),
    /// The last line was refused with a message that contains this text.
    Refused(String),
    /// The text equals that of another passage, which is named by its place as in `/goto`.
    SameAs(String),
    /// The text has more words than another passage, which is named as in `/goto`.
    LongerThan(String),
    Golden(String),
    PictureSize(u32, u32),
    PictureStyle(String),
    /// The text equals this string exactly, including white space at the start and the end.
    Exactly(String),
    /// The text starts with exactly this string, including white space.
    ExactStart(String),
    ContainsHtml,
    Refusal,
    Number(Quantity, Bound),
}

impl Check {
    /// Whether the check measures a time or a speed, which differs from run to run.
    pub fn is_timed(&self) -> bool {
        matches!(
            self,
            Check::Number(Quantity::Latency | Quantity::TokensPerSecond, _)
        )
    }

    /// Returns the name of the picture file that the check needs, if that file is missing.
    pub(crate) fn missing_picture(&self) -> Option<&str> {
        match self {
            Check::Number(Quantity::PictureHash(file), _) if file.is_missing() => Some(file.name()),
            _ => None,
        }
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
    /// The distance between the perceptual hash of the last picture and that of the picture in this
    /// file.
    PictureHash(PictureFile),
    /// The similarity between the last picture's concepts and this text.
    PictureShows(String),
    /// The highest similarity between the checked text and any of these texts.
    Similar(Vec<String>),
    /// The similarity between the checked text and another passage, which is named as in `/goto`.
    SimilarTo(String),
    /// The share of the checked text's n-grams that also occur in another passage, which is named
    /// as in `/goto`.
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

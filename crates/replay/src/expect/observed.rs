//! The results of a typed line, against which expectations are checked.

use std::sync::Arc;
use story::Status;

/// The results of a typed line, against which expectations are checked.
pub struct Observed<'a> {
    /// The last passage of the current story.
    pub text: &'a str,
    pub story: &'a str,
    /// The answer to the last command, together with any notices.
    pub answer: &'a str,
    /// The error message, if the last line was refused.
    pub refused: Option<&'a str>,
    /// The status with which the last passage ended.
    pub status: Option<Status>,
    /// The number of tokens in the last passage.
    pub tokens: Option<usize>,
    pub milliseconds: f64,
    pub tokens_per_second: Option<f64>,
    /// The text of each version of the last passage.
    pub versions: Vec<&'a str>,
    /// The bytes of each picture that the last line drew. Expectations about a picture check the
    /// last one.
    pub pictures: Vec<Arc<[u8]>>,
    /// The style of the last picture; None if the picture has no style.
    pub picture_style: Option<&'a str>,
    /// The concepts that the last picture shows, according to its prompt.
    pub picture_concepts: Vec<&'a str>,
    /// The cost of the requests for the last line, if it is known.
    pub cost: Option<f64>,
    /// The number that a model measured for the expectation ([`super::Expectation::question`]);
    /// None if nothing had to be measured.
    pub measured: Option<f64>,
    /// Returns the text of a passage. The passage is named as in `/goto`.
    pub passage: &'a dyn Fn(&str) -> Result<String, String>,
}

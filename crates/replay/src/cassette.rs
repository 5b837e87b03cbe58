//! Cassettes: what a text engine answered to each request, with the time of each event.
//!
//! A cassette is JSON Lines. The first line is the header; then comes a line for each model that
//! was loaded, and for each request with its answer. docs/replay.md describes the format.
//!
//! A request is found again by its key, a digest of everything that its answer depends on
//! ([`question`]). A cassette may come from anywhere: sizes are bounded, and all texts are cleaned
//! before they are shown.

pub mod compare;
pub mod event;
mod nearest;
pub mod question;
mod read;
mod write;

pub use read::{Cassette, Matching};
pub use write::Tape;

use event::RecordedEvent;
use question::{Kind, Question};
use serde::{Deserialize, Serialize};
use story::ModelInfo;
use story::message::{Capabilities, PassageScore, TokenScore, WrittenPassage};

/// The version of the format.
const VERSION: u32 = 1;

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    #[serde(rename = "illumine-cassette")]
    version: u32,
    /// The program that recorded it, with its version.
    #[serde(default)]
    build: String,
}

/// Any other line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Model(RecordedModel),
    Answer(Take),
}

/// A model that wrote answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordedModel {
    /// The name under which it was loaded; empty for the default model.
    pub requested: String,
    pub about: ModelInfo,
    #[serde(default)]
    pub capabilities: Capabilities,
}

/// A request and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Take {
    /// The key of `question`.
    pub key: String,
    /// The script and the case that made the request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub case: String,
    pub question: Question,
    /// Each event with its time in milliseconds after the request; the last one ends the answer.
    pub events: Vec<(f64, RecordedEvent)>,
    /// The log-probabilities of each passage's tokens, if the engine could compute them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<Option<RecordedScore>>,
}

/// The log-probabilities of a passage's tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedScore {
    /// The number of tokens before the passage; 0 if unknown.
    pub prompt_tokens: usize,
    /// The number of bytes before the passage that the first token also spells.
    #[serde(skip_serializing_if = "event::is_zero")]
    pub lead: usize,
    /// For each token, the length of its text in bytes and its log-probability.
    pub tokens: Vec<(usize, f64)>,
    /// The log-probability of the end of the model's turn, if it ended the passage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<f64>,
}

impl Take {
    pub fn new(question: Question, events: Vec<(f64, RecordedEvent)>) -> Take {
        Take {
            key: question.key(),
            case: String::new(),
            question,
            events,
            scores: Vec::new(),
        }
    }

    /// The passages of the answer.
    pub fn passages(&self) -> Vec<WrittenPassage> {
        let count = match self.question.kind {
            Kind::Passage | Kind::Candidates => self.question.requests.len(),
            Kind::Alternatives | Kind::Explain | Kind::Count | Kind::Start | Kind::Perplexity => 0,
        };
        let mut passages = vec![WrittenPassage::default(); count];
        for (_, event) in &self.events {
            match event {
                RecordedEvent::Piece {
                    of,
                    text,
                    ids,
                    healed,
                } => {
                    if let Some(passage) = passages.get_mut(*of) {
                        passage.text += text;
                        passage.ids.extend(ids);
                        passage.healed = passage.healed.saturating_add(*healed);
                    }
                }
                RecordedEvent::Rewound { of, .. } => {
                    if let Some(passage) = passages.get_mut(*of) {
                        passage.rewound = true;
                    }
                }
                RecordedEvent::Ended { of, status, .. } => {
                    if let Some(passage) = passages.get_mut(*of) {
                        passage.status = *status;
                    }
                }
                RecordedEvent::Done { status, .. } => {
                    if let Some(passage) = passages.last_mut() {
                        passage.status = *status;
                    }
                }
                RecordedEvent::Prefill { .. }
                | RecordedEvent::Thought { .. }
                | RecordedEvent::Warned(_)
                | RecordedEvent::Failed { .. }
                | RecordedEvent::Alternatives(_)
                | RecordedEvent::Explained(_)
                | RecordedEvent::Count(_)
                | RecordedEvent::Start(_)
                | RecordedEvent::Perplexity(_) => {}
            }
        }
        passages
    }
}

impl RecordedScore {
    pub fn new(score: &PassageScore) -> RecordedScore {
        // Five digits are far finer than any tolerance.
        let rounded = |token: &TokenScore| (token.log_probability * 1e5).round() / 1e5;
        let tokens = score.tokens.iter();
        RecordedScore {
            prompt_tokens: score.prompt_tokens,
            lead: score.lead,
            tokens: tokens.map(|token| (token.bytes, rounded(token))).collect(),
            end: score.end.as_ref().map(rounded),
        }
    }
}

#[cfg(test)]
mod tests;

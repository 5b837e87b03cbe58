//! Cassettes: files that record a text engine's answer to each request, with the time of each
//! event.
//!
//! A cassette is a JSON Lines file. The first line is the header. Every other line describes a
//! model that was loaded, or contains a request and its answer. docs/replay.md describes the
//! format.
//!
//! A request is looked up by its key, a digest of everything that the answer depends on
//! ([`question`]). Since a cassette may come from an untrusted source, sizes are limited, and all
//! texts are cleaned before they are shown.

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

/// The version of the cassette format.
const VERSION: u32 = 1;

/// The first line of a cassette.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    #[serde(rename = "illumine-cassette")]
    version: u32,
    /// The name and version of the program that recorded the cassette.
    #[serde(default)]
    build: String,
}

/// Any line of a cassette after the first.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Model(RecordedModel),
    Answer(Take),
}

/// A model that was loaded while the cassette was recorded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordedModel {
    /// The name under which the model was loaded; empty for the default model.
    pub requested: String,
    pub about: ModelInfo,
    #[serde(default)]
    pub capabilities: Capabilities,
}

/// A recorded request and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Take {
    /// The key of `question`, by which the answer is looked up.
    pub key: String,
    /// The name of the script, followed by the name of the case that made the request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub case: String,
    pub question: Question,
    /// Each event of the answer with its time, in milliseconds after the request. The last event
    /// ends the answer.
    pub events: Vec<(f64, RecordedEvent)>,
    /// For each passage, the log-probabilities of its tokens, if the engine could compute them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<Option<RecordedScore>>,
}

/// The log-probabilities of a passage's tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedScore {
    /// The number of tokens in the prompt before the passage; 0 if unknown.
    pub prompt_tokens: usize,
    /// The number of bytes at the start of the first token that belong to the text before the
    /// passage.
    #[serde(skip_serializing_if = "event::is_zero")]
    pub lead: usize,
    /// For each token, the length of its text in bytes and its log-probability.
    pub tokens: Vec<(usize, f64)>,
    /// The log-probability of the token that ends the model's turn; None if the passage ended in
    /// another way.
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

    /// The passages of the answer, assembled from its events.
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

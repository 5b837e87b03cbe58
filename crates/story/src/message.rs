//! Messages between the studio's thread and the engine's thread. The studio sends requests, and the
//! engine sends events.
//!
//! The messages are enums of plain data that both sides import, so that neither side imports the
//! other.

mod answer;
mod engine;
mod score;

use super::picture::{DrawnPicture, PictureRequest};
pub use super::text_request::{LengthGoal, Overflow, Retrieval, TextRequest, UnmatchedLore};
use super::{NodeId, Status};
pub use answer::{Alternative, ContextReport, PassageStats, Segment};
pub use engine::{Capabilities, ModelInfo};
pub use score::{PassageScore, TokenScore, WrittenPassage};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The id of a request, which is repeated in each reply. Each request to an engine gets the next
/// number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// An event from the engine about one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The request to which the event belongs.
    pub request: RequestId,
    pub event: Event,
}

/// A request to the engine, with everything that the answer depends on.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Load a model. `model` is a catalogue name, a path or a server's address; if it is empty, the
    /// default model is loaded.
    Load { model: String },
    /// Generate a passage from `context`.
    Text(TextRequest),
    /// Generate several passages from one context, each with its own seed. [`Event::Ended`] reports
    /// the end of every passage except the last.
    Candidates(Vec<TextRequest>),
    /// List the tokens that could come next, with their probabilities.
    Alternatives(TextRequest),
    /// Draft the writer's next line, starting with the words `begun`. The draft does not become a
    /// passage.
    Suggest { ask: TextRequest, begun: String },
    /// Prefill the prompt of a text request that may follow. The next request may interrupt the
    /// prefill; the tokens evaluated so far stay in the KV cache.
    Prefetch(TextRequest),
    /// Report the parts of the prompt, each with its number of tokens.
    Explain(TextRequest),
    /// Return the KV cache, so that it can be saved with the session.
    SaveCache,
    /// Restore a saved KV cache.
    RestoreCache(WarmCache),
    /// Draw pictures.
    Picture(Box<PictureRequest>),
    /// Measure the perplexity of a text, or its similarity to other texts.
    Measure(Measurement),
}

/// A number about a text that only a model can compute.
#[derive(Clone, Debug, PartialEq)]
pub enum Measurement {
    /// The perplexity of `text` under the text model, which reads `before` first.
    Perplexity { before: String, text: String },
    /// The highest cosine similarity between the embedding of `text` and the embedding of any text
    /// in `others`.
    Similarity { text: String, others: Vec<String> },
}

impl Request {
    /// The name of the request's kind, for the log.
    pub fn kind(&self) -> &'static str {
        match self {
            Request::Load { .. } => "load",
            Request::Text(_) => "text",
            Request::Candidates(_) => "candidates",
            Request::Alternatives(_) => "alternatives",
            Request::Suggest { .. } => "suggest",
            Request::Prefetch(_) => "prefetch",
            Request::Explain(_) => "explain",
            Request::SaveCache => "save cache",
            Request::RestoreCache(_) => "restore cache",
            Request::Picture(_) => "picture",
            Request::Measure(_) => "measure",
        }
    }

    /// The last passage or picture that the request generates; None if it generates none.
    pub fn node(&self) -> Option<NodeId> {
        match self {
            Request::Text(text) => Some(text.node),
            Request::Candidates(several) => several.last().map(|text| text.node),
            Request::Picture(picture) => Some(picture.node),
            Request::Load { .. }
            | Request::Alternatives(_)
            | Request::Suggest { .. }
            | Request::Prefetch(_)
            | Request::Explain(_)
            | Request::SaveCache
            | Request::RestoreCache(_)
            | Request::Measure(_) => None,
        }
    }
}

/// A saved KV cache: its tokens, and its bytes in the snapshot format of `llm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmCache {
    pub model_sha256: String,
    pub ids: Vec<u32>,
    pub bytes: Vec<u8>,
}

/// A passage or lore entry that semantic retrieval put back into the context.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RetrievedPassage {
    /// The number of the passage, or the title of the lore entry.
    pub what: String,
    /// The cosine similarity between the embeddings of this text and of the end of the story.
    pub near: f32,
    /// The first words of the passage or lore entry.
    pub begins: String,
}

/// An event that the engine reports. Each request ends with exactly one `Done` or `Failed`.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A model is being downloaded or loaded; progress is in bytes.
    Loading {
        what: String,
        done: u64,
        total: Option<u64>,
    },
    /// A model has been loaded. The values are a description of the model, and its capabilities.
    Ready(ModelInfo, Capabilities),
    /// The prompt is being evaluated; progress is in tokens.
    Prefill {
        node: NodeId,
        done: usize,
        total: usize,
        /// The number of the prompt's tokens that were already in the KV cache.
        reused: usize,
        /// The parts of the context that did not fit.
        cut: Truncation,
    },
    /// A piece of generated text, with its tokens. The text consists of whole UTF-8 characters and
    /// contains no control characters.
    Piece {
        node: NodeId,
        text: String,
        ids: Vec<u32>,
        /// Because of token healing, `ids` spell this many bytes of the preceding text again.
        healed: usize,
    },
    /// A piece of the model's thoughts before the passage. It is not part of the story.
    Thought { node: NodeId, text: String },
    /// The passages and lore entries that semantic retrieval found.
    Retrieved(Vec<RetrievedPassage>),
    /// A warning for the writer.
    Warned(String),
    /// A banned phrase appeared, and generation was rewound to the first token of the phrase.
    Rewound { node: NodeId, phrase: String },
    /// The answer to [`Request::Alternatives`], most likely first.
    Alternatives(Vec<Alternative>),
    /// The answer to [`Request::Suggest`]: the whole drafted line.
    Suggested(String),
    /// The answer to [`Request::Explain`].
    Explained(ContextReport),
    /// The answer to [`Request::SaveCache`]; None if there is no cache to save.
    CacheSaved(Option<WarmCache>),
    /// The answer to [`Request::Measure`].
    Measured(f64),
    /// Pictures are being drawn: the number finished, and the total.
    Drawing {
        node: NodeId,
        done: usize,
        total: usize,
    },
    /// The answer to [`Request::Picture`]: one or several pictures that belong together.
    Drawn {
        node: NodeId,
        drawings: Vec<DrawnPicture>,
    },
    /// A passage of a request for several passages has ended, and another passage of the request is
    /// still to come.
    Ended {
        node: NodeId,
        status: Status,
        stats: PassageStats,
    },
    Done {
        /// The passage; None if the request generates no passage.
        node: Option<NodeId>,
        status: Status,
        stats: PassageStats,
    },
    Failed {
        node: Option<NodeId>,
        /// The reason for the failure, in one plain sentence.
        why: String,
        fault: FailureKind,
    },
}

impl Event {
    /// Returns the event with `to` as its passage.
    pub fn with_node(mut self, to: NodeId) -> Event {
        match &mut self {
            Event::Prefill { node, .. }
            | Event::Piece { node, .. }
            | Event::Thought { node, .. }
            | Event::Rewound { node, .. }
            | Event::Drawing { node, .. }
            | Event::Drawn { node, .. }
            | Event::Ended { node, .. } => *node = to,
            Event::Done { node, .. } | Event::Failed { node, .. } => {
                if let Some(node) = node {
                    *node = to;
                }
            }
            Event::Loading { .. }
            | Event::Ready(..)
            | Event::Retrieved(_)
            | Event::Warned(_)
            | Event::Alternatives(_)
            | Event::Suggested(_)
            | Event::Explained(_)
            | Event::CacheSaved(_)
            | Event::Measured(_) => {}
        }
        self
    }

    /// Removes the token ids from the event, since they are meaningless to a model with another
    /// vocabulary.
    pub fn without_ids(mut self) -> Event {
        if let Event::Piece { ids, healed, .. } = &mut self {
            ids.clear();
            *healed = 0;
        }
        self
    }

    /// Returns the event with control characters removed from all text that came from models, files
    /// or servers.
    pub fn cleaned(mut self) -> Event {
        let clean = |text: &mut String| {
            if let Cow::Owned(clean) = base::untrusted::clean(text) {
                *text = clean;
            }
        };
        match &mut self {
            Event::Piece { text, .. } | Event::Thought { text, .. } => clean(text),
            Event::Rewound { phrase, .. } => clean(phrase),
            Event::Warned(text) | Event::Suggested(text) => clean(text),
            Event::Failed { why, .. } => clean(why),
            Event::Alternatives(found) => found.iter_mut().for_each(|one| clean(&mut one.text)),
            Event::Explained(report) => {
                report
                    .segments
                    .iter_mut()
                    .for_each(|part| clean(&mut part.text));
            }
            Event::Loading { .. }
            | Event::Ready(..)
            | Event::Prefill { .. }
            | Event::Retrieved(_)
            | Event::CacheSaved(_)
            | Event::Measured(_)
            | Event::Drawing { .. }
            | Event::Drawn { .. }
            | Event::Ended { .. }
            | Event::Done { .. } => {}
        }
        self
    }
}

/// The parts of a context that were left out because they did not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truncation {
    /// The number of tokens that were dropped from the beginning of the story.
    pub dropped: usize,
    /// The place at which the story in the prompt starts, if the story's beginning was cut off. The
    /// number is a byte offset in the passage.
    pub begins: Option<(NodeId, usize)>,
    /// The titles of active lore entries that were left out because they exceed the lore budget.
    pub lore: Vec<String>,
}

/// The kind of a failure, which decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The model could not be downloaded or loaded.
    Model,
    /// The request cannot be fulfilled, for example because the style is unknown.
    Request,
    /// The prompt does not fit the model's context.
    Overflow,
    /// The text could not be saved to disk.
    Store,
    /// Any other failure during generation.
    Engine,
}

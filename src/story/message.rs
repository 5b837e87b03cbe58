//! What crosses between the writer's thread and the worker's: requests down, events up.
//!
//! Closed enums of plain data, below both sides, so that neither imports the other.

use super::{Context, NodeId, Sampling, Status};
use serde::Serialize;

/// Work for the engine. Holds everything that its answer depends on.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Put another model in place; a catalogue name, a path, or empty for the default.
    Load { model: String },
    /// Write on from `context`.
    Text(TextRequest),
}

#[derive(Clone, Debug, PartialEq)]
pub struct TextRequest {
    pub node: NodeId,
    pub context: Context,
    pub sampling: Sampling,
    /// The seed of this passage alone, already derived.
    pub seed: u64,
    pub overflow: Overflow,
}

/// What to do with a context that the model cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Leave the oldest tokens out and say how many.
    Crop,
    /// Fail with a sentence.
    Refuse,
}

/// News from the engine. Every request is answered by exactly one `Done` or `Failed`.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A model is being fetched or read: bytes.
    Loading {
        what: String,
        done: u64,
        total: Option<u64>,
    },
    /// A model is in place.
    Ready(About),
    /// The prompt is being read: tokens.
    Prefill {
        node: NodeId,
        done: usize,
        total: usize,
        /// Of `total`, how many the KV cache still held.
        reused: usize,
        /// Oldest tokens of the story that did not fit and were left out.
        dropped: usize,
    },
    /// Whole UTF-8, cleaned of control characters, with the tokens it came from.
    Piece {
        node: NodeId,
        text: String,
        ids: Vec<u32>,
    },
    Done {
        /// None after `Request::Load`.
        node: Option<NodeId>,
        status: Status,
        stats: Stats,
    },
    Failed {
        node: Option<NodeId>,
        /// One plain sentence.
        why: String,
        fault: Fault,
    },
}

/// Whose fault a failure is, which decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The model could not be fetched, read or understood.
    Model,
    /// The prompt does not fit the model's context.
    Overflow,
    /// What was written could not be kept on disk.
    Store,
    /// Anything else that went wrong while computing.
    Engine,
}

/// The model in place, for the status line and for provenance.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct About {
    pub name: String,
    pub sha256: String,
    pub architecture: String,
    /// `cpu`, `cuda:0`, `metal`, and which kernels: what the numbers depend on.
    pub backend: String,
    /// Tokens the model can hold.
    pub context: usize,
    pub vocabulary: usize,
    /// Whether the file brings a chat template.
    pub chat: bool,
    pub load_ms: f64,
    /// Something a user should know about how the file is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What one passage took.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    pub prompt_tokens: usize,
    pub reused: usize,
    pub dropped: usize,
    pub prefill_ms: f64,
    pub new_tokens: usize,
    pub decode_ms: f64,
    #[serde(skip)]
    pub prompt_ids: Vec<u32>,
}

impl Stats {
    /// Tokens a second while reading, not counting those the cache still held.
    pub fn prefill_tps(&self) -> f64 {
        per_second(
            self.prompt_tokens.saturating_sub(self.reused),
            self.prefill_ms,
        )
    }

    pub fn decode_tps(&self) -> f64 {
        per_second(self.new_tokens, self.decode_ms)
    }
}

fn per_second(count: usize, ms: f64) -> f64 {
    if ms > 0.0 {
        count as f64 * 1000.0 / ms
    } else {
        0.0
    }
}

//! One passage of a story, with its provenance.

pub mod picture;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::ops::Deref;

/// A passage's place in the order of writing, from 0.
pub type NodeId = u64;

/// One passage: what somebody wrote in one go, after its parent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    /// None for a passage that begins a story.
    pub parent: Option<NodeId>,
    /// How many bytes of the parent's text stand before this one; none for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<usize>,
    pub author: Author,
    /// A person's words inside a passage of `author`'s.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edited: bool,
    /// Continues the passage before it: readers see both as one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub joins: bool,
    /// Not part of the story's text: a summary of the story up to its parent, or a picture.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub aside: bool,
    pub text: String,
    /// A turn of a chat, separated from its neighbours; prose is joined.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub turn: bool,
    pub status: Status,
    /// The passage that the text was copied from; the text itself is then not stored again.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "of")]
    pub copied_from: Option<CopiedRange>,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "how")]
    pub provenance: Option<Provenance>,
    /// The tokens of `text` as the model wrote them; empty for people's text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<u32>,
    /// How many bytes before `text` the first of `ids` spell too: where a broken word was healed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub healed: usize,
    /// Banned phrases that appeared while it was written, and were rewritten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewound: Vec<String>,
    /// It is a picture: it has no words and stands aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<Box<picture::Picture>>,
    /// Other fields of the imported file, written back on export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Box<Map<String, Value>>>,
}

impl Node {
    /// Whether it belongs to the passage before it: it continues it, or forks off inside it.
    pub fn continues_previous(&self) -> bool {
        self.joins || self.cut.is_some()
    }
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// A stretch of another passage, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedRange {
    pub node: NodeId,
    pub from: usize,
    pub to: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// Given from outside: a file, a pipe, the command line.
    Prompt,
    #[default]
    User,
    Model,
}

/// How far a passage has come, and why it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Written by a person: there from the start.
    #[default]
    Whole,
    /// Still being written.
    Running,
    /// The model ended it.
    Complete,
    /// It reached the length asked for.
    Length,
    /// It met one of the stop strings.
    StopString,
    /// The model's context was full.
    ContextFull,
    /// The writer stopped it; what came before is kept.
    Stopped,
    /// Something went wrong; what came before is kept.
    Failed,
    /// The program ended while it was being written.
    Interrupted,
}

/// Enough to make a passage again.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "FlatProvenance", into = "FlatProvenance")]
pub struct Provenance {
    pub maker: ModelIdentity,
    pub build: String,
    pub seed: u64,
    pub mode: super::Mode,
    pub sampling: super::Sampling,
    /// FNV-1a 64 of the context's text, in hexadecimal.
    pub context_digest: String,
    /// The one-off instruction for this passage.
    pub instruct: Option<String>,
    /// How far it was to be written.
    pub goal: super::goal::LengthGoal,
    /// Lore that the story named.
    pub lore: Vec<super::lore::EntryId>,
    /// The token that the writer chose to begin with, in place of the one that was drawn.
    pub begin: Vec<u32>,
}

/// Provenance as it is written: one flat row. (serde's own flattening takes ten times as long to
/// read, and there is a row for every passage.)
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct FlatProvenance {
    model: String,
    model_sha256: String,
    backend: String,
    build: String,
    seed: u64,
    mode: super::Mode,
    sampling: super::Sampling,
    context_digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instruct: Option<String>,
    #[serde(skip_serializing_if = "super::goal::LengthGoal::is_exact")]
    goal: super::goal::LengthGoal,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lore: Vec<super::lore::EntryId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    begin: Vec<u32>,
}

impl From<FlatProvenance> for Provenance {
    fn from(row: FlatProvenance) -> Provenance {
        Provenance {
            maker: ModelIdentity {
                model: row.model,
                model_sha256: row.model_sha256,
                backend: row.backend,
            },
            build: row.build,
            seed: row.seed,
            mode: row.mode,
            sampling: row.sampling,
            context_digest: row.context_digest,
            instruct: row.instruct,
            goal: row.goal,
            lore: row.lore,
            begin: row.begin,
        }
    }
}

impl From<Provenance> for FlatProvenance {
    fn from(how: Provenance) -> FlatProvenance {
        FlatProvenance {
            model: how.maker.model,
            model_sha256: how.maker.model_sha256,
            backend: how.maker.backend,
            build: how.build,
            seed: how.seed,
            mode: how.mode,
            sampling: how.sampling,
            context_digest: how.context_digest,
            instruct: how.instruct,
            goal: how.goal,
            lore: how.lore,
            begin: how.begin,
        }
    }
}

/// What wrote a passage: unknown until a model is in place.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModelIdentity {
    pub model: String,
    pub model_sha256: String,
    pub backend: String,
}

impl ModelIdentity {
    pub fn is_known(&self) -> bool {
        !self.model_sha256.is_empty()
    }
}

impl Node {
    pub fn place(&self) -> Place {
        Place {
            node: self.parent,
            cut: self.cut,
        }
    }
}

/// A position in the story: after a passage, or inside it after a number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// None for a story's beginning.
    pub node: Option<NodeId>,
    pub cut: Option<usize>,
}

impl Place {
    pub fn after(node: Option<NodeId>) -> Place {
        Place { node, cut: None }
    }
}

/// A passage as far as it stands on a path: whole, or cut where the next one forks off.
#[derive(Clone, Copy, Debug)]
pub struct Passage<'a> {
    pub node: &'a Node,
    pub text: &'a str,
}

impl<'a> Passage<'a> {
    pub fn whole(node: &'a Node) -> Passage<'a> {
        let text = node.text.as_str();
        Passage { node, text }
    }
}

impl Deref for Passage<'_> {
    type Target = Node;

    fn deref(&self) -> &Node {
        self.node
    }
}

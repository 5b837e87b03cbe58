//! A passage of a story, with its provenance.

pub mod picture;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::ops::Deref;

/// The id of a passage, which is its index in the order of creation.
pub type NodeId = u64;

/// A passage: a text by one author that follows the text of its parent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    /// The preceding passage; None for the first passage of a story.
    pub parent: Option<NodeId>,
    /// The number of bytes of the parent's text that come before this passage; None for the whole
    /// text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<usize>,
    pub author: Author,
    /// Whether a person wrote `text` by editing a passage by `author`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edited: bool,
    /// Whether this passage continues the preceding passage, so that both are shown as one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub joins: bool,
    /// Whether this passage is outside the story's text: a summary of the story up to its parent,
    /// or a picture.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub aside: bool,
    pub text: String,
    /// Whether this passage is a turn of a chat. Turns are separated from each other; passages of
    /// prose are joined.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub turn: bool,
    /// Whether this passage is a separate message even if the preceding passage is by the same
    /// author. Otherwise, a passage that the model writes after its own passage continues the same
    /// message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub apart: bool,
    pub status: Status,
    /// The passage from which the text was copied. If it is set, the text itself is not stored
    /// again.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "of")]
    pub copied_from: Option<CopiedRange>,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "how")]
    pub provenance: Option<Provenance>,
    /// The tokens of `text` as the model generated them; empty if a person wrote the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<u32>,
    /// Because of token healing, `ids` spell this many bytes of the preceding text again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub healed: usize,
    /// Banned phrases that appeared while the passage was being generated, and were replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewound: Vec<String>,
    /// The model's thoughts before it wrote the text. They are never part of a prompt or an export.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub thought: String,
    /// The picture, if this passage is a picture. Such a passage has no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<Box<picture::Picture>>,
    /// The fields of the imported message that illumine does not use. They are written back on
    /// export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Box<Map<String, Value>>>,
}

/// The key of the speaker's name among the fields of an imported message.
pub const SPEAKER: &str = "name";

impl Node {
    /// The name of the speaker, if this passage is a turn of an imported chat.
    pub fn speaker(&self) -> Option<&str> {
        let name = self.extra.as_ref()?.get(SPEAKER)?.as_str()?;
        Some(name).filter(|name| self.turn && !name.trim().is_empty())
    }

    /// A remark that says how long the model's thoughts are; None if there are none.
    pub fn thought_remark(&self) -> Option<String> {
        let words = self.thought.split_whitespace().count();
        let counted = super::sentence::count_noun(words, "word");
        (words > 0).then(|| format!("thought for {counted} · /why shows it"))
    }

    /// Whether this passage begins a new message of a chat even if the preceding passage is by the
    /// same author.
    pub fn begins_message(&self) -> bool {
        let own = self.apart || self.author != Author::Model || self.speaker().is_some();
        self.turn && own && !self.continues_previous()
    }

    /// Whether this passage belongs to the preceding passage, because it either continues that
    /// passage or branches off inside it.
    pub fn continues_previous(&self) -> bool {
        self.joins || self.cut.is_some()
    }
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// A byte range of another passage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedRange {
    pub node: NodeId,
    pub from: usize,
    pub to: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// Text from outside the session, for example from a file, a pipe or the command line.
    Prompt,
    #[default]
    User,
    Model,
}

/// The state of a passage: whether it is still being generated, or how it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// A person wrote the passage, so it was complete from the start.
    #[default]
    Whole,
    /// The passage is still being generated.
    Running,
    /// The model ended the passage.
    Complete,
    /// The passage reached the requested length.
    Length,
    /// The model wrote a stop sequence.
    StopString,
    /// The model's context was full.
    ContextFull,
    /// The writer stopped the generation. The text generated until then is kept.
    Stopped,
    /// An error occurred. The text generated before the error is kept.
    Failed,
    /// The program ended while the passage was being generated.
    Interrupted,
}

/// The provenance of a passage: the data needed to reproduce it.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "FlatProvenance", into = "FlatProvenance")]
pub struct Provenance {
    pub maker: ModelIdentity,
    pub build: String,
    pub seed: u64,
    pub mode: super::Mode,
    pub sampling: super::Sampling,
    /// The 64-bit FNV-1a hash of the context's text, in hexadecimal.
    pub context_digest: String,
    /// The one-off instruction for this passage.
    pub instruct: Option<String>,
    /// How long the passage should be.
    pub goal: super::goal::LengthGoal,
    /// The ids of the lore entries that were activated by their keys.
    pub lore: Vec<super::lore::EntryId>,
    /// The tokens that the writer chose for the passage's start.
    pub begin: Vec<u32>,
    /// Set if this passage is one of several texts that a single request produced. The passage's
    /// own seed was then not sent.
    pub shared: Option<SharedRequest>,
}

/// Identifies which of several texts, all produced by one request, became the passage. The seed
/// alone does not reproduce that text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedRequest {
    pub seed: u64,
    /// The number of the text within the request, counted from 1.
    pub number: usize,
    pub of: usize,
}

/// The serialized form of [`Provenance`]: one flat object. (Parsing with serde's own `flatten`
/// attribute takes ten times as long, and every generated passage has provenance.)
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cannot: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shared: Option<SharedRequest>,
}

impl From<FlatProvenance> for Provenance {
    fn from(row: FlatProvenance) -> Provenance {
        Provenance {
            maker: ModelIdentity {
                model: row.model,
                model_sha256: row.model_sha256,
                backend: row.backend,
                cannot: row.cannot,
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
            shared: row.shared,
        }
    }
}

impl From<Provenance> for FlatProvenance {
    fn from(how: Provenance) -> FlatProvenance {
        FlatProvenance {
            model: how.maker.model,
            model_sha256: how.maker.model_sha256,
            backend: how.maker.backend,
            cannot: how.maker.cannot,
            build: how.build,
            seed: how.seed,
            mode: how.mode,
            sampling: how.sampling,
            context_digest: how.context_digest,
            instruct: how.instruct,
            goal: how.goal,
            lore: how.lore,
            begin: how.begin,
            shared: how.shared,
        }
    }
}

/// The model that generated a passage; unknown until a model is loaded.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModelIdentity {
    pub model: String,
    pub model_sha256: String,
    pub backend: String,
    /// The names of settings that the backend could not apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cannot: Vec<String>,
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

/// A position in the story: the end of a passage, or a byte offset inside the passage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// The passage; None for the beginning of the story.
    pub node: Option<NodeId>,
    pub cut: Option<usize>,
}

impl Place {
    pub fn after(node: Option<NodeId>) -> Place {
        Place { node, cut: None }
    }
}

/// A passage on a path. If the next passage of the path branches off inside it, `text` ends at that
/// point.
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

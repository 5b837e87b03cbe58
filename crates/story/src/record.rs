//! The journal's records: everything that can happen to a session, as plain data.
//!
//! One record is one line of `journal.jsonl`: `{"v":1,"kind":"node",…}`. Unknown kinds and fields
//! are left untouched on disk.

use super::Settings;
use super::frame::FrameChange;
use super::lore::Lorebook;
use super::node::{ModelIdentity, Node, NodeId, SharedRequest, Status};
use serde::{Deserialize, Serialize};

/// The version at the start of every record.
pub const VERSION: u32 = 1;

/// Generates the enum of record kinds, their names in a journal and the parser, all from one list.
macro_rules! records {
    ($($(#[$about:meta])* $name:literal => $kind:ident($of:ty),)*) => {
        // Most records are passages: boxing them would save nothing.
        #[allow(clippy::large_enum_variant)]
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum Record {
            $($(#[$about])* #[serde(rename = $name)] $kind($of),)*
            /// A record of a kind that this version does not know.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl Record {
            /// The names of all kinds, as they appear in a journal.
            pub const KINDS: &[&str] = &[$($name),*];

            /// Parses a line of JSON of a known kind. (Letting serde find the kind by itself copies
            /// every value twice, and a long session has hundreds of thousands of lines.)
            pub fn parse(kind: &str, line: &[u8]) -> serde_json::Result<Record> {
                Ok(match kind {
                    $($name => Record::$kind(serde_json::from_slice(line)?),)*
                    _ => Record::Unknown,
                })
            }
        }
    };
}

records! {
    /// The first line of a journal.
    "session" => Session(SessionHeader),
    "node" => Node(Node),
    "text" => Text(StreamedText),
    "end" => End(PassageEnd),
    "head" => Head(HeadMove),
    "step" => Step(Step),
    "undo" => Undo(StepCount),
    "redo" => Redo(StepCount),
    /// A complete lorebook; it replaces one of the same name.
    "book" => Book(Lorebook),
    "settings" => Settings(Settings),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionHeader {
    pub name: String,
    /// The version of illumine that created the session.
    pub build: String,
    /// When the session was created: RFC 3339, UTC.
    #[serde(default)]
    pub began: String,
}

/// Text that arrived while a passage was being generated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamedText {
    pub node: NodeId,
    pub text: String,
    #[serde(default)]
    pub ids: Vec<u32>,
    /// The value of [`Node::healed`], in the first such record of a passage; 0 in later ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub healed: usize,
    /// The model's thoughts before it wrote the passage.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub thought: String,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PassageEnd {
    pub node: NodeId,
    pub status: Status,
    /// The error, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The model that generated the passage, if that was unknown at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maker: Option<ModelIdentity>,
    /// Banned phrases that appeared and were replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewound: Vec<String>,
    /// The request that wrote it together with other passages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedRequest>,
}

/// A move of the head to passage `to`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadMove {
    pub to: Option<NodeId>,
    pub why: StepKind,
}

/// Several changes that one undo reverts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub why: StepKind,
    pub changes: Vec<Change>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepCount {
    pub steps: usize,
}

/// One change of state; it contains the new state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Change {
    /// The head moves to this passage.
    Head { to: Option<NodeId> },
    /// A passage is hidden, or shown again.
    Hidden { node: NodeId, hidden: bool },
    /// A picture is shown on the page, or taken off it.
    Shown { node: NodeId, shown: bool },
    /// A mark is set at this passage, or removed.
    Mark { name: String, node: Option<NodeId> },
    /// A text that the model reads alongside the story is set.
    Frame { set: FrameChange },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    Write,
    Retry,
    Swipe,
    Undo,
    Redo,
    Edit,
    Merge,
    Delete,
    Keep,
    Goto,
    Branch,
    Mark,
    Frame,
    /// The writer chose a token.
    Choose,
    Fill,
    Import,
    /// Pictures were drawn, or another version was chosen.
    Draw,
}

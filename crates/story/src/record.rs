//! The records of a journal: plain data that describes everything that can happen to a session.
//!
//! One record is one line of `journal.jsonl`: `{"v":1,"kind":"node",…}`. Unknown kinds and fields
//! are left untouched on disk.

use super::Settings;
use super::frame::FrameChange;
use super::lore::Lorebook;
use super::node::{ModelIdentity, Node, NodeId, SharedRequest, Status};
use serde::{Deserialize, Serialize};

/// The journal format's version number, stored at the start of every record.
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
            /// A record whose kind this version of illumine does not support.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl Record {
            /// The names of all kinds, as they appear in a journal.
            pub const KINDS: &[&str] = &[$($name),*];

            /// Parses `line`, a record in JSON whose kind is already known. (If serde determined
            /// the kind, it would copy every value twice, and a long session has hundreds of
            /// thousands of lines.)
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
    /// A complete lorebook, which replaces any lorebook with the same name.
    "book" => Book(Lorebook),
    "settings" => Settings(Settings),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionHeader {
    pub name: String,
    /// The version of illumine that created the session.
    pub build: String,
    /// The time at which the session was created, in UTC and in RFC 3339 format.
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
    /// The value of [`Node::healed`] in the first record of streamed text of a passage; 0 in later
    /// records.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub healed: usize,
    /// Thoughts of the model, which come before the passage's text.
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
    /// The error message, if the passage ended with an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The model that generated the passage, if the model was not yet known when the passage began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maker: Option<ModelIdentity>,
    /// Banned phrases that appeared during generation and were replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewound: Vec<String>,
    /// Set if this passage is one of several texts that a single request produced.
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

/// One change to a story's state, stored as the new value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Change {
    /// The head moves to passage `to`.
    Head { to: Option<NodeId> },
    /// A passage is hidden, or shown again.
    Hidden { node: NodeId, hidden: bool },
    /// A picture is shown on the page, or removed from the page.
    Shown { node: NodeId, shown: bool },
    /// A mark is set at passage `node`, or removed if `node` is None.
    Mark { name: String, node: Option<NodeId> },
    /// A text that the model reads alongside the story gets a new value.
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
    /// Pictures were drawn, or another version of a picture was chosen.
    Draw,
}

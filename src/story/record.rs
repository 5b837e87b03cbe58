//! The journal's records: everything that can happen to a session, as plain data.
//!
//! One record is one line of `journal.jsonl`: `{"v":1,"kind":"node",…}`. A kind or field that this
//! version does not know is kept on disk and left alone.

use super::{Node, NodeId, Settings, Status};
use serde::{Deserialize, Serialize};

/// The version that stands first in every record.
pub const VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// The first line of a journal.
    Session(Opening),
    Node(Node),
    Text(Streamed),
    End(Ended),
    Head(Head),
    Settings(Settings),
    /// A kind from a later version.
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opening {
    pub name: String,
    /// The version of illumine that began it.
    pub build: String,
    /// RFC 3339, UTC.
    #[serde(default)]
    pub began: String,
}

/// Text that came in while a passage was being written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Streamed {
    pub node: NodeId,
    pub text: String,
    #[serde(default)]
    pub ids: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    pub node: NodeId,
    pub status: Status,
    /// What went wrong, when something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The writer now stands after `to`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    pub to: Option<NodeId>,
    pub why: Move,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Move {
    Write,
    Retry,
    Swipe,
    Undo,
    Redo,
}

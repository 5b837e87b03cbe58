//! What a command comes to, and what the writer hears of the engine.

use super::Listed;
use crate::store::StoreError;
use crate::story::command;
use crate::story::diff::DiffSpan;
use crate::story::message::{ContextReport, FailureKind, PassageStats};
use crate::story::places::PlaceError;
use crate::story::{NodeId, Status};

/// What a command came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The engine is at work; its events will fill this passage.
    Started(NodeId),
    /// Something to tell the writer.
    Said(String),
    /// The story on the screen is another now, or stands elsewhere.
    Moved(String),
    /// A list: `/pick N` takes one.
    List(String, Vec<Listed>),
    /// The writer is to say what this passage shall read; [`Command::Edit`] takes the answer.
    Edit(NodeId, String),
    /// Two texts, word by word.
    Diff(Vec<DiffSpan>),
    /// The engine was asked something that is no passage; its answer comes as a notice.
    Asked,
    Quit,
}

/// Something that the writer should be told.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A piece of a passage came, of so many tokens.
    Text {
        node: NodeId,
        text: String,
        tokens: usize,
    },
    /// The engine has come further; [`super::Studio::work`] says how far.
    Progress,
    /// A request has come to its end; with the numbers of what it wrote.
    Answered(Option<PassageStats>),
    Info(String),
    Warning(String),
    /// A story nears what the model can hold, or has more: advice for its writer.
    Advice(String),
    /// So many tokens, the story's oldest, are not read.
    LeftOut(usize),
    Error(String, FailureKind),
    /// A passage has ended.
    Ended(NodeId, Status),
    /// What writes no passage was stopped: a model on its way, or a question.
    Stopped,
    /// Pictures came; the first is on the page.
    Drawn {
        nodes: Vec<NodeId>,
        said: String,
    },
    /// A list came: `/pick N` takes one.
    List(String, Vec<Listed>),
    /// A line that the writer may send, or change.
    Suggested(String),
    /// What the model reads.
    Explained(ContextReport),
}

/// A command that could not be done, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("The model is still busy; stop it with Esc or Ctrl+C")]
    Busy,
    #[error("{0}")]
    Cannot(String),
    #[error(transparent)]
    Command(#[from] command::ParseError),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

//! The outcome of a command, and notices from the engine.

use super::Listed;
use crate::store::StoreError;
use story::command;
use story::diff::DiffSpan;
use story::message::{ContextReport, FailureKind, PassageStats};
use story::places::PlaceError;
use story::{NodeId, Status};

/// The outcome of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The engine is generating this passage.
    Started(NodeId),
    /// A text for the writer.
    Said(String),
    /// The head moved, or another story was opened.
    Moved(String),
    /// A list; `/pick N` chooses a row.
    List(String, Vec<Listed>),
    /// The writer should edit this text of a passage; [`Command::Edit`] takes the result.
    Edit(NodeId, String),
    /// A word-by-word comparison of two texts.
    Diff(Vec<DiffSpan>),
    /// A request that generates no passage; its answer arrives as a notice.
    Asked,
    Quit,
}

/// A notice for the writer.
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
    /// Ends a passage.
    Ended(NodeId, Status),
    /// What writes no passage was stopped: a model on its way, or a question.
    Stopped,
    /// Pictures were drawn; the first is on the page.
    Drawn {
        nodes: Vec<NodeId>,
        said: String,
    },
    /// A list; `/pick N` picks a row.
    List(String, Vec<Listed>),
    /// A suggested line for the writer to edit or send.
    Suggested(String),
    /// The context.
    Explained(ContextReport),
}

/// Why a command was refused, in one sentence.
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

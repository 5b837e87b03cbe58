//! The outcome of a command, and notices from the engine.

use crate::store::StoreError;
use story::command::{self, Command};
use story::diff::DiffSpan;
use story::message::{ContextReport, FailureKind, PassageStats};
use story::places::PlaceError;
use story::{NodeId, Status};

/// The outcome of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The engine is generating this passage.
    Started(NodeId),
    /// A message for the writer.
    Said(String),
    /// The head moved, or another story was opened.
    Moved(String),
    /// A list; `/pick N` chooses a row.
    List(String, Vec<Listed>),
    /// The writer should edit this text of a passage; `Command::Edit` takes the result.
    Edit(NodeId, String),
    /// A word-by-word comparison of two texts.
    Diff(Vec<DiffSpan>),
    /// A file's bytes for standard output.
    Bytes(Vec<u8>),
    /// A request was sent that generates no passage; its answer arrives as a notice.
    Asked,
    Quit,
}

/// A notice for the writer.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A piece of a passage arrived, with this many tokens.
    Text {
        node: NodeId,
        text: String,
        tokens: usize,
    },
    /// The model has finished thinking about a passage and starts to write it.
    Thought(NodeId),
    /// The engine made progress; see [`super::Studio::work`].
    Progress,
    /// A request ended, with the statistics of its passage, if it wrote one.
    Answered(Option<PassageStats>),
    Info(String),
    Warning(String),
    /// The story nearly fills or exceeds the model's context: advice for the writer.
    Advice(String),
    /// This many of the story's oldest tokens were left out of the context.
    LeftOut(usize),
    Error(String, FailureKind),
    /// A passage ended.
    Ended(NodeId, Status),
    /// A request that writes no passage was stopped, such as loading a model.
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
    /// The context, part by part.
    Explained(ContextReport),
    /// The number that [`super::Studio::measure`] requested.
    Measured(f64),
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

/// A row of a list, with the command that runs when it is picked.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub label: String,
    pub command: Command,
}

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
    /// A list with its title; `/pick N` chooses a row.
    List(String, Vec<Listed>),
    /// The text of a passage for the writer to edit. `Command::Edit` takes the edited text.
    Edit(NodeId, String),
    /// A word-by-word comparison of two texts.
    Diff(Vec<DiffSpan>),
    /// The bytes of an exported file, for standard output.
    Bytes(Vec<u8>),
    /// A request that generates no passage was sent to the engine. Its answer arrives as a notice.
    Asked,
    Quit,
}

/// A notice for the writer.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A piece of a passage's text arrived. `tokens` is the number of tokens in the piece.
    Text {
        node: NodeId,
        text: String,
        tokens: usize,
    },
    /// The model has finished thinking about a passage and starts to write the passage.
    Thought(NodeId),
    /// The engine made progress; see [`super::Studio::work`].
    Progress,
    /// A request ended. If the request wrote a passage, the notice contains the statistics of the
    /// passage.
    Answered(Option<PassageStats>),
    Info(String),
    Warning(String),
    /// Advice for the writer when the story nearly fills or exceeds the model's context.
    Advice(String),
    /// The beginning of the story was left out of the context: this many tokens.
    LeftOut(usize),
    Error(String, FailureKind),
    /// A passage ended with the given status.
    Ended(NodeId, Status),
    /// A request that writes no passage, for example to load a model, was stopped.
    Stopped,
    /// Pictures were drawn. The first picture is shown in the story.
    Drawn {
        nodes: Vec<NodeId>,
        said: String,
    },
    /// A list with its title; `/pick N` chooses a row.
    List(String, Vec<Listed>),
    /// A suggested line for the writer to edit or send.
    Suggested(String),
    /// The context of the next passage, part by part.
    Explained(ContextReport),
    /// The result of the measurement that [`super::Studio::measure`] requested.
    Measured(f64),
}

/// The reason why a command was refused, as one sentence.
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

/// A row of a list, with the command that runs when the row is picked.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub label: String,
    pub command: Command,
}

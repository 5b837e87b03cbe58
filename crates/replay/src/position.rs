//! Positions in a script, and errors at such positions.

use base::untrusted::clean_line;
use std::fmt;
use std::sync::Arc;

/// A position in a script file; lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The path of the file as the user wrote it.
    pub file: Arc<str>,
    pub line: usize,
    pub column: usize,
}

impl Position {
    /// Returns the position with this column on the same line.
    pub fn at_column(&self, column: usize) -> Position {
        Position {
            column,
            ..self.clone()
        }
    }

    /// Returns the file and line as `file:line`, for reports.
    pub fn short(&self) -> String {
        format!("{}:{}", clean_line(&self.file), self.line)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.short(), self.column)
    }
}

/// An error in a script: its position, and one sentence that says what is wrong and how to correct
/// it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {why}")]
pub struct ScriptError {
    pub at: Position,
    pub why: String,
}

impl ScriptError {
    pub(crate) fn new(at: &Position, why: impl fmt::Display) -> ScriptError {
        ScriptError {
            at: at.clone(),
            why: clean_line(&why.to_string()),
        }
    }
}

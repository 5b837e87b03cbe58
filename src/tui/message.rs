//! A short message to the writer, shown between the story and the input.

use std::time::Duration;

#[derive(Debug, PartialEq)]
pub struct Message {
    pub tone: Tone,
    pub text: String,
    /// The time at which the message disappears by itself; None if it does not.
    pub until: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Info,
    Warning,
    Error,
}

//! What the model says when it is asked for words that are no passage.

use super::Failure;
use super::generate::{Emit, Stopped, text};
use super::loaded::Loaded;
use crate::story::message::{Stats, TextRequest};
use crate::story::{Event, Status};
use std::cell::RefCell;

/// Writes the words on that the writer has begun, and tells the whole line.
pub fn suggest(
    loaded: &mut Loaded,
    ask: &TextRequest,
    begun: String,
    emit: Emit,
    stopped: Stopped,
) -> Result<(Status, Stats), Failure> {
    let (words, ended) = said(loaded, ask, emit, stopped);
    let (status, stats) = ended?;
    let mut line = begun + &words;
    // A line typed does not say how it joins the one before.
    line.truncate(line.trim_end().len());
    emit(Event::Suggested(line.trim_start().to_string()));
    Ok((status, stats))
}

/// What the model writes, and how it ended; other news goes on to `emit`.
pub fn said(
    loaded: &mut Loaded,
    ask: &TextRequest,
    emit: Emit,
    stopped: Stopped,
) -> (String, Result<(Status, Stats), Failure>) {
    let words = RefCell::new(String::new());
    let keep = |event| match event {
        Event::Piece { text, .. } => {
            words.borrow_mut().push_str(&text);
            true
        }
        event => emit(event),
    };
    let ended = text(loaded, ask, &keep, stopped);
    (words.into_inner(), ended)
}

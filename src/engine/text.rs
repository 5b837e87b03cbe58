//! The shared part of the backends whose model takes and returns text: a server, a program.
//!
//! Such a backend supplies a [`TextSource`]: the size of its context, a count of tokens, and pieces
//! of text after a prompt. This module does the rest:
//!
//! - [`write()`] writes a passage: it turns the context into a prompt that fits, reports what was left
//!   out, ends the passage at stop strings and at the length goal, asks again for other words in
//!   place of a banned phrase, and keeps what had arrived before an error.
//! - [`explain()`] and [`context_start`] answer the methods of those names of
//!   [`Backend`](super::Backend).
//!
//! The backend implements `Backend` by calling these three, as the small one in `text/tests.rs`
//! does. Three more things are up to it:
//!
//! - **A wait must end when the listener is cancelled**, or Esc and quitting hang. A read that
//!   blocks, as from a pipe, belongs on a thread of its own that sends what it reads through a
//!   channel; [`TextSource::stream`] waits on the channel with a time limit and then checks
//!   [`Writing::is_cancelled`]. A backend that starts a program ends it when dropped. If the passage
//!   wants no more text, the program must stop too, or its next answer begins with the rest.
//! - **The model's thoughts are not text**: they go to [`Writing::thought`]. If the model marks them
//!   with tags in its text, `remote::Thoughts` separates them.
//! - **`ModelInfo::sha256` must not be empty**, or the passages have no known model. Without a file,
//!   hash what identifies the model with `base::hash::sha256`. `ModelInfo::cannot` lists the
//!   settings that have no effect, and `Capabilities` what is inexact: `reproducible` and
//!   `exact_token_counts` are false for most sources.

mod estimate;
mod explain;
mod passage;
mod prompt;
mod write;
mod writing;

pub use estimate::estimate;
pub use explain::explain;
pub use prompt::build;
pub use remote::{Prompt, Turn};
pub use write::write;
pub use writing::{Measured, Writing};

use super::backend::{Failure, Listener};
use std::cell::Cell;
use story::NodeId;
use story::message::TextRequest;

/// A model that continues text. A source must implement only the methods without a default.
pub trait TextSource {
    /// The reason for an error: usually [`Failure`], or a type with more details for
    /// [`TextSource::adapts`].
    type Error: Into<Failure>;

    /// What errors call the model, and what they advise if its context is too short.
    const MODEL: &'static str = "the model";
    const LONGER_CONTEXT: &'static str = "choose a model with a longer context";

    /// The size of the model's context in tokens.
    fn context(&self) -> usize;

    /// The number of tokens in a text; [`estimate()`] if the source cannot count them.
    fn count(&self, text: &str) -> Result<usize, Self::Error>;

    /// The memory between passages, which must be a field of the source.
    fn memory(&self) -> &Memory;

    /// Writes text after `ask.prompt` and passes it on to `writing`. Returns as soon as `writing`
    /// wants no more or is cancelled.
    ///
    /// After an error, the text that arrived before it is kept as an interrupted passage.
    fn stream(
        &mut self,
        ask: &TextAsk<'_>,
        writing: &mut Writing<'_, '_>,
    ) -> Result<End, Self::Error>;

    /// Whether prose is continued as plain text. If not, an instruction asks for what comes next,
    /// and every prompt is a [`Prompt::Turns`].
    fn completes(&self) -> bool {
        true
    }

    /// Whether the source can continue an unfinished message by the model (`open` in
    /// [`Prompt::Turns`]). If not, an instruction asks the model to go on.
    fn prefills(&self) -> bool {
        false
    }

    /// Called after an error. Returns true if the source has changed something, so that another
    /// request may succeed.
    fn adapts(&mut self, _refusal: &Refusal<'_, Self::Error>, _listener: &dyn Listener) -> bool {
        false
    }

    /// Whether texts arrive in one piece and the caller repeats a request that failed.
    fn is_retried(&self) -> bool {
        false
    }

    /// The text of tokens that [`Backend::alternatives`](super::Backend::alternatives) listed; None
    /// if one of them is unknown.
    fn spell(&self, ids: &[u32]) -> Option<String> {
        ids.is_empty().then(String::new)
    }

    /// Whether single tokens can be made less likely, so that a banned phrase gets another first
    /// token. If not, the text is requested with another seed.
    fn forbids_tokens(&self) -> bool {
        false
    }

    /// The first token of a text; needed by [`TextSource::token`].
    fn first_token(&self, _text: &str) -> Result<Option<u32>, Self::Error> {
        Ok(None)
    }

    /// Writes one token after the prompt, with these values added to the logits of some tokens; None
    /// if cancelled. Called only if the source [forbids tokens](TextSource::forbids_tokens).
    fn token(
        &mut self,
        _ask: &TextAsk<'_>,
        _bias: Vec<(u32, f32)>,
        _listener: &dyn Listener,
    ) -> Result<Option<String>, Self::Error> {
        Ok(Some(String::new()))
    }
}

/// A request to a source for text.
#[derive(Clone, Debug)]
pub struct TextAsk<'a> {
    /// The request, for its sampling settings. A source may also apply its stop strings and banned
    /// phrases, which saves work; this module applies them in any case.
    pub request: &'a TextRequest,
    /// Plain text, or the messages of a chat. A source without a chat template joins them itself.
    pub prompt: Prompt,
    pub seed: u64,
    /// The maximum number of tokens, at least 1.
    pub most: usize,
}

/// How a source's text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The model ended its turn.
    Complete,
    /// It has [`TextAsk::most`] tokens.
    Length,
    StopString,
    ContextFull,
    /// A service withheld the rest.
    Withheld,
    /// The request was cancelled, or [`Writing`] wanted no more text.
    Stopped,
}

/// A source's error, and the prompt that led to it.
#[derive(Debug)]
pub struct Refusal<'a, E> {
    pub error: &'a E,
    pub request: &'a TextRequest,
    /// The prompt of the passage.
    pub prompt: &'a Prompt,
    /// The prompt extended by the text so far; None if there is no text yet.
    pub extended: Option<&'a Prompt>,
    /// How many errors there have been for this passage, with this one.
    pub errors: usize,
}

/// What one passage leaves for the next.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Where the story started in the last prompt; unchanged while the story still fits.
    begins: Cell<Option<(NodeId, usize)>>,
    /// Whether the model has ever sent thoughts.
    thinks: Cell<bool>,
}

impl Memory {
    /// What holds for other stories too.
    pub fn for_others(&self) -> Memory {
        Memory {
            begins: Cell::default(),
            thinks: self.thinks.clone(),
        }
    }

    /// Adds what another copy of the source has learnt; if `all`, also where the story starts.
    pub fn learn(&self, other: &Memory, all: bool) {
        self.thinks.set(self.thinks.get() || other.thinks.get());
        if all {
            self.begins.set(other.begins.get());
        }
    }
}

/// Where the prompt's story starts, if the whole context does not fit.
pub fn context_start<S: TextSource>(
    source: &S,
    request: &TextRequest,
) -> Result<Option<(NodeId, usize)>, Failure> {
    Ok(build(source, request)?.cut.begins)
}

#[cfg(test)]
mod tests;

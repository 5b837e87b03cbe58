//! The code shared by backends whose model takes and returns text, such as a model server.
//!
//! Such a backend implements [`TextSource`], which reports the size of the context, counts tokens,
//! and streams text that continues a prompt. This module implements everything else:
//!
//! - [`write()`] writes a passage. It turns the context into a prompt that fits, and reports what
//!   was left out. It ends the passage at stop strings and at the length goal. If a banned phrase
//!   appears, it requests other words instead. After an error, it keeps the text that has arrived.
//! - [`explain()`] and [`context_start`] implement the methods of the same names in
//!   [`Backend`](super::Backend).
//!
//! The backend implements `Backend` by calling these three functions, as the small backend in
//! `text/tests.rs` does. The backend itself is responsible for three more things:
//!
//! - **A wait must end when the listener is cancelled**; otherwise, Esc and quitting hang. A read
//!   that blocks, for example from a pipe, needs a separate thread, which sends what it reads
//!   through a channel. [`TextSource::stream`] then waits on the channel with a time limit, and
//!   checks [`Writing::is_cancelled`] after each wait. A backend that starts a program must end the
//!   program when the backend is dropped. When the passage wants no more text, the program must
//!   stop too; otherwise, its next answer begins with the rest of this one.
//! - **The model's thoughts are not text**: they are passed to [`Writing::thought`]. If the model
//!   marks its thoughts with tags in the text, `remote::Thoughts` separates them.
//! - **`ModelInfo::sha256` must not be empty**, since it identifies the model that wrote a passage.
//!   If the model has no file, use `base::hash::sha256` to hash a text that identifies the model.
//!   `ModelInfo::cannot` lists the settings that have no effect. `Capabilities` says what is
//!   inexact: `reproducible` and `exact_token_counts` are false for most sources.

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

/// A model that continues text. An implementation must define only the methods without a default.
pub trait TextSource {
    /// The type of the source's errors: usually [`Failure`], or a type with more details for
    /// [`TextSource::adapts`].
    type Error: Into<Failure>;

    /// The noun for the model in error messages.
    const MODEL: &'static str = "the model";
    const LONGER_CONTEXT: &'static str = "choose a model with a longer context";

    /// The size of the model's context in tokens.
    fn context(&self) -> usize;

    /// The number of tokens in a text. A source that cannot count tokens returns [`estimate()`].
    fn count(&self, text: &str) -> Result<usize, Self::Error>;

    /// What the source remembers from earlier passages. The source must store it in a field.
    fn memory(&self) -> &Memory;

    /// Writes text that continues `ask.prompt`, and passes it to `writing`. Returns as soon as
    /// `writing` wants no more text or is cancelled.
    ///
    /// If this method returns an error, the text that arrived before the error is kept as an
    /// interrupted passage.
    fn stream(
        &mut self,
        ask: &TextAsk<'_>,
        writing: &mut Writing<'_, '_>,
    ) -> Result<End, Self::Error>;

    /// Whether the source continues prose as plain text. If false, an instruction asks the model
    /// for a continuation, and every prompt is a [`Prompt::Turns`].
    fn completes(&self) -> bool {
        true
    }

    /// Whether the source can continue an unfinished message of the model (`open` in
    /// [`Prompt::Turns`]). If false, an instruction asks the model to continue.
    fn prefills(&self) -> bool {
        false
    }

    /// Called after an error. Returns true if the source has changed its behaviour, so that another
    /// request may succeed.
    fn adapts(&mut self, _refusal: &Refusal<'_, Self::Error>, _listener: &dyn Listener) -> bool {
        false
    }

    /// Whether each text arrives in one piece and the caller repeats failed requests.
    fn is_retried(&self) -> bool {
        false
    }

    /// The text of tokens that [`Backend::alternatives`](super::Backend::alternatives) has listed
    /// before; None if one of the ids is unknown.
    fn spell(&self, ids: &[u32]) -> Option<String> {
        ids.is_empty().then(String::new)
    }

    /// Whether the source can make single tokens less likely. If true, a banned phrase is avoided
    /// by choosing another first token. If false, the text is requested again with another seed.
    fn forbids_tokens(&self) -> bool {
        false
    }

    /// The id of the first token of a text; None if the source cannot look up token ids. A source
    /// that implements [`TextSource::token`] must implement this method too.
    fn first_token(&self, _text: &str) -> Result<Option<u32>, Self::Error> {
        Ok(None)
    }

    /// Writes one token that continues the prompt; None if cancelled. `bias` lists token ids with
    /// the amounts to add to their logits. Called only if the source [forbids
    /// tokens](TextSource::forbids_tokens).
    fn token(
        &mut self,
        _ask: &TextAsk<'_>,
        _bias: Vec<(u32, f32)>,
        _listener: &dyn Listener,
    ) -> Result<Option<String>, Self::Error> {
        Ok(Some(String::new()))
    }
}

/// A request for text, as a source receives it.
#[derive(Clone, Debug)]
pub struct TextAsk<'a> {
    /// The request for the passage, which contains the sampling settings. A source may apply the
    /// request's stop strings and banned phrases itself, which saves work. This module applies them
    /// in any case.
    pub request: &'a TextRequest,
    /// The prompt: plain text, or the messages of a chat. A source without a chat template must
    /// join the messages itself.
    pub prompt: Prompt,
    pub seed: u64,
    /// The maximum number of tokens to write; at least 1.
    pub most: usize,
}

/// The reason why a source's text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The model ended its turn.
    Complete,
    /// The text has reached [`TextAsk::most`] tokens.
    Length,
    StopString,
    ContextFull,
    /// A service withheld the rest of the text.
    Withheld,
    /// The request was cancelled, or [`Writing`] wanted no more text.
    Stopped,
}

/// An error of a source, and the prompt that caused it.
#[derive(Debug)]
pub struct Refusal<'a, E> {
    pub error: &'a E,
    pub request: &'a TextRequest,
    /// The passage's original prompt, without any of the passage's text.
    pub prompt: &'a Prompt,
    /// The prompt extended by the passage's text so far; None if there is no text yet.
    pub extended: Option<&'a Prompt>,
    /// The number of errors for this passage so far, including this error.
    pub errors: usize,
}

/// What a source remembers from one passage to the next.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The place where the shortened story in the last prompt started. The next prompt uses the
    /// same place if the story from there to its end still fits.
    begins: Cell<Option<(NodeId, usize)>>,
    /// Whether the model has ever sent thoughts.
    thinks: Cell<bool>,
}

impl Memory {
    /// Returns a copy without the data that applies only to the current story.
    pub fn for_others(&self) -> Memory {
        Memory {
            begins: Cell::default(),
            thinks: self.thinks.clone(),
        }
    }

    /// Adds what a copy of the source has learnt. If `all` is true, this includes the place where
    /// the shortened story in the prompt starts.
    pub fn learn(&self, other: &Memory, all: bool) {
        self.thinks.set(self.thinks.get() || other.thinks.get());
        if all {
            self.begins.set(other.begins.get());
        }
    }
}

/// The place where the shortened story in the prompt starts; None if the whole context fits.
pub fn context_start<S: TextSource>(
    source: &S,
    request: &TextRequest,
) -> Result<Option<(NodeId, usize)>, Failure> {
    Ok(build(source, request)?.cut.begins)
}

#[cfg(test)]
mod tests;

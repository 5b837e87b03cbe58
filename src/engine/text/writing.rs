//! Receives the text that a source writes for one request, and adds it to the passage.

use super::passage::{Look, Passage};
use super::prompt::Fitted;
use crate::engine::backend::Listener;
use std::time::{Duration, Instant};
use story::message::{PassageStats, TextRequest};
use story::{Event, SharedRequest, Status};

/// The passage that a source is writing. If a method returns false, the passage wants no more text.
pub struct Writing<'a, 'b> {
    pub listener: &'a dyn Listener,
    pub(super) request: &'a TextRequest,
    pub(super) fitted: &'a Fitted,
    pub(super) passage: &'a mut Passage<'b>,
    pub(super) stats: &'a mut PassageStats,
    /// Whether the listener has been told about the prompt.
    pub(super) is_announced: &'a mut bool,
    pub(super) is_first: bool,
    pub(super) began: Instant,
    pub(super) first_word: Option<Duration>,
    /// The length of the passage before this request, in bytes and tokens.
    pub(super) before: (usize, usize),
    pub(super) ended: Option<Ended>,
}

/// The reason why a passage wants no more text from this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Over(Status),
    /// A banned phrase begins at byte offset `at` in the passage; `ban` is the phrase's index.
    Banned {
        at: usize,
        ban: usize,
    },
}

/// The counts and times that a source has measured. A value that the source did not measure is
/// None.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    pub prompt_tokens: Option<usize>,
    /// The number of tokens of the prompt that were in a cache.
    pub reused: Option<usize>,
    pub prefill_ms: Option<f64>,
    /// The number of tokens that the model has written so far, including its thoughts.
    pub new_tokens: Option<usize>,
    /// The request that was sent to the server, if it asked for several passages at once.
    pub shared: Option<SharedRequest>,
}

impl Writing<'_, '_> {
    /// Whether the request was cancelled, so that the source must return without waiting any
    /// longer.
    pub fn is_cancelled(&self) -> bool {
        self.listener.is_cancelled()
    }

    /// Adds a piece of text that consists of `tokens` tokens. If `tokens` is None, the number is
    /// estimated.
    #[must_use]
    pub fn text(&mut self, piece: &str, tokens: Option<usize>) -> bool {
        self.heard();
        let tokens = tokens.unwrap_or_else(|| self.passage.estimated(piece));
        self.ended = match self.passage.push(piece, tokens, self.listener) {
            Look::On => None,
            Look::Banned { at, ban } => Some(Ended::Banned { at, ban }),
            Look::Over(status) => Some(Ended::Over(status)),
        };
        self.clock();
        self.ended.is_none()
    }

    /// Adds a piece of the model's thoughts. Thoughts are not part of the passage's text.
    #[must_use]
    pub fn thought(&mut self, piece: &str, tokens: Option<usize>) -> bool {
        self.heard();
        let tokens = tokens.unwrap_or_else(|| self.passage.estimated(piece));
        let goes_on = self.passage.think(piece, tokens, self.listener);
        if !goes_on {
            let why = "The model did not stop thinking and was interrupted; /retry, or choose another model";
            self.listener.tell(Event::Warned(why.to_string()));
            self.ended = Some(Ended::Over(Status::Length));
        }
        self.clock();
        goes_on
    }

    /// Reports progress with the prompt: `done` of `total` tokens have been read, and `reused` of
    /// them were in a cache.
    pub fn read(&mut self, done: usize, total: usize, reused: usize) {
        self.announce();
        self.tell_progress((done, total.max(done), reused.min(done)));
    }

    /// Stores what the source has measured.
    pub fn measured(&mut self, by_source: Measured) {
        if let Some(reused) = by_source.reused {
            self.stats.reused = reused;
        }
        // The prompts of later requests contain part of the passage.
        if self.is_first {
            self.stats.shared = by_source.shared;
            if let Some(tokens) = by_source.prompt_tokens {
                self.stats.prompt_tokens = tokens.max(self.stats.reused);
            }
            // The source's count includes thoughts.
            let counted = by_source.new_tokens.filter(|_| !self.passage.has_thought());
            if let Some(tokens) = counted {
                self.passage.counted(tokens);
            }
        }
        self.clock();
        if let Some(ms) = by_source.prefill_ms.filter(|_| self.is_first) {
            self.stats.prefill_ms = ms;
        }
    }

    /// Sets the number of tokens that this request has added so far. Called by a source that cannot
    /// count tokens piece by piece.
    pub fn added(&mut self, tokens: usize) {
        self.passage.counted(self.before.1 + tokens);
    }

    /// Whether this request has added no text to the passage.
    pub fn is_silent(&self) -> bool {
        self.passage.text().len() == self.before.0
    }

    /// Tells the listener about the prompt, unless the listener has been told already.
    pub(super) fn announce(&mut self) {
        if !std::mem::replace(self.is_announced, true) {
            self.tell_progress((0, self.fitted.tokens, 0));
        }
    }

    fn heard(&mut self) {
        self.announce();
        self.first_word.get_or_insert(self.began.elapsed());
    }

    fn tell_progress(&self, progress: (usize, usize, usize)) {
        tell_progress(self.request, self.fitted, progress, self.listener);
    }

    fn clock(&mut self) {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let now = self.began.elapsed();
        let first = self.first_word.unwrap_or(now);
        if self.is_first {
            self.stats.prefill_ms = ms(first);
        }
        self.stats.decode_ms = ms(now.saturating_sub(first));
        self.stats.new_tokens = self.passage.tokens_with_thoughts();
    }
}

/// Tells the listener how many tokens of the prompt have been read (`done`), how many it has
/// (`total`), and how many were in a cache (`reused`).
pub(super) fn tell_progress(
    request: &TextRequest,
    fitted: &Fitted,
    (done, total, reused): (usize, usize, usize),
    listener: &dyn Listener,
) {
    listener.tell(Event::Prefill {
        node: request.node,
        done,
        total,
        reused,
        cut: fitted.cut.clone(),
    });
}

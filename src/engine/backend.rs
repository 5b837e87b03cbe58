//! The interface that every text engine implements and the worker calls.
//!
//! A backend works one level above logits. It takes a request, which contains everything that the
//! answer depends on, and returns pieces of text. The backends are a model in this process
//! ([`super::local`]), a model server ([`super::remote`]) and a script ([`super::scripted`]).
//! [`super::text`] does most of the work for a model that returns text. Neither the studio nor a
//! front end knows which backend answers.

use super::queue::Queue;
use base::progress::{Cancelled, Observer, Unobserved};
use std::time::Duration;
use story::message::{
    Alternative, Capabilities, ContextReport, FailureKind, PassageScore, PassageStats, TextRequest,
    WarmCache, WrittenPassage,
};
use story::{Event, ModelInfo, NodeId, Status};

/// How a request ended: with a status and statistics, or with a failure.
pub type Answer = Result<(Status, PassageStats), Failure>;

/// The reason why a request failed, and whether a retry may succeed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The reason in one plain sentence.
    pub why: String,
    pub fault: FailureKind,
    pub retry: Retry,
}

/// Whether the same request may succeed later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    #[default]
    Never,
    /// A retry may succeed soon: the server or the connection to the server failed.
    Soon,
    /// The server is overloaded. `after` is the wait before a retry, if the server requests one.
    Overloaded { after: Option<Duration> },
}

impl Failure {
    /// Creates a failure that would occur again if the same request were retried.
    pub fn new(why: impl Into<String>, fault: FailureKind) -> Failure {
        let (why, retry) = (why.into(), Retry::Never);
        Failure { why, fault, retry }
    }

    /// Creates a failure of the engine itself.
    pub fn engine(why: impl Into<String>) -> Failure {
        Failure::new(why, FailureKind::Engine)
    }
}

/// An observer that also receives the events of a request.
pub trait Listener: Observer {
    /// Sends an event. Returns false if the receiver no longer exists.
    fn tell(&self, event: Event) -> bool;
}

impl Listener for Unobserved {
    fn tell(&self, _: Event) -> bool {
        true
    }
}

/// A listener that drops all events and progress. It is cancelled when the observer that it wraps
/// is cancelled.
pub struct Quiet<'a, O: ?Sized>(pub &'a O);

impl<O: Observer + ?Sized> Observer for Quiet<'_, O> {
    fn progress(&self, _: &str, _: u64, _: Option<u64>) {}

    fn check(&self) -> Result<(), Cancelled> {
        self.0.check()
    }
}

impl<O: Observer + ?Sized> Listener for Quiet<'_, O> {
    fn tell(&self, _: Event) -> bool {
        true
    }
}

/// A text engine. It stays on the worker's thread.
pub trait Backend {
    /// The loaded model, for the status line and for provenance.
    fn about(&self) -> &ModelInfo;

    fn capabilities(&self) -> Capabilities;

    /// Writes one passage. The listener receives, in this order:
    ///
    /// 1. [`Event::Prefill`] while the prompt is evaluated, at least once with `done == reused`.
    ///    The event's `cut` says what did not fit the context, and the studio reports this.
    /// 2. [`Event::Thought`] for each piece of the model's thoughts, if any.
    /// 3. [`Event::Piece`] for each piece of text, with the piece's token ids if they are known.
    ///    The text is not yet cleaned; the outbox cleans it. [`Event::Rewound`] precedes text that
    ///    replaces a banned phrase; a banned phrase itself is never sent.
    ///
    /// The prompt is `request.context`, and the passage starts with the tokens `request.begin`. It
    /// ends at the length goal, a stop string or the end of the model's turn, or when the listener
    /// is cancelled ([`Status::Stopped`]).
    fn write(&mut self, request: &TextRequest, listener: &dyn Listener) -> Answer;

    /// Writes a passage for each request. The end of each passage except the last is reported by
    /// [`Event::Ended`]; the end of the last passage is returned.
    fn candidates(&mut self, requests: &[TextRequest], listener: &dyn Listener) -> Answer {
        one_after_another(self, requests, listener)
    }

    /// Writes passages until a queue has no more requests, several at a time if the backend can.
    /// Each passage is the same as if it were written alone.
    fn write_queue(&mut self, queue: &mut dyn Queue) {
        one_by_one(self, queue);
    }

    /// Returns the most likely next tokens, with their probabilities before and after the samplers.
    /// Returns None if the request was stopped.
    fn alternatives(
        &mut self,
        _request: &TextRequest,
        _listener: &dyn Listener,
    ) -> Result<Option<Vec<Alternative>>, Failure> {
        let why = "This engine cannot list alternatives; use /gen for whole passages";
        Err(Failure::engine(why))
    }

    /// Returns the context that the model would get for a passage, part by part.
    fn explain(&mut self, _request: &TextRequest) -> Result<ContextReport, Failure> {
        Err(Failure::engine("This engine cannot list its context"))
    }

    /// Computes the perplexity of a text that follows another text. Returns None if the request was
    /// stopped.
    fn perplexity(
        &mut self,
        _before: &str,
        _text: &str,
        _observer: &dyn Observer,
    ) -> Result<Option<f64>, Failure> {
        let why = "This engine cannot measure perplexity; use a model on this machine";
        Err(Failure::new(why, FailureKind::Request))
    }

    /// Evaluates, in one pass, a passage that was written earlier in answer to `request`. Returns
    /// the log-probability of each token and whether the samplers could choose the token; None if
    /// stopped. A token also counts as admissible if the samplers could choose it after its
    /// log-probability is raised by `slack`.
    fn score(
        &mut self,
        _request: &TextRequest,
        _passage: &WrittenPassage,
        _slack: f64,
        _listener: &dyn Listener,
    ) -> Result<Option<PassageScore>, Failure> {
        let why = "This engine cannot compute the probabilities of a text that is already written; use a local model, or vLLM";
        Err(Failure::engine(why))
    }

    /// Prefills a prompt that may be requested soon. Errors are not reported here, but when the
    /// prompt is requested.
    fn prefetch(&mut self, _request: &TextRequest, _observer: &dyn Observer) {}

    /// Returns the KV cache and its tokens, or None if they cannot be saved.
    fn save_cache(&self) -> Option<WarmCache> {
        None
    }

    /// Restores a saved KV cache. A cache that does not match the model is ignored.
    fn restore_cache(&mut self, _warm: &WarmCache) {}

    /// Clears the KV cache.
    fn clear_cache(&mut self) {}

    /// Returns a source of further backends that use the same model in parallel. Returns None if
    /// this backend can handle only one request at a time. `most` is the maximum number of threads,
    /// and `limit` is the time limit of one request.
    fn replicas(&self, _most: usize, _limit: Duration) -> Option<Box<dyn Replicas>> {
        None
    }

    /// Returns the number of tokens of a text; see [`Capabilities::exact_token_counts`].
    fn count_tokens(&self, text: &str) -> Result<usize, Failure>;

    /// Returns where the story starts in the prompt, as a passage and a byte offset in that
    /// passage. Returns None if no part of the story was dropped to fit the model's context.
    fn context_start(&self, _request: &TextRequest) -> Result<Option<(NodeId, usize)>, Failure> {
        Ok(None)
    }
}

/// A source of backends that all use one model on a server, each on its own thread.
pub trait Replicas: Send + Sync {
    fn replica(&self) -> Box<dyn Backend + Send>;

    /// Closes the connections of all replicas, so that their requests fail immediately.
    fn shut_down(&self);
}

/// Writes the passages of a queue one after another.
pub fn one_by_one<B: Backend + ?Sized>(backend: &mut B, queue: &mut dyn Queue) {
    while let Some(turn) = queue.next(true) {
        (turn.end)(backend.write(&turn.request, turn.listener.as_ref()));
    }
}

/// Writes passages one after another, for a backend that cannot write several passages in parallel.
pub fn one_after_another<B: Backend + ?Sized>(
    backend: &mut B,
    requests: &[TextRequest],
    listener: &dyn Listener,
) -> Answer {
    let stopped = || Ok((Status::Stopped, PassageStats::default()));
    let Some((last, before)) = requests.split_last() else {
        return Ok((Status::Complete, PassageStats::default()));
    };
    for request in before {
        let (status, stats) = match listener.is_cancelled() {
            true => stopped()?,
            false => backend.write(request, listener)?,
        };
        let node = request.node;
        listener.tell(Event::Ended {
            node,
            status,
            stats,
        });
    }
    match listener.is_cancelled() {
        true => stopped(),
        false => backend.write(last, listener),
    }
}

//! The interface that every text engine implements and the worker calls.
//!
//! It is one level above logits: it takes a request, which contains everything that the answer
//! depends on, and returns pieces of text. A model in this process ([`super::local`]), a model
//! server ([`super::remote`]) and a script ([`super::scripted`]) implement it. [`super::text`] does
//! most of the work for a model that returns text. Neither the studio nor a front end knows which
//! backend answers.

use base::progress::{Cancelled, Observer, Unobserved};
use std::time::Duration;
use story::message::{
    Alternative, Capabilities, ContextReport, FailureKind, PassageScore, PassageStats, TextRequest,
    WarmCache, WrittenPassage,
};
use story::{Event, ModelInfo, NodeId, Status};

/// How a request ended.
pub type Answer = Result<(Status, PassageStats), Failure>;

/// Why a request failed.
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
    /// The server or the connection to it failed.
    Soon,
    /// The server is overloaded; `after` is the wait that it requests.
    Overloaded { after: Option<Duration> },
}

impl Failure {
    /// A failure that would occur again if the same request were retried.
    pub fn new(why: impl Into<String>, fault: FailureKind) -> Failure {
        let (why, retry) = (why.into(), Retry::Never);
        Failure { why, fault, retry }
    }

    /// A failure of the engine itself.
    pub fn engine(why: impl Into<String>) -> Failure {
        Failure::new(why, FailureKind::Engine)
    }
}

/// An observer that also receives the events of a request.
pub trait Listener: Observer {
    /// Sends an event. Returns false if nobody is listening any more.
    fn tell(&self, event: Event) -> bool;
}

impl Listener for Unobserved {
    fn tell(&self, _: Event) -> bool {
        true
    }
}

/// A listener that drops all events and progress, and is cancelled when the inner observer is.
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
    /// 1. [`Event::Prefill`] while the prompt is evaluated, at least once with `done == reused`: its
    ///    `cut` says what did not fit, and the studio reports it.
    /// 2. [`Event::Thought`] for each piece of the model's thoughts, if any.
    /// 3. [`Event::Piece`] for each piece of text, uncleaned (the outbox cleans it), with its token
    ///    ids if they are known; [`Event::Rewound`] before text that replaces a banned phrase; the
    ///    phrase itself is never sent.
    ///
    /// The prompt is `request.context`, and the passage starts with the tokens `request.begin`. It
    /// ends at the length goal, a stop string or the end of the model's turn, or when the listener
    /// is cancelled ([`Status::Stopped`]).
    fn write(&mut self, request: &TextRequest, listener: &dyn Listener) -> Answer;

    /// Writes a passage for each request. Each except the last ends with [`Event::Ended`]; returns
    /// how the last one ended.
    fn candidates(&mut self, requests: &[TextRequest], listener: &dyn Listener) -> Answer {
        one_after_another(self, requests, listener)
    }

    /// The most likely next tokens, before and after the samplers; None if stopped.
    fn alternatives(
        &mut self,
        _request: &TextRequest,
        _listener: &dyn Listener,
    ) -> Result<Option<Vec<Alternative>>, Failure> {
        let why = "This engine cannot list alternatives; use /gen for whole passages";
        Err(Failure::engine(why))
    }

    /// The context that the model would get for a passage, part by part.
    fn explain(&mut self, _request: &TextRequest) -> Result<ContextReport, Failure> {
        Err(Failure::engine("This engine cannot list its context"))
    }

    /// The perplexity of a text that follows another one; None if stopped.
    fn perplexity(
        &mut self,
        _before: &str,
        _text: &str,
        _observer: &dyn Observer,
    ) -> Result<Option<f64>, Failure> {
        let why = "This engine cannot measure perplexity; use a model on this machine";
        Err(Failure::engine(why))
    }

    /// How likely the model finds a passage that was written earlier in answer to `request`, token
    /// by token, in one pass; None if stopped. A token also counts as admissible if the samplers
    /// could choose it with a log-probability that is higher by `slack`.
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

    /// The KV cache and its tokens; None if they cannot be saved.
    fn save_cache(&self) -> Option<WarmCache> {
        None
    }

    /// Restores a saved KV cache; drops one that does not match the model.
    fn restore_cache(&mut self, _warm: &WarmCache) {}

    /// Clears the KV cache.
    fn clear_cache(&mut self) {}

    /// Returns a source of further backends that use the same model in parallel; None if this
    /// backend can only handle one request at a time. `most` is the maximum number of threads,
    /// `limit` the time limit of one request.
    fn replicas(&self, _most: usize, _limit: Duration) -> Option<Box<dyn Replicas>> {
        None
    }

    /// The number of tokens of a text; see [`Capabilities::exact_token_counts`].
    fn count_tokens(&self, text: &str) -> Result<usize, Failure>;

    /// Where the story starts in the prompt, if its beginning was dropped to fit the model's
    /// context: the passage, and the byte offset in that passage.
    fn context_start(&self, _request: &TextRequest) -> Result<Option<(NodeId, usize)>, Failure> {
        Ok(None)
    }
}

/// Creates backends for one model on a server, each for its own thread.
pub trait Replicas: Send + Sync {
    fn replica(&self) -> Box<dyn Backend + Send>;

    /// Closes the connections of all replicas, so that their requests fail at once.
    fn shut_down(&self);
}

/// Writes passages one after another, for a backend that cannot write them together.
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

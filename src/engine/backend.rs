//! The seam for engines: what the worker asks of anything that writes text.
//!
//! It lies one level above logits: a request that holds all that its answer depends on goes in,
//! pieces of text come out. A model in this process ([`super::local`]) and a script
//! ([`super::scripted`]) stand behind it; a server or a recording fits beside them, and neither
//! the studio nor a front end sees which of them answers.

use story::message::{
    Alternative, Capabilities, ContextReport, FailureKind, PassageStats, TextRequest, WarmCache,
};
use story::progress::{Cancelled, Observer, Unobserved};
use story::{Event, ModelInfo, NodeId, Status};

/// How a request ended.
pub type Answer = Result<(Status, PassageStats), Failure>;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// One plain sentence.
    pub why: String,
    pub fault: FailureKind,
}

impl Failure {
    /// A failure of the engine itself.
    pub fn engine(why: impl Into<String>) -> Failure {
        let why = why.into();
        let fault = FailureKind::Engine;
        Failure { why, fault }
    }
}

/// An observer that also takes a request's news.
pub trait Listener: Observer {
    /// False when nobody listens any more.
    fn tell(&self, event: Event) -> bool;
}

impl Listener for Unobserved {
    fn tell(&self, _: Event) -> bool {
        true
    }
}

/// Tells of nothing, and stops when the one within does.
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

/// Something that writes text. It lives on the worker's thread and never leaves it.
pub trait Backend {
    /// The loaded model, for the status line and for provenance.
    fn about(&self) -> &ModelInfo;

    fn capabilities(&self) -> Capabilities;

    /// Writes one passage: tells of the prompt that is read and of each piece of text.
    fn write(&mut self, request: &TextRequest, listener: &dyn Listener) -> Answer;

    /// Writes a passage for each request. All but the last are ended by [`Event::Ended`]; how the
    /// last one ended is returned.
    fn candidates(&mut self, requests: &[TextRequest], listener: &dyn Listener) -> Answer {
        one_after_another(self, requests, listener)
    }

    /// The likeliest next tokens, before and after the samplers; None when it was stopped.
    fn alternatives(
        &mut self,
        _request: &TextRequest,
        _listener: &dyn Listener,
    ) -> Result<Option<Vec<Alternative>>, Failure> {
        let why = "This engine cannot list other words; /gen writes whole passages";
        Err(Failure::engine(why))
    }

    /// What would be read for a passage, part by part.
    fn explain(&mut self, _request: &TextRequest) -> Result<ContextReport, Failure> {
        Err(Failure::engine("This engine does not tell what it reads"))
    }

    /// Reads a prompt that may be asked for soon. Whatever goes wrong shows when it is.
    fn prefetch(&mut self, _request: &TextRequest, _observer: &dyn Observer) {}

    /// The cache with the tokens that it holds; None where it cannot be kept.
    fn save_cache(&self) -> Option<WarmCache> {
        None
    }

    /// Puts a saved cache in place. One that does not fit is as good as none.
    fn restore_cache(&mut self, _warm: &WarmCache) {}

    /// Empties the cache.
    fn clear_cache(&mut self) {}

    /// Tokens of a text; see [`Capabilities::exact_token_counts`].
    fn count_tokens(&self, text: &str) -> Result<usize, Failure>;

    /// Where what is read begins, when the request's context does not fit whole.
    fn context_start(&self, _request: &TextRequest) -> Result<Option<(NodeId, usize)>, Failure> {
        Ok(None)
    }
}

/// Writes one passage after another, for a backend that cannot write them together.
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

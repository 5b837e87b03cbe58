//! The requests that the engine has not answered yet, each with the session that sent it.
//!
//! The engine answers requests in order. If the session that sent a request is no longer open, the
//! answer can change only the loaded model, which belongs to no session.

use super::Work;
use super::session::SessionId;
use story::message::TextRequest;
use story::{NodeId, Place, RequestId};

/// The pending requests, oldest first.
#[derive(Default)]
pub(super) struct Pending {
    requests: Vec<InFlight>,
    /// The prompt of the last prefetch, which may still be in progress; None after any other
    /// request.
    pub(super) read_ahead: Option<TextRequest>,
}

/// A request that has no answer yet.
pub(super) struct InFlight {
    pub(super) id: RequestId,
    pub(super) session: SessionId,
    pub(super) purpose: Purpose,
    /// The engine's activity for this request.
    pub(super) work: Work,
}

/// The purpose of a request, with the data that is needed to handle the answer.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// Loading a model. `model` is the name by which the model was requested.
    Load { model: String },
    /// Generating passages for the story.
    Passages(Vec<NodeId>),
    /// Drawing pictures for the story.
    Pictures(Illustration),
    /// Writing a short text for a command.
    Suggestion(Suggestion),
    /// Finding alternatives for the word at a place.
    Alternatives(Place),
    /// Saving the KV cache to disk. If `any_size` is true, the cache may exceed the size limit.
    SaveCache { any_size: bool },
    /// Restoring the KV cache from disk.
    RestoreCache,
    /// Answering a question. The answer is shown unchanged.
    Show,
    /// Prefetching a prompt that will probably be requested soon.
    ReadAhead,
}

/// The command for which the model writes a short text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Suggestion {
    /// A draft of the writer's next line, to be edited and sent.
    NextLine,
}

/// The place of the requested pictures in the story.
#[derive(Clone, Copy, Debug)]
pub(super) struct Illustration {
    /// The passage that the pictures illustrate.
    pub(super) parent: Option<NodeId>,
    /// The existing picture, if new versions of it are requested; None if new pictures are
    /// requested.
    pub(super) beside: Option<NodeId>,
}

static NOTHING: Work = Work::Nothing;

impl Pending {
    pub(super) fn add(&mut self, request: InFlight) {
        self.requests.push(request);
    }

    pub(super) fn get(&self, id: RequestId) -> Option<&InFlight> {
        self.requests.iter().find(|request| request.id == id)
    }

    /// Sets the engine's activity for a request.
    pub(super) fn works(&mut self, id: RequestId, work: Work) {
        let found = self.requests.iter_mut().find(|request| request.id == id);
        if let Some(request) = found {
            request.work = work;
        }
    }

    pub(super) fn purpose(&self, id: RequestId) -> Option<&Purpose> {
        self.get(id).map(|request| &request.purpose)
    }

    /// Whether the events of a pending request concern the given session.
    pub(super) fn concerns(&self, id: RequestId, session: SessionId) -> bool {
        self.get(id)
            .is_some_and(|request| request.concerns(session))
    }

    /// Removes an answered request. Returns the purpose of the request if the request concerns the
    /// given session.
    pub(super) fn end(&mut self, id: RequestId, session: SessionId) -> Option<Purpose> {
        let at = self.requests.iter().position(|request| request.id == id)?;
        let request = self.requests.remove(at);
        let concerns = request.concerns(session);
        concerns.then_some(request.purpose)
    }

    /// Removes all requests. This function is called when no answer can arrive any more.
    pub(super) fn clear(&mut self) {
        self.requests.clear();
        self.read_ahead = None;
    }

    /// The engine's current activity for this session, not counting a prefetch.
    pub(super) fn work(&self, session: SessionId) -> &Work {
        let mut awaited = self.requests.iter().filter(|it| it.is_awaited(session));
        awaited.next().map_or(&NOTHING, |request| &request.work)
    }

    /// Whether pictures for this session are being drawn.
    pub(super) fn draws(&self, session: SessionId) -> bool {
        let draws = |it: &InFlight| matches!(it.purpose, Purpose::Pictures(_));
        let mut own = self.requests.iter().filter(|it| it.session == session);
        own.any(draws)
    }

    /// The name of the last requested model; None if no model is being loaded.
    pub(super) fn requested_model(&self) -> Option<&str> {
        self.requests.iter().rev().find_map(|it| match &it.purpose {
            Purpose::Load { model } => Some(model.as_str()),
            _ => None,
        })
    }

    /// Assigns all pending model loads to the given session.
    pub(super) fn hand_over_models(&mut self, session: SessionId) {
        for request in &mut self.requests {
            if matches!(request.purpose, Purpose::Load { .. }) {
                request.session = session;
            }
        }
    }

    /// The id of the newest request that has not been answered yet.
    pub(super) fn newest(&self) -> Option<RequestId> {
        self.requests.last().map(|request| request.id)
    }
}

impl InFlight {
    /// Whether the writer is waiting for the answer: the request concerns the given session and is
    /// not a prefetch.
    fn is_awaited(&self, session: SessionId) -> bool {
        match self.purpose {
            Purpose::ReadAhead => false,
            _ => self.concerns(session),
        }
    }

    /// Whether the answer to this request concerns the given session. The loading of a model
    /// concerns every session.
    fn concerns(&self, session: SessionId) -> bool {
        self.session == session || matches!(self.purpose, Purpose::Load { .. })
    }
}

//! The requests that the engine has not answered yet, each bound to the session that asked.
//!
//! The engine answers requests in their order. An answer to a request of another session than the
//! one that is open changes nothing but what belongs to no session: the model in place.

use super::Work;
use super::pictures::Illustration;
use super::session::SessionId;
use story::message::TextRequest;
use story::{NodeId, Place, RequestId};

/// What the engine was asked for, oldest first.
#[derive(Default)]
pub(super) struct Pending {
    requests: Vec<InFlight>,
    /// The prompt that the engine reads in advance, or has read, if nothing was asked for since.
    pub(super) read_ahead: Option<TextRequest>,
}

/// A request without its answer.
pub(super) struct InFlight {
    pub(super) id: RequestId,
    pub(super) session: SessionId,
    pub(super) purpose: Purpose,
    /// What the engine does for it.
    pub(super) work: Work,
}

/// What a request is for, and all that its answer needs.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// A model, by the name that it was asked for.
    Load { model: String },
    /// Passages of the story.
    Passages(Vec<NodeId>),
    /// Pictures of the story.
    Pictures(Illustration),
    /// What could stand at a place.
    Alternatives(Place),
    /// The model's cache, for the disk; however large it is.
    SaveCache { any_size: bool },
    /// The model's cache, from the disk.
    RestoreCache,
    /// An answer that is shown as it comes.
    Show,
    /// A prompt that may be asked for soon.
    ReadAhead,
}

static NOTHING: Work = Work::Nothing;

impl Pending {
    pub(super) fn add(&mut self, request: InFlight) {
        self.requests.push(request);
    }

    pub(super) fn get(&self, id: RequestId) -> Option<&InFlight> {
        self.requests.iter().find(|request| request.id == id)
    }

    /// Takes note of what the engine does for a request.
    pub(super) fn works(&mut self, id: RequestId, work: Work) {
        let found = self.requests.iter_mut().find(|request| request.id == id);
        if let Some(request) = found {
            request.work = work;
        }
    }

    pub(super) fn purpose(&self, id: RequestId) -> Option<&Purpose> {
        self.get(id).map(|request| &request.purpose)
    }

    /// Whether news of a request means anything to this session.
    pub(super) fn concerns(&self, id: RequestId, session: SessionId) -> bool {
        self.get(id)
            .is_some_and(|request| request.concerns(session))
    }

    /// Takes a request out that has its answer. What it was for, where that means anything to this
    /// session.
    pub(super) fn end(&mut self, id: RequestId, session: SessionId) -> Option<Purpose> {
        let at = self.requests.iter().position(|request| request.id == id)?;
        let request = self.requests.remove(at);
        let concerns = request.concerns(session);
        concerns.then_some(request.purpose)
    }

    /// Nothing will be answered any more.
    pub(super) fn clear(&mut self) {
        self.requests.clear();
        self.read_ahead = None;
    }

    /// What the engine is at for this session. What is read in advance keeps nobody waiting.
    pub(super) fn work(&self, session: SessionId) -> &Work {
        let mut awaited = self.requests.iter().filter(|it| it.is_awaited(session));
        awaited.next().map_or(&NOTHING, |request| &request.work)
    }

    /// Whether pictures of this session are being drawn.
    pub(super) fn draws(&self, session: SessionId) -> bool {
        let draws = |it: &InFlight| matches!(it.purpose, Purpose::Pictures(_));
        let mut own = self.requests.iter().filter(|it| it.session == session);
        own.any(draws)
    }

    /// The model that was asked for last and is not in place yet.
    pub(super) fn requested_model(&self) -> Option<&str> {
        self.requests.iter().rev().find_map(|it| match &it.purpose {
            Purpose::Load { model } => Some(model.as_str()),
            _ => None,
        })
    }

    /// Models that are on their way are this session's from now on.
    pub(super) fn hand_over_models(&mut self, session: SessionId) {
        for request in &mut self.requests {
            if matches!(request.purpose, Purpose::Load { .. }) {
                request.session = session;
            }
        }
    }

    /// The request that was made last, while it waits for its answer.
    pub(super) fn newest(&self) -> Option<RequestId> {
        self.requests.last().map(|request| request.id)
    }
}

impl InFlight {
    /// Whether somebody who looks at this session waits for it.
    fn is_awaited(&self, session: SessionId) -> bool {
        match self.purpose {
            Purpose::ReadAhead => false,
            _ => self.concerns(session),
        }
    }

    /// Whether its answer means anything to this session.
    fn concerns(&self, session: SessionId) -> bool {
        self.session == session || matches!(self.purpose, Purpose::Load { .. })
    }
}

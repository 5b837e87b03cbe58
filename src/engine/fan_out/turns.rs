//! A replica of a server's backend for one engine. Its requests take turns with those of the other
//! engines.

use super::gate::Gate;
use crate::engine::backend::{Answer, Backend, Failure, Listener, Replicas};
use base::progress::{Cancelled, Observer, Unobserved};
use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use story::message::{
    Alternative, Capabilities, ContextReport, PassageScore, PassageStats, TextRequest,
    WrittenPassage,
};
use story::{Event, ModelInfo, NodeId, Status};

/// A model server. All requests to it pass through one gate.
pub(super) struct Server {
    pub(super) replicas: Box<dyn Replicas>,
    pub(super) gate: Gate,
}

/// Reports each warning once for all engines, since every replica would repeat it.
pub(super) struct Warnings {
    told: Mutex<HashSet<String>>,
    tell: Box<dyn Fn(&str) + Send + Sync>,
}

impl Warnings {
    pub(super) fn new(tell: impl Fn(&str) + Send + Sync + 'static) -> Warnings {
        Warnings {
            told: Mutex::default(),
            tell: Box::new(tell),
        }
    }

    pub(super) fn tell(&self, why: &str) {
        if locked(&self.told).insert(why.to_string()) {
            (self.tell)(why);
        }
    }
}

/// A replica whose requests wait for their turn.
pub(super) struct Turns {
    pub(super) server: Arc<Server>,
    pub(super) replica: Box<dyn Backend + Send>,
    pub(super) warnings: Arc<Warnings>,
}

impl Backend for Turns {
    fn about(&self) -> &ModelInfo {
        self.replica.about()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            // A prefetch would take the turn of a request.
            prefetch: false,
            ..self.replica.capabilities()
        }
    }

    fn write(&mut self, request: &TextRequest, listener: &dyn Listener) -> Answer {
        let Turns {
            server,
            replica,
            warnings,
        } = self;
        let sent = server.gate.send(listener, || {
            let held = Held {
                events: RefCell::default(),
                warnings: warnings.as_ref(),
                listener,
            };
            let answer = replica.write(request, &held)?;
            Ok((answer, held.events.into_inner()))
        });
        let Some(sent) = sent else {
            return Ok((Status::Stopped, PassageStats::default()));
        };
        let (answer, events) = sent?;
        for event in events {
            listener.tell(event);
        }
        Ok(answer)
    }

    fn alternatives(
        &mut self,
        request: &TextRequest,
        listener: &dyn Listener,
    ) -> Result<Option<Vec<Alternative>>, Failure> {
        let Turns {
            server, replica, ..
        } = self;
        let sent = server
            .gate
            .send(listener, || replica.alternatives(request, listener));
        sent.unwrap_or(Ok(None))
    }

    fn explain(&mut self, request: &TextRequest) -> Result<ContextReport, Failure> {
        let Turns {
            server, replica, ..
        } = self;
        let sent = server.gate.send(&Unobserved, || replica.explain(request));
        sent.unwrap_or_else(|| Err(Failure::engine("The request was cancelled")))
    }

    fn perplexity(
        &mut self,
        before: &str,
        text: &str,
        observer: &dyn Observer,
    ) -> Result<Option<f64>, Failure> {
        let Turns {
            server, replica, ..
        } = self;
        let sent = server
            .gate
            .send(observer, || replica.perplexity(before, text, observer));
        sent.unwrap_or(Ok(None))
    }

    fn score(
        &mut self,
        request: &TextRequest,
        passage: &WrittenPassage,
        slack: f64,
        listener: &dyn Listener,
    ) -> Result<Option<PassageScore>, Failure> {
        let Turns {
            server, replica, ..
        } = self;
        let sent = server.gate.send(listener, || {
            replica.score(request, passage, slack, listener)
        });
        sent.unwrap_or(Ok(None))
    }

    fn count_tokens(&self, text: &str) -> Result<usize, Failure> {
        self.replica.count_tokens(text)
    }

    fn context_start(&self, request: &TextRequest) -> Result<Option<(NodeId, usize)>, Failure> {
        self.replica.context_start(request)
    }
}

/// Holds back the events of a request until the request has succeeded, since a retry would repeat
/// them.
struct Held<'a> {
    events: RefCell<Vec<Event>>,
    warnings: &'a Warnings,
    listener: &'a dyn Listener,
}

impl Observer for Held<'_> {
    fn progress(&self, _: &str, _: u64, _: Option<u64>) {}

    fn check(&self) -> Result<(), Cancelled> {
        self.listener.check()
    }
}

impl Listener for Held<'_> {
    fn tell(&self, event: Event) -> bool {
        match event {
            Event::Warned(_) => {
                if let Event::Warned(why) = event.cleaned() {
                    self.warnings.tell(&why);
                }
            }
            event => self.events.borrow_mut().push(event),
        }
        true
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

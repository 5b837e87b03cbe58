//! Shares one loader among many engines, each on its own thread.
//!
//! A connection to a server is made only once. Each engine gets a replica of the server's backend,
//! and the requests of all replicas pass through one gate. A model that runs in this process is
//! loaded separately for each engine that requests it.

use super::dispatch::Dispatch;
use super::gate::Gate;
use super::{MOST, TICK};
use crate::engine::backend::{Answer, Backend, Failure, Listener, Replicas};
use crate::engine::load::{LoadError, Loader};
use base::progress::{Cancelled, Observer, Unobserved};
use imagegen::Illuminator;
use imagegen::upscaler::Upscaler;
use llm::sentence_encoder::SentenceEncoder;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;
use story::message::{
    Alternative, Capabilities, ContextReport, PassageScore, PassageStats, TextRequest,
    WrittenPassage,
};
use story::{Event, ModelInfo, NodeId, Status};

/// The limits for the requests to one server: how many may be in flight, how often each is retried,
/// and how long each may take.
#[derive(Clone, Copy, Debug)]
pub struct Pacing {
    /// The maximum number of requests in flight; None to adapt the number to the server.
    pub jobs: Option<usize>,
    /// The maximum number of retries of a failed request.
    pub retries: u32,
    /// The time limit of one request.
    pub limit: Duration,
    /// The seed for random waits before retries.
    pub entropy: u64,
}

/// A handle to a loader that several engines share.
pub struct SharedLoader<L>(Arc<Shared<L>>);

struct Shared<L> {
    loader: Mutex<L>,
    pacing: Pacing,
    /// The results of loading the models requested so far. The keys are the models' names. Models
    /// that run in this process are not included.
    known: Mutex<HashMap<String, Known>>,
    warnings: Arc<Warnings>,
}

#[derive(Clone)]
enum Known {
    Server(Arc<Server>),
    /// The model could not be loaded; the text is the reason.
    Missing(String),
}

struct Server {
    replicas: Box<dyn Replicas>,
    gate: Gate,
}

/// Reports each distinct warning only once, since every replica would repeat it.
struct Warnings {
    told: Mutex<HashSet<String>>,
    tell: Box<dyn Fn(&str) + Send + Sync>,
}

impl Warnings {
    fn tell(&self, why: &str) {
        if locked(&self.told).insert(why.to_string()) {
            (self.tell)(why);
        }
    }
}

impl<L> Clone for SharedLoader<L> {
    fn clone(&self) -> SharedLoader<L> {
        SharedLoader(self.0.clone())
    }
}

impl<L: Loader> SharedLoader<L> {
    /// Shares `loader`. `warn` is called once for each distinct warning about a server.
    pub fn new(
        loader: L,
        pacing: Pacing,
        warn: impl Fn(&str) + Send + Sync + 'static,
    ) -> SharedLoader<L> {
        SharedLoader(Arc::new(Shared {
            loader: Mutex::new(loader),
            pacing,
            known: Mutex::default(),
            warnings: Arc::new(Warnings {
                told: Mutex::default(),
                tell: Box::new(warn),
            }),
        }))
    }

    /// The number of retries so far, over all servers.
    pub fn retries(&self) -> u64 {
        self.servers().iter().map(|it| it.gate.retries()).sum()
    }

    /// Closes the connections to all servers, so that requests in flight fail immediately.
    pub fn shut_down(&self) {
        for server in self.servers() {
            server.replicas.shut_down();
        }
    }

    fn servers(&self) -> Vec<Arc<Server>> {
        let known = locked(&self.0.known);
        let server = |known: &Known| match known {
            Known::Server(server) => Some(server.clone()),
            Known::Missing(_) => None,
        };
        known.values().filter_map(server).collect()
    }

    /// Returns a backend for a model on a connected server, or the reason why the model could not
    /// be loaded. Returns None if the model has not been requested before or runs in this process.
    fn known(&self, model: &str) -> Option<Result<Box<dyn Backend>, LoadError>> {
        let known = locked(&self.0.known).get(model).cloned()?;
        Some(match known {
            Known::Server(server) => Ok(Box::new(Turns {
                replica: server.replicas.replica(),
                server,
                warnings: self.0.warnings.clone(),
            })),
            Known::Missing(why) => Err(LoadError::Failed(why)),
        })
    }

    /// Waits until no other engine uses the loader, and locks it.
    fn lock(&self, observer: &dyn Observer) -> Result<MutexGuard<'_, L>, LoadError> {
        loop {
            match self.0.loader.try_lock() {
                Ok(loader) => return Ok(loader),
                Err(TryLockError::Poisoned(loader)) => return Ok(loader.into_inner()),
                Err(TryLockError::WouldBlock) if observer.is_cancelled() => {
                    return Err(LoadError::Stopped);
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(TICK),
            }
        }
    }
}

impl<L: Loader> Loader for SharedLoader<L> {
    fn load(
        &mut self,
        model: &str,
        observer: &dyn Observer,
    ) -> Result<Box<dyn Backend>, LoadError> {
        if let Some(known) = self.known(model) {
            return known;
        }
        let mut loader = self.lock(observer)?;
        // Another engine may have loaded it meanwhile.
        if let Some(known) = self.known(model) {
            return known;
        }
        let pacing = self.0.pacing;
        let found = match loader.load(model, observer) {
            Ok(backend) => {
                let most = pacing.jobs.unwrap_or(MOST);
                let Some(replicas) = backend.replicas(most, pacing.limit) else {
                    return Ok(backend);
                };
                if let Some(why) = &backend.about().note {
                    self.0.warnings.tell(why);
                }
                let dispatch = Dispatch::new(pacing.jobs, pacing.retries, pacing.entropy);
                let gate = Gate::new(dispatch);
                Known::Server(Arc::new(Server { replicas, gate }))
            }
            Err(LoadError::Failed(why)) => Known::Missing(why),
            Err(LoadError::Stopped) => return Err(LoadError::Stopped),
        };
        drop(loader);
        locked(&self.0.known).insert(model.to_string(), found);
        let lost = || Err(LoadError::Failed("The model is not loaded".to_string()));
        self.known(model).unwrap_or_else(lost)
    }

    fn encoder(&mut self, observer: &dyn Observer) -> Result<SentenceEncoder, LoadError> {
        self.lock(observer)?.encoder(observer)
    }

    fn illuminator(&mut self, observer: &dyn Observer) -> Result<(Illuminator, String), LoadError> {
        self.lock(observer)?.illuminator(observer)
    }

    fn illuminator_and_encoder(
        &mut self,
        observer: &dyn Observer,
    ) -> Result<((Illuminator, String), SentenceEncoder), LoadError> {
        self.lock(observer)?.illuminator_and_encoder(observer)
    }

    fn upscaler(&mut self, observer: &dyn Observer) -> Result<Upscaler, LoadError> {
        self.lock(observer)?.upscaler(observer)
    }
}

/// A replica whose requests have to pass through the server's gate.
struct Turns {
    server: Arc<Server>,
    replica: Box<dyn Backend + Send>,
    warnings: Arc<Warnings>,
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

/// A listener that holds back the events of a request until the request has succeeded, since a
/// retry would repeat them.
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

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

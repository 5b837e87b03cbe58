//! Shares one loader among many engines, each on its own thread.
//!
//! A connection to a server is made only once. Each engine gets a replica of the server's backend,
//! and the requests of all replicas pass through one gate. A model that runs in this process is
//! loaded separately for each engine that requests it.

use super::dispatch::Dispatch;
use super::gate::Gate;
use super::resident::{self, Replicating, Resident, Seat, Started};
use super::turns::{Server, Turns, Warnings, locked};
use super::{MOST, TICK};
use crate::engine::backend::{Backend, Replicas};
use crate::engine::load::{LoadError, Loader};
use base::progress::Observer;
use imagegen::Illuminator;
use imagegen::upscaler::Upscaler;
use llm::sentence_encoder::SentenceEncoder;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError, Weak};
use std::time::Duration;

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
    /// Whether a model in this process is loaded once for all engines.
    pub resident: bool,
}

/// A handle to a loader that several engines share.
pub struct SharedLoader<L>(Arc<Shared<L>>);

struct Shared<L> {
    loader: Mutex<L>,
    pacing: Pacing,
    /// The results of loading the models requested so far. The keys are the models' names. Models
    /// that run in this process are not included.
    known: Mutex<HashMap<String, Known>>,
    /// Locked while a model is loaded for all engines.
    starting: Mutex<()>,
    warnings: Arc<Warnings>,
}

#[derive(Clone)]
enum Known {
    Server(Arc<Server>),
    /// A model in this process, which is unloaded when no engine uses it.
    Resident(Weak<Resident>),
    /// Why the model could not be loaded.
    Missing(String),
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
            starting: Mutex::default(),
            warnings: Arc::new(Warnings::new(warn)),
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
            Known::Resident(_) | Known::Missing(_) => None,
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
            Known::Resident(resident) => Ok(Box::new(Seat(resident.upgrade()?))),
            Known::Missing(why) => Err(LoadError::Failed(why)),
        })
    }

    /// Waits until no other engine uses the loader, and locks it.
    fn lock(&self, observer: &dyn Observer) -> Result<MutexGuard<'_, L>, LoadError> {
        wait_for(&self.0.loader, observer)
    }

    fn server(&self, replicas: Box<dyn Replicas>, note: Option<&str>) -> Known {
        if let Some(why) = note {
            self.0.warnings.tell(why);
        }
        let pacing = self.0.pacing;
        let dispatch = Dispatch::new(pacing.jobs, pacing.retries, pacing.entropy);
        let gate = Gate::new(dispatch);
        Known::Server(Arc::new(Server { replicas, gate }))
    }

    fn know(&self, model: &str, found: Known) -> Result<Box<dyn Backend>, LoadError> {
        locked(&self.0.known).insert(model.to_string(), found);
        let lost = || Err(LoadError::Failed("The model is not loaded".to_string()));
        self.known(model).unwrap_or_else(lost)
    }
}

impl<L: Loader + 'static> SharedLoader<L> {
    /// Loads a model for all engines.
    fn load_for_all(
        &self,
        model: &str,
        observer: &dyn Observer,
    ) -> Result<Box<dyn Backend>, LoadError> {
        let _starting = wait_for(&self.0.starting, observer)?;
        // Another engine may have loaded it meanwhile.
        if let Some(known) = self.known(model) {
            return known;
        }
        let (shared, name) = (self.clone(), model.to_string());
        let load = move |observer: &dyn Observer| shared.lock(observer)?.load(&name, observer);
        let pacing = self.0.pacing;
        let replicating = Replicating {
            most: pacing.jobs.unwrap_or(MOST),
            limit: pacing.limit,
        };
        match resident::start(load, replicating, observer) {
            Ok(Started::Server(replicas, note)) => {
                self.know(model, self.server(replicas, note.as_deref()))
            }
            Ok(Started::Here(resident)) => {
                let resident = Arc::new(resident);
                let known = Known::Resident(Arc::downgrade(&resident));
                locked(&self.0.known).insert(model.to_string(), known);
                Ok(Box::new(Seat(resident)))
            }
            Err(LoadError::Failed(why)) => self.know(model, Known::Missing(why)),
            Err(LoadError::Stopped) => Err(LoadError::Stopped),
        }
    }
}

/// Waits until no other engine holds a mutex, and locks it. Returns an error if cancelled.
fn wait_for<'a, T>(
    mutex: &'a Mutex<T>,
    observer: &dyn Observer,
) -> Result<MutexGuard<'a, T>, LoadError> {
    loop {
        match mutex.try_lock() {
            Ok(held) => return Ok(held),
            Err(TryLockError::Poisoned(held)) => return Ok(held.into_inner()),
            Err(TryLockError::WouldBlock) if observer.is_cancelled() => {
                return Err(LoadError::Stopped);
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(TICK),
        }
    }
}

impl<L: Loader + 'static> Loader for SharedLoader<L> {
    fn load(
        &mut self,
        model: &str,
        observer: &dyn Observer,
    ) -> Result<Box<dyn Backend>, LoadError> {
        if let Some(known) = self.known(model) {
            return known;
        }
        if self.0.pacing.resident {
            return self.load_for_all(model, observer);
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
                self.server(replicas, backend.about().note.as_deref())
            }
            Err(LoadError::Failed(why)) => Known::Missing(why),
            Err(LoadError::Stopped) => return Err(LoadError::Stopped),
        };
        drop(loader);
        self.know(model, found)
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

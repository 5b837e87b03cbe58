//! Writes passages for many independent cases. A model server receives many requests at the same
//! time; a local model writes one passage after another.
//!
//! The calling thread schedules requests (`dispatch.rs`, `limit.rs`) and receives all results; the
//! threads of the pool only wait for servers.

mod dispatch;
mod gate;
mod limit;
mod pool;
mod resident;
mod shared;
mod turns;

#[cfg(test)]
mod tests;

pub use dispatch::{Dispatch, Job, Next};
pub use limit::MOST;
pub use shared::{Pacing, SharedLoader};

use super::backend::{Backend, Failure, Replicas, Retry};
use super::load::{LoadError, Loader};
use super::{RequestId, Stop};
use base::progress::{Cancelled, Observer};
use pool::{Pool, Report};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};
use story::message::{FailureKind, PassageStats, TextRequest};
use story::{ModelInfo, Status};

/// The maximum time between two checks for a stop request.
const TICK: Duration = Duration::from_millis(30);
/// The run ends when this number of consecutive cases have failed because of the server or the
/// model.
const HOPELESS: u32 = 32;

/// The settings of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The maximum number of requests in flight. If None, the limit adapts to the server.
    pub jobs: Option<usize>,
    /// The maximum number of retries of a failed request.
    pub retries: u32,
    /// The time limit of one request.
    pub limit: Duration,
    /// The seed of the random waits before retries.
    pub entropy: u64,
    /// The model for cases that name no model. If this model cannot be loaded, the run ends.
    pub model: String,
}

/// A source of cases, which are identified by their indices.
pub trait Cases {
    /// Returns the index of the next case to send, or None if no cases are left.
    fn next(&mut self) -> Option<usize>;

    /// Returns the model and the request of a case, or a sentence that says why the case cannot be
    /// used.
    fn request(&mut self, case: usize) -> Result<(String, TextRequest), String>;
}

/// An event of a run.
pub enum News<'a> {
    /// A model is being downloaded or loaded, or its server is being contacted.
    Loading {
        what: &'a str,
        done: u64,
        total: Option<u64>,
    },
    Ready(&'a ModelInfo),
    Warned(&'a str),
    Ended(Ended),
    /// The number of requests in flight and the limit on that number, reported at short intervals.
    Pace {
        in_flight: usize,
        limit: usize,
    },
}

/// The result of one case.
#[derive(Clone, Debug)]
pub struct Ended {
    pub case: usize,
    pub model: String,
    pub seed: u64,
    /// The number of requests that were sent for the case.
    pub attempts: u32,
    /// The duration of the last request.
    pub took: Duration,
    pub passage: Result<Written, Failure>,
}

/// The text written for a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    pub text: String,
    pub status: Status,
    pub stats: PassageStats,
}

/// The reason why a run ended.
#[derive(Debug)]
pub enum End {
    /// Every case has a result.
    Complete,
    /// The run was stopped, or the function that receives the events returned false.
    Stopped,
    /// The model [`Plan::model`] cannot be loaded.
    NoModel(String),
    /// The run ended early because too many consecutive cases failed on account of the server or
    /// the model.
    Hopeless(String),
}

/// Runs all cases. The function `take` receives the events of the run; the run stops when `take`
/// returns false.
pub fn run(
    loader: &mut dyn Loader,
    plan: &Plan,
    cases: &mut dyn Cases,
    stop: &Stop,
    take: &mut dyn FnMut(News) -> bool,
) -> End {
    // The whole run has one request id, so that it can be stopped like a request.
    let id = RequestId(stop.0.submitted.fetch_add(1, Ordering::SeqCst) + 1);
    let dispatch = Dispatch::new(plan.jobs, plan.retries, plan.entropy);
    let mut run = Run {
        plan,
        stop,
        id,
        loader,
        pool: Pool::new(stop.clone(), id),
        dispatch,
        began: Instant::now(),
        names: HashMap::new(),
        models: Vec::new(),
        told: HashSet::new(),
        hopeless: 0,
        take: RefCell::new(take),
    };
    let end = run.until_over(cases);
    run.finish(end)
}

struct Run<'a> {
    plan: &'a Plan,
    stop: &'a Stop,
    id: RequestId,
    loader: &'a mut dyn Loader,
    pool: Pool,
    dispatch: Dispatch,
    began: Instant,
    /// The index of each model in `models`. The keys are the models' names.
    names: HashMap<String, usize>,
    models: Vec<Result<Model, Failure>>,
    told: HashSet<String>,
    /// How many of the most recent cases have failed in a row because of the server or the model.
    hopeless: u32,
    take: RefCell<&'a mut dyn FnMut(News) -> bool>,
}

struct Model {
    name: String,
    /// The backend; None for a local model that was unloaded to make room for another model.
    backend: Option<Box<dyn Backend>>,
    replicas: Option<Box<dyn Replicas>>,
}

impl Run<'_> {
    fn until_over(&mut self, cases: &mut dyn Cases) -> Result<(), End> {
        loop {
            if self.stop.reached(self.id) {
                return Err(End::Stopped);
            }
            let now = self.began.elapsed();
            match self.dispatch.next(now, &mut || cases.next()) {
                Next::Start(job) => self.start(job, cases)?,
                Next::Over => return Ok(()),
                Next::Wait(until) => {
                    let wait = until.map_or(TICK, |until| until.saturating_sub(now).min(TICK));
                    match self.pool.reports().recv_timeout(wait) {
                        Ok(report) => self.ended(report)?,
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => return Err(End::Stopped),
                    }
                    let (in_flight, limit) = (self.dispatch.in_flight(), self.dispatch.limit());
                    self.tell(News::Pace { in_flight, limit })?;
                }
            }
        }
    }

    fn tell(&self, news: News) -> Result<(), End> {
        match (self.take.borrow_mut())(news) {
            true => Ok(()),
            false => Err(End::Stopped),
        }
    }

    fn start(&mut self, job: Job, cases: &mut dyn Cases) -> Result<(), End> {
        let (name, request) = match cases.request(job.case) {
            Ok(request) => request,
            Err(why) => return self.refuse(job, 0, Failure::new(why, FailureKind::Request)),
        };
        let number = self.load(&name)?;
        let seed = request.seed;
        let sent = match &mut self.models[number] {
            Err(failure) => Err(failure.clone()),
            Ok(Model {
                replicas: Some(replicas),
                ..
            }) => self
                .pool
                .send(job, request, number, || replicas.replica())
                .map_err(|failure| Failure {
                    retry: Retry::Overloaded { after: None },
                    ..failure
                }),
            Ok(Model {
                backend: Some(backend),
                ..
            }) => {
                let report = pool::write(backend.as_mut(), job, &request, self.stop, self.id);
                let model = Some(number);
                return self.ended(Report { model, ..report });
            }
            Ok(Model { backend: None, .. }) => Err(Failure::engine("The model is not loaded")),
        };
        sent.or_else(|failure| self.refuse(job, seed, failure))
    }

    /// Ends a job whose request could not be sent.
    fn refuse(&mut self, job: Job, seed: u64, failure: Failure) -> Result<(), End> {
        self.ended(Report {
            thread: None,
            job,
            model: None,
            seed,
            text: String::new(),
            answer: Err(failure),
            warnings: Vec::new(),
            took: Duration::ZERO,
        })
    }

    fn ended(&mut self, report: Report) -> Result<(), End> {
        if let Some(thread) = report.thread {
            self.pool.is_idle(thread);
        }
        for why in report.warnings {
            if self.told.insert(why.clone()) {
                self.tell(News::Warned(&why))?;
            }
        }
        let passage = report.answer.map(|(status, stats)| Written {
            text: report.text,
            status,
            stats,
        });
        if matches!(&passage, Ok(written) if written.status == Status::Stopped) {
            return Ok(());
        }
        let failure = passage.as_ref().err().map(|failure| failure.retry);
        let over = self
            .dispatch
            .ended(self.began.elapsed(), report.job, failure);
        if !over {
            return Ok(());
        }
        let hopeless = match &passage {
            Err(failure) if failure.fault == FailureKind::Model => {
                self.hopeless += 1;
                (self.hopeless >= HOPELESS).then(|| failure.why.clone())
            }
            Err(_) => None,
            Ok(_) => {
                self.hopeless = 0;
                None
            }
        };
        let model = report.model.and_then(|number| self.models.get(number));
        let model = model.and_then(|model| model.as_ref().ok());
        let model = model.map_or(String::new(), |model| model.name.clone());
        self.tell(News::Ended(Ended {
            case: report.job.case,
            model,
            seed: report.seed,
            attempts: match report.model {
                Some(_) => report.job.attempt,
                None => 0,
            },
            took: report.took,
            passage,
        }))?;
        hopeless.map_or(Ok(()), |why| Err(End::Hopeless(why)))
    }

    /// Returns the index of a model in `models`. Loads the model first if necessary.
    fn load(&mut self, name: &str) -> Result<usize, End> {
        if let Some(number) = self.names.get(name) {
            let kept = match &self.models[*number] {
                Ok(model) => model.backend.is_some(),
                Err(_) => true,
            };
            if kept {
                return Ok(*number);
            }
        }
        // Only one local model is kept in memory.
        for model in self.models.iter_mut().flatten() {
            if model.replicas.is_none() {
                model.backend = None;
            }
        }
        let observer = Loading {
            stop: self.stop,
            id: self.id,
            take: &self.take,
        };
        let loaded = match self.loader.load(name, &observer) {
            Ok(backend) => {
                self.tell(News::Ready(backend.about()))?;
                let replicas = backend.replicas(self.dispatch.most(), self.plan.limit);
                Ok(Model {
                    name: backend.about().name.clone(),
                    backend: Some(backend),
                    replicas,
                })
            }
            Err(LoadError::Stopped) => return Err(End::Stopped),
            Err(LoadError::Failed(why)) if name == self.plan.model => {
                return Err(End::NoModel(why));
            }
            Err(LoadError::Failed(why)) => Err(Failure::new(why, FailureKind::Request)),
        };
        let number = *self.names.entry(name.to_string()).or_insert_with(|| {
            self.models.push(Err(Failure::engine("not loaded")));
            self.models.len() - 1
        });
        self.models[number] = loaded;
        Ok(number)
    }

    /// Ends the threads of the pool. If the run ended early, requests in flight are stopped.
    /// Answers that have arrived are still reported.
    fn finish(mut self, end: Result<(), End>) -> End {
        if end.is_err() {
            self.stop.stop();
            for model in self.models.iter().flatten() {
                if let Some(replicas) = &model.replicas {
                    replicas.shut_down();
                }
            }
        }
        let pool = std::mem::replace(&mut self.pool, Pool::new(self.stop.clone(), self.id));
        for mut report in pool.end() {
            report.thread = None;
            if report.answer.is_ok() && self.ended(report).is_err() {
                break;
            }
        }
        end.err().unwrap_or(End::Complete)
    }
}

/// Reports the progress of loading a model as events of the run.
struct Loading<'a, 'b> {
    stop: &'a Stop,
    id: RequestId,
    take: &'a RefCell<&'b mut dyn FnMut(News) -> bool>,
}

impl Observer for Loading<'_, '_> {
    fn progress(&self, what: &str, done: u64, total: Option<u64>) {
        (self.take.borrow_mut())(News::Loading { what, done, total });
    }

    fn check(&self) -> Result<(), Cancelled> {
        match self.stop.reached(self.id) {
            true => Err(Cancelled),
            false => Ok(()),
        }
    }
}

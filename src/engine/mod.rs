//! The worker thread: requests go in, events come out, nothing is shared but the stop mark.
//!
//! Models are made on the worker and never leave it. The engine knows no session, no disk but the
//! models', and no terminal. Every request is answered by exactly one `Done` or `Failed`; only what
//! is read in advance is not.

mod alternatives;
mod candidates;
mod draft;
mod encode;
mod fetching;
mod generate;
mod heal;
pub mod image_pipeline;
mod load;
mod loaded;
mod passage;
pub mod perplexity;
mod picture;
mod prompt;
mod recall;
mod speculate;
mod spelled;
mod suggest;

pub(crate) use candidates::candidates;
pub use encode::encode;
pub use generate::SLICE;
pub(crate) use generate::{read_ahead, text};
use image_pipeline::ImagePipeline;
pub use load::{LoadError, Loader, ModelLoader, NoModel, Place, read};
pub use loaded::Loaded;

use crate::model::encoder::SentenceEncoder;
use crate::story::message::{Fault, Stats, TextRequest, Warm};
use crate::story::{Event, Request, Status};
use recall::Recaller;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use suggest::{said, suggest};

/// A handle to the worker. Dropping it stops the work and waits for the thread.
pub struct Engine {
    requests: Option<mpsc::Sender<(u64, Request)>>,
    stop: Stop,
    worker: Option<JoinHandle<()>>,
}

/// Stops every request submitted so far. Both marks only count up, so there is nothing to reset
/// and nothing to race: a request that comes later is not touched.
#[derive(Clone, Default)]
pub struct Stop(Arc<Marks>);

#[derive(Default)]
struct Marks {
    submitted: AtomicU64,
    stopped: AtomicU64,
}

/// Why a request could not be answered.
pub(crate) struct Failure {
    pub why: String,
    pub fault: Fault,
}

impl Engine {
    /// Starts the worker; it waits for its first request.
    pub fn start(loader: impl Loader + 'static, events: mpsc::Sender<Event>) -> Engine {
        let (requests, inbox) = mpsc::channel();
        let stop = Stop::default();
        let worker = thread::spawn({
            let stop = stop.clone();
            move || work(loader, inbox, &events, &stop)
        });
        Engine {
            requests: Some(requests),
            stop,
            worker: Some(worker),
        }
    }

    pub fn submit(&self, request: Request) {
        let job = self.stop.0.submitted.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(requests) = &self.requests {
            // A worker that is gone is noticed where its events are read.
            let _ = requests.send((job, request));
        }
    }

    /// Something to hand to a signal handler.
    pub fn stopper(&self) -> Stop {
        self.stop.clone()
    }
}

impl Stop {
    pub fn stop(&self) {
        let submitted = self.0.submitted.load(Ordering::SeqCst);
        self.0.stopped.fetch_max(submitted, Ordering::SeqCst);
    }

    fn reached(&self, job: u64) -> bool {
        self.0.stopped.load(Ordering::SeqCst) >= job
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.stop();
        self.requests = None;
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

/// What the worker has in its hands.
struct Worker<'a, L> {
    loader: L,
    loaded: Option<Loaded>,
    /// Why there is no model, once loading has failed.
    why_not: Option<String>,
    /// What draws, once something was drawn.
    pipeline: Option<Rc<ImagePipeline>>,
    /// Read when it is first asked for.
    encoder: Option<Rc<SentenceEncoder>>,
    recaller: Option<Recaller>,
    events: &'a mpsc::Sender<Event>,
}

fn work<L: Loader>(
    loader: L,
    inbox: mpsc::Receiver<(u64, Request)>,
    events: &mpsc::Sender<Event>,
    stop: &Stop,
) {
    let mut worker = Worker {
        loader,
        loaded: None,
        why_not: None,
        pipeline: None,
        encoder: None,
        recaller: None,
        events,
    };
    for (job, request) in inbox {
        let node = match &request {
            Request::Load { .. }
            | Request::Alternatives(_)
            | Request::Suggest { .. }
            | Request::Explain(_)
            | Request::Read(_)
            | Request::Keep
            | Request::Warm(_) => None,
            Request::Text(text) => Some(text.node),
            Request::Picture(picture) => Some(picture.node),
            Request::Candidates(several) => several.last().map(|text| text.node),
        };
        let stopped = || stop.reached(job);
        if let Request::Read(text) = &request {
            worker.read_ahead(text, &stopped);
            continue;
        }
        let answer = catch_unwind(AssertUnwindSafe(|| worker.answer(request, &stopped)));
        let last = match answer {
            Ok(Ok((status, stats))) => Event::Done {
                node,
                status,
                stats,
            },
            Ok(Err(Failure { why, fault })) => Event::Failed { node, why, fault },
            Err(_) => worker.broke(node),
        };
        if events.send(last).is_err() {
            return;
        }
    }
}

/// Tells how far something is fetched or read.
fn loading(events: &mpsc::Sender<Event>) -> impl FnMut(&str, u64, Option<u64>) {
    move |what, done, total| {
        let what = what.to_string();
        let _ = events.send(Event::Loading { what, done, total });
    }
}

fn kept(loaded: &Loaded) -> Option<Warm> {
    let (ids, bytes) = loaded.save()?;
    let model_sha256 = loaded.about.sha256.clone();
    Some(Warm {
        model_sha256,
        ids,
        bytes,
    })
}

impl<L: Loader> Worker<'_, L> {
    fn answer(
        &mut self,
        request: Request,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(Status, Stats), Failure> {
        match request {
            Request::Load { model } => self.load(&model, stopped),
            _ if stopped() => Ok((Status::Stopped, Stats::default())),
            Request::Picture(picture) => self.picture(*picture, stopped),
            mut request => {
                self.recall(&mut request, stopped)?;
                let why_not = self.why_not.clone();
                let loaded = self.loaded.as_mut().ok_or_else(|| Failure {
                    why: why_not
                        .unwrap_or_else(|| "No model is loaded; /model NAME loads one".into()),
                    fault: Fault::Model,
                })?;
                let emit = |event| self.events.send(event).is_ok();
                match request {
                    Request::Text(text) => self::text(loaded, &text, &emit, stopped),
                    Request::Candidates(several) => candidates(loaded, &several, &emit, stopped),
                    Request::Alternatives(text) => {
                        alternatives::alternatives(loaded, &text, &emit, stopped)
                    }
                    Request::Suggest { ask, begun } => suggest(loaded, &ask, begun, &emit, stopped),
                    Request::Explain(text) => alternatives::explain(loaded, &text, &emit),
                    Request::Keep => {
                        emit(Event::Kept(kept(loaded)));
                        Ok((Status::Complete, Stats::default()))
                    }
                    Request::Warm(warm) => {
                        // What does not fit is as good as none: the story is read again.
                        if warm.model_sha256 == loaded.about.sha256 {
                            let _ = loaded.restore(&warm.ids, &warm.bytes);
                        }
                        Ok((Status::Complete, Stats::default()))
                    }
                    Request::Load { .. } | Request::Read(_) | Request::Picture(_) => {
                        Ok((Status::Complete, Stats::default()))
                    }
                }
            }
        }
    }

    /// Reads what may be asked for soon. Whatever goes wrong is told when it is asked for.
    fn read_ahead(&mut self, text: &TextRequest, stopped: &dyn Fn() -> bool) {
        let Some(loaded) = self.loaded.as_mut().filter(|_| !stopped()) else {
            return;
        };
        let read = AssertUnwindSafe(|| generate::read_ahead(loaded, text, stopped));
        if catch_unwind(read).is_err() {
            self.broke(None);
        }
    }

    /// Puts what is found by its meaning into the request. A passage is written all the same where
    /// that cannot be done.
    fn recall(&mut self, request: &mut Request, stopped: &dyn Fn() -> bool) -> Result<(), Failure> {
        let asked = match request {
            Request::Text(one)
            | Request::Alternatives(one)
            | Request::Explain(one)
            | Request::Suggest { ask: one, .. } => std::slice::from_mut(one),
            Request::Candidates(several) => several.as_mut_slice(),
            _ => return Ok(()),
        };
        let Some((first, others)) = asked.split_first_mut() else {
            return Ok(());
        };
        if first.recall.is_none() {
            return Ok(());
        }
        if self.recaller.is_none() {
            match self.encoder(stopped) {
                Ok(encoder) => self.recaller = Some(Recaller::new(encoder)),
                Err(LoadError::Stopped) => return Ok(()),
                Err(LoadError::Failed(why)) => {
                    let why = format!("Nothing is recalled: {why}; /set recall 0 asks for nothing");
                    let _ = self.events.send(Event::Warned(why));
                    first.recall = None;
                }
            }
        }
        if let (Some(loaded), Some(recaller)) = (&self.loaded, &mut self.recaller) {
            let found = recaller.recall(loaded, first, &mut || !stopped())?;
            let _ = self.events.send(Event::Recalled(found.unwrap_or_default()));
        }
        for other in others {
            other.context.clone_from(&first.context);
        }
        Ok(())
    }

    /// The sentence encoder, fetched and read when it is first asked for.
    fn encoder(&mut self, stopped: &dyn Fn() -> bool) -> Result<Rc<SentenceEncoder>, LoadError> {
        if let Some(encoder) = &self.encoder {
            return Ok(encoder.clone());
        }
        let mut progress = loading(self.events);
        let encoder = Rc::new(self.loader.encoder(&mut progress, stopped)?);
        self.encoder = Some(encoder.clone());
        Ok(encoder)
    }

    /// Puts another model in place; when that fails, the one before it stays.
    fn load(
        &mut self,
        model: &str,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(Status, Stats), Failure> {
        let mut progress = loading(self.events);
        match self.loader.load(model, &mut progress, stopped) {
            Ok(loaded) => {
                let _ = self.events.send(Event::Ready(loaded.about.clone()));
                self.loaded = Some(loaded);
                self.why_not = None;
                Ok((Status::Complete, Stats::default()))
            }
            Err(LoadError::Stopped) => Ok((Status::Stopped, Stats::default())),
            Err(LoadError::Failed(why)) => {
                if self.loaded.is_none() {
                    self.why_not = Some(why.clone());
                }
                let fault = Fault::Model;
                Err(Failure { why, fault })
            }
        }
    }

    /// After a panic inside a model its state cannot be trusted: the cache is forgotten.
    fn broke(&mut self, node: Option<crate::story::NodeId>) -> Event {
        if let Some(loaded) = &mut self.loaded {
            loaded.forget();
        }
        Event::Failed {
            node,
            why:
                "The model failed in a way that illumine did not expect; what was written is kept, \
                  /retry tries again"
                    .to_string(),
            fault: Fault::Engine,
        }
    }
}

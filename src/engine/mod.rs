//! The engine: requests go down to a worker thread, replies come up, nothing is shared but the
//! stop mark.
//!
//! Models are made on the worker and never leave it. The engine knows no session, no disk but the
//! models', and no terminal. Every request has an id, every reply carries the id of the request
//! that it answers, and the last reply to each is exactly one `Done` or `Failed`.

mod backend;
mod fetching;
pub mod image_pipeline;
mod load;
mod local;
pub mod perplexity;
mod picture;
mod recall;
pub mod scripted;
mod suggest;
pub mod trace;
mod worker;

pub use backend::{Answer, Backend, Failure, Listener};
pub use load::{LoadError, Loader, ModelLoader, NoModel, Place, read};
pub use local::{Loaded, SLICE, encode};

use crate::story::message::{Reply, RequestId};
use crate::story::progress::{Cancelled, Observer};
use crate::story::{Event, Request};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

/// A handle to the worker. Dropping it stops the work and waits for the thread.
pub struct Engine {
    requests: Option<mpsc::Sender<(RequestId, Request)>>,
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

impl Engine {
    /// Starts the worker; it waits for its first request.
    pub fn start(loader: impl Loader + 'static, replies: mpsc::Sender<Reply>) -> Engine {
        let (requests, inbox) = mpsc::channel();
        let stop = Stop::default();
        let worker = thread::spawn({
            let stop = stop.clone();
            move || worker::work(loader, inbox, &replies, &stop)
        });
        Engine {
            requests: Some(requests),
            stop,
            worker: Some(worker),
        }
    }

    /// Hands a request to the worker, which answers its requests in their order.
    pub fn submit(&self, request: Request) -> RequestId {
        let id = RequestId(self.stop.0.submitted.fetch_add(1, Ordering::SeqCst) + 1);
        if let Some(requests) = &self.requests {
            // A worker that is gone is noticed where its replies are read.
            let _ = requests.send((id, request));
        }
        id
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

    fn reached(&self, request: RequestId) -> bool {
        self.0.stopped.load(Ordering::SeqCst) >= request.0
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

/// Where one request's replies go, and where its stop mark is.
struct Outbox<'a> {
    request: RequestId,
    replies: &'a mpsc::Sender<Reply>,
    stop: &'a Stop,
    /// What `--log` tells of the request.
    trace: trace::RequestTrace,
}

impl Observer for Outbox<'_> {
    /// Work that a request waits for is a model, or another file, on its way.
    fn progress(&self, step: &str, done: u64, total: Option<u64>) {
        let what = step.to_string();
        self.tell(Event::Loading { what, done, total });
    }

    fn check(&self) -> Result<(), Cancelled> {
        match self.stop.reached(self.request) {
            true => Err(Cancelled),
            false => Ok(()),
        }
    }
}

<<<<<<< HEAD
impl Listener for Outbox<'_> {
    fn tell(&self, event: Event) -> bool {
        self.trace.event(&event);
        let request = self.request;
        self.replies.send(Reply { request, event }).is_ok()
=======
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
                    let why = format!(
                        "Retrieval is unavailable: {why}; turn it off with /set retrieve 0"
                    );
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
            why: "The model failed unexpectedly; the text so far is kept, and /retry tries again"
                .to_string(),
            fault: Fault::Engine,
        }
>>>>>>> 9c259bb (Plain words: a glossary, README, help, errors and notices in the field's terms)
    }
}

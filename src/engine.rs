//! The engine: a worker thread receives requests and sends replies. The only state that it shares
//! with other threads is the stop flag.
//!
//! Models are created on the worker and never leave it. The engine uses no sessions, no terminal,
//! and no files other than the models' files. Every request has an id, every reply carries the id
//! of the request that it answers, and each request ends with exactly one `Done` or `Failed`.

mod backend;
pub mod cassette;
pub mod echo;
pub mod fan_out;
pub mod image_pipeline;
mod length;
mod load;
mod local;
pub mod perplexity;
mod picture;
pub mod remote;
mod retrieval;
pub mod scripted;
mod suggest;
mod text;
pub mod trace;
mod worker;

pub use backend::{Answer, Backend, Failure, Listener, Replicas, Retry};
pub use load::{LoadError, Loader, ModelFile, ModelLoader, NoModel, Place, read};
pub use local::{Loaded, SLICE, encode};

use base::progress::{Cancelled, Observer};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use story::message::{Reply, RequestId};
use story::{Event, Request};

/// A handle to the worker thread. Dropping the handle stops the work and joins the thread.
pub struct Engine {
    requests: Option<mpsc::Sender<(RequestId, Request)>>,
    stop: Stop,
    worker: Option<JoinHandle<()>>,
}

/// Stops all requests submitted so far, but no later requests. There is one counter of submitted
/// requests and one of stopped requests. Both only increase, so nothing has to be reset and there
/// is no race.
#[derive(Clone, Default)]
pub struct Stop(Arc<Marks>);

#[derive(Default)]
struct Marks {
    submitted: AtomicU64,
    stopped: AtomicU64,
}

impl Engine {
    /// Starts the worker thread, which waits for its first request.
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

    /// Sends a request to the worker, which answers requests in order.
    pub fn submit(&self, request: Request) -> RequestId {
        let id = RequestId(self.stop.0.submitted.fetch_add(1, Ordering::SeqCst) + 1);
        if let Some(requests) = &self.requests {
            // If the worker is gone, the receiver of its replies notices.
            let _ = requests.send((id, request));
        }
        id
    }

    /// Returns a handle with which other threads, such as a signal handler, can stop requests.
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

/// The reply channel and the stop flag of one request.
struct Outbox<'a> {
    request: RequestId,
    replies: &'a mpsc::Sender<Reply>,
    stop: &'a Stop,
    /// The log of the request, for `--log`.
    trace: trace::RequestTrace,
}

impl Observer for Outbox<'_> {
    /// Reports the progress of downloading or loading a model or another file. All other progress
    /// is sent with `tell`.
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

impl Listener for Outbox<'_> {
    fn tell(&self, event: Event) -> bool {
        let event = event.cleaned();
        self.trace.event(&event);
        let request = self.request;
        self.replies.send(Reply { request, event }).is_ok()
    }
}

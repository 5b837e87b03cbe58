//! A model in this process that several engines use. The model stays on a thread of its own; the
//! engines send requests to it, and it writes as many of their passages together as it can.

use crate::engine::backend::{Answer, Backend, Failure, Listener, Queue, Replicas, Turn};
use crate::engine::load::LoadError;
use base::progress::{Cancelled, Observer, Unobserved};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use story::message::{
    Alternative, Capabilities, ContextReport, PassageScore, TextRequest, WrittenPassage,
};
use story::{Event, ModelInfo, NodeId};

/// The maximum time between two checks for a stop request.
const TICK: Duration = Duration::from_millis(20);

/// A model on its thread. When the last handle is dropped, the model is unloaded.
pub(super) struct Resident {
    tasks: Option<Mutex<Sender<Task>>>,
    thread: Option<JoinHandle<()>>,
    about: ModelInfo,
    capabilities: Capabilities,
}

/// A task for a model's thread.
enum Task {
    Write(Box<TextRequest>, Port, Sender<Answer>),
    Call(Call),
}

/// Work that a model's thread does while it is not writing passages.
type Call = Box<dyn FnOnce(&mut dyn Backend) + Send>;

/// A loaded model: either in this process, on a thread of its own, or on a server.
pub(super) enum Started {
    Here(Resident),
    /// The model is on a server: its replicas, and a remark about the connection.
    Server(Box<dyn Replicas>, Option<String>),
}

/// What a model's thread reports once the model has been loaded.
enum Loaded {
    Here(ModelInfo, Capabilities),
    Server(Box<dyn Replicas>, Option<String>),
}

/// The arguments for [`Backend::replicas`], which is called once the model has been loaded.
pub(super) struct Replicating {
    pub(super) most: usize,
    pub(super) limit: Duration,
}

/// Loads a model on a thread of its own.
pub(super) fn start(
    load: impl FnOnce(&dyn Observer) -> Result<Box<dyn Backend>, LoadError> + Send + 'static,
    Replicating { most, limit }: Replicating,
    observer: &dyn Observer,
) -> Result<Started, LoadError> {
    let (tasks, inbox) = channel();
    let (sender, loaded) = channel();
    let (port, hearing) = Port::open();
    let named = Builder::new().name("model".to_string());
    let thread = named.spawn(move || {
        let backend = match load(&port) {
            Ok(backend) => backend,
            Err(why) => {
                let _ = sender.send(Err(why));
                return;
            }
        };
        let found = match backend.replicas(most, limit) {
            Some(replicas) => Loaded::Server(replicas, backend.about().note.clone()),
            None => Loaded::Here(backend.about().clone(), backend.capabilities()),
        };
        let stays = matches!(found, Loaded::Here(..));
        // The port is closed only after the answer has been sent.
        let _ = sender.send(Ok(found));
        drop((port, sender));
        if stays {
            serve(backend, inbox);
        }
    });
    let thread = thread.map_err(|error| {
        LoadError::Failed(format!("Cannot start a thread for the model ({error})"))
    })?;
    hearing.relay(&Quietly(observer));
    let lost = || LoadError::Failed("The model failed unexpectedly while loading".to_string());
    match loaded.try_recv().map_err(|_| lost())?? {
        Loaded::Server(replicas, note) => Ok(Started::Server(replicas, note)),
        Loaded::Here(about, capabilities) => Ok(Started::Here(Resident {
            tasks: Some(Mutex::new(tasks)),
            thread: Some(thread),
            about,
            capabilities,
        })),
    }
}

/// Carries out tasks until all handles are gone.
fn serve(mut backend: Box<dyn Backend>, inbox: Receiver<Task>) {
    let mut line = Line { inbox, next: None };
    while let Some(task) = line.take() {
        let done = catch_unwind(AssertUnwindSafe(|| match task {
            Task::Call(call) => call(backend.as_mut()),
            Task::Write(..) => {
                line.next = Some(task);
                backend.write_queue(&mut line);
            }
        }));
        if done.is_err() {
            backend.clear_cache();
        }
    }
}

/// The queue of tasks for one model.
struct Line {
    inbox: Receiver<Task>,
    /// A task that was received, but not carried out yet.
    next: Option<Task>,
}

impl Line {
    fn take(&mut self) -> Option<Task> {
        self.next.take().or_else(|| self.inbox.recv().ok())
    }
}

impl Queue for Line {
    fn next(&mut self, wait: bool) -> Option<Turn> {
        let task = match (self.next.take(), wait) {
            (Some(task), _) => task,
            (None, true) => self.inbox.recv().ok()?,
            (None, false) => self.inbox.try_recv().ok()?,
        };
        match task {
            Task::Write(request, port, answers) => Some(Turn {
                request: *request,
                listener: Box::new(port),
                end: Box::new(move |answer| {
                    // The engine may be gone.
                    let _ = answers.send(answer);
                }),
            }),
            call => {
                self.next = Some(call);
                None
            }
        }
    }
}

/// What a model's thread says about a request.
enum Said {
    Event(Event),
    Progress(String, u64, Option<u64>),
}

/// The model thread's side of a request: it sends events, and checks whether the request was
/// cancelled.
struct Port {
    said: Sender<Said>,
    cancelled: Arc<AtomicBool>,
}

/// The engine thread's side of a request: it receives events, and can cancel the request.
struct Hearing {
    heard: Receiver<Said>,
    cancelled: Arc<AtomicBool>,
}

impl Port {
    fn open() -> (Port, Hearing) {
        let (said, heard) = channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let port = Port {
            said,
            cancelled: cancelled.clone(),
        };
        (port, Hearing { heard, cancelled })
    }
}

impl Observer for Port {
    fn progress(&self, step: &str, done: u64, total: Option<u64>) {
        let said = Said::Progress(step.to_string(), done, total);
        let _ = self.said.send(said);
    }

    fn check(&self) -> Result<(), Cancelled> {
        match self.cancelled.load(Ordering::SeqCst) {
            true => Err(Cancelled),
            false => Ok(()),
        }
    }
}

impl Listener for Port {
    fn tell(&self, event: Event) -> bool {
        self.said.send(Said::Event(event)).is_ok()
    }
}

impl Hearing {
    /// Passes on what the model's thread says, until the port is dropped.
    fn relay(&self, listener: &dyn Listener) {
        loop {
            if listener.is_cancelled() {
                self.cancelled.store(true, Ordering::SeqCst);
            }
            match self.heard.recv_timeout(TICK) {
                Ok(Said::Event(event)) => {
                    if !listener.tell(event) {
                        self.cancelled.store(true, Ordering::SeqCst);
                    }
                }
                Ok(Said::Progress(step, done, total)) => listener.progress(&step, done, total),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// A listener that passes on progress, and drops events.
struct Quietly<'a>(&'a dyn Observer);

impl Observer for Quietly<'_> {
    fn progress(&self, step: &str, done: u64, total: Option<u64>) {
        self.0.progress(step, done, total);
    }

    fn check(&self) -> Result<(), Cancelled> {
        self.0.check()
    }
}

impl Listener for Quietly<'_> {
    fn tell(&self, _: Event) -> bool {
        true
    }
}

impl Resident {
    fn send(&self, task: Task) {
        if let Some(tasks) = &self.tasks {
            let tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
            // If the thread is gone, the answer is missing, which is reported.
            let _ = tasks.send(task);
        }
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        self.tasks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A handle to a model, for one engine.
pub(super) struct Seat(pub(super) Arc<Resident>);

impl Seat {
    /// Lets the model's thread do some work while it is not writing passages, and returns the
    /// result.
    fn call<T: Send + 'static>(
        &self,
        listener: &dyn Listener,
        work: impl FnOnce(&mut dyn Backend, &Port) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (sender, results) = channel();
        let (port, hearing) = Port::open();
        self.0.send(Task::Call(Box::new(move |backend| {
            let _ = sender.send(work(backend, &port));
        })));
        hearing.relay(listener);
        results.try_recv().unwrap_or_else(|_| Err(broken()))
    }
}

fn broken() -> Failure {
    Failure::engine("The model failed unexpectedly; run the case alone with --batch 1")
}

impl Backend for Seat {
    fn about(&self) -> &ModelInfo {
        &self.0.about
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            // A prefetch would delay the passages of other engines.
            prefetch: false,
            ..self.0.capabilities
        }
    }

    fn write(&mut self, request: &TextRequest, listener: &dyn Listener) -> Answer {
        let (sender, answers) = channel();
        let (port, hearing) = Port::open();
        self.0
            .send(Task::Write(Box::new(request.clone()), port, sender));
        hearing.relay(listener);
        // The answer is sent before the port is dropped, or just after.
        answers.recv().unwrap_or_else(|_| Err(broken()))
    }

    fn candidates(&mut self, requests: &[TextRequest], listener: &dyn Listener) -> Answer {
        let requests = requests.to_vec();
        self.call(listener, move |backend, port| {
            backend.candidates(&requests, port)
        })
    }

    fn alternatives(
        &mut self,
        request: &TextRequest,
        listener: &dyn Listener,
    ) -> Result<Option<Vec<Alternative>>, Failure> {
        let request = request.clone();
        self.call(listener, move |backend, port| {
            backend.alternatives(&request, port)
        })
    }

    fn explain(&mut self, request: &TextRequest) -> Result<ContextReport, Failure> {
        let request = request.clone();
        self.call(&Unobserved, move |backend, _| backend.explain(&request))
    }

    fn perplexity(
        &mut self,
        before: &str,
        text: &str,
        observer: &dyn Observer,
    ) -> Result<Option<f64>, Failure> {
        let (before, text) = (before.to_string(), text.to_string());
        self.call(&Quietly(observer), move |backend, port| {
            backend.perplexity(&before, &text, port)
        })
    }

    fn score(
        &mut self,
        request: &TextRequest,
        passage: &WrittenPassage,
        slack: f64,
        listener: &dyn Listener,
    ) -> Result<Option<PassageScore>, Failure> {
        let (request, passage) = (request.clone(), passage.clone());
        self.call(listener, move |backend, port| {
            backend.score(&request, &passage, slack, port)
        })
    }

    fn count_tokens(&self, text: &str) -> Result<usize, Failure> {
        let text = text.to_string();
        self.call(&Unobserved, move |backend, _| backend.count_tokens(&text))
    }

    fn context_start(&self, request: &TextRequest) -> Result<Option<(NodeId, usize)>, Failure> {
        let request = request.clone();
        self.call(&Unobserved, move |backend, _| {
            backend.context_start(&request)
        })
    }
}

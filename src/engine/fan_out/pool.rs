//! The pool of threads of a run. Each thread sends one request at a time and waits for the answer.

use super::dispatch::Job;
use crate::engine::backend::{Answer, Backend, Failure, Listener};
use crate::engine::suggest::said;
use crate::engine::{RequestId, Stop};
use base::progress::{Cancelled, Observer};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use story::Event;
use story::message::TextRequest;

/// The stack size of a thread in bytes. It is small, since a thread only sends requests.
const STACK: usize = 1 << 20;

/// A request that a thread of the pool has to send.
pub(super) struct Task {
    pub job: Job,
    pub request: TextRequest,
    pub model: usize,
    /// A backend for the request's model. None if the thread still has the right backend from its
    /// last request.
    pub backend: Option<Box<dyn Backend + Send>>,
}

/// The outcome of a request.
pub(super) struct Report {
    /// The index of the thread that sent the request; None if the request ran on the calling
    /// thread.
    pub thread: Option<usize>,
    pub job: Job,
    /// The index of the model that received the request; None if the request was not sent.
    pub model: Option<usize>,
    pub seed: u64,
    pub text: String,
    pub answer: Answer,
    pub warnings: Vec<String>,
    pub took: Duration,
}

/// The threads of a run, and the channel on which they report.
pub(super) struct Pool {
    threads: Vec<Thread>,
    idle: Vec<usize>,
    reports: Receiver<Report>,
    sender: Sender<Report>,
    stop: (Stop, RequestId),
}

struct Thread {
    tasks: Sender<Task>,
    handle: JoinHandle<()>,
    /// The index of the model for which the thread has a backend.
    model: Option<usize>,
}

impl Pool {
    pub fn new(stop: Stop, id: RequestId) -> Pool {
        let (sender, reports) = channel();
        Pool {
            threads: Vec::new(),
            idle: Vec::new(),
            reports,
            sender,
            stop: (stop, id),
        }
    }

    pub fn reports(&self) -> &Receiver<Report> {
        &self.reports
    }

    /// Marks a thread as ready for its next request.
    pub fn is_idle(&mut self, thread: usize) {
        self.idle.push(thread);
    }

    /// Sends a request to an idle thread, or to a new thread if none is idle.
    pub fn send(
        &mut self,
        job: Job,
        request: TextRequest,
        model: usize,
        replica: impl FnOnce() -> Box<dyn Backend + Send>,
    ) -> Result<(), Failure> {
        let number = match self.idle.pop() {
            Some(number) => number,
            None => self.add()?,
        };
        let thread = &mut self.threads[number];
        let backend = (thread.model != Some(model)).then(replica);
        thread.model = Some(model);
        let task = Task {
            job,
            request,
            model,
            backend,
        };
        let gone = |_| Failure::engine("A thread of the pool ended unexpectedly; try again");
        thread.tasks.send(task).map_err(gone)
    }

    fn add(&mut self) -> Result<usize, Failure> {
        let number = self.threads.len();
        let (tasks, inbox) = channel();
        let (sender, (stop, id)) = (self.sender.clone(), self.stop.clone());
        let work = move || work(number, &inbox, &sender, &stop, id);
        let named = Builder::new().name("case".into()).stack_size(STACK);
        let handle = named.spawn(work).map_err(|error| {
            Failure::engine(format!(
                "Cannot start another thread ({error}); use a lower number with --jobs"
            ))
        })?;
        let model = None;
        self.threads.push(Thread {
            tasks,
            handle,
            model,
        });
        Ok(number)
    }

    /// Waits until all threads have ended. Returns the reports that have not been received yet.
    pub fn end(self) -> Vec<Report> {
        for thread in self.threads {
            drop(thread.tasks);
            // A join cannot fail, since each thread catches its backend's panics.
            let _ = thread.handle.join();
        }
        self.reports.try_iter().collect()
    }
}

fn work(
    number: usize,
    tasks: &Receiver<Task>,
    reports: &Sender<Report>,
    stop: &Stop,
    id: RequestId,
) {
    let mut current = None;
    for task in tasks {
        current = task.backend.or(current);
        let Some(backend) = &mut current else {
            return;
        };
        let report = write(backend.as_mut(), task.job, &task.request, stop, id);
        let (thread, model) = (Some(number), Some(task.model));
        let report = Report {
            thread,
            model,
            ..report
        };
        if reports.send(report).is_err() {
            return;
        }
    }
}

/// Writes the passage of one case on the current thread.
pub(super) fn write(
    backend: &mut dyn Backend,
    job: Job,
    request: &TextRequest,
    stop: &Stop,
    id: RequestId,
) -> Report {
    let began = Instant::now();
    let heard = Heard {
        warnings: RefCell::default(),
        stop,
        id,
    };
    let written = catch_unwind(AssertUnwindSafe(|| said(backend, request, &heard)));
    let (text, answer) = written.unwrap_or_else(|_| {
        backend.clear_cache();
        let why = "The model failed unexpectedly on this case; retry the case alone";
        (String::new(), Err(Failure::engine(why)))
    });
    Report {
        thread: None,
        job,
        model: None,
        seed: request.seed,
        text: base::untrusted::clean(&text).into_owned(),
        answer,
        warnings: heard.warnings.into_inner(),
        took: began.elapsed(),
    }
}

/// Collects the warnings of one request.
struct Heard<'a> {
    warnings: RefCell<Vec<String>>,
    stop: &'a Stop,
    id: RequestId,
}

impl Observer for Heard<'_> {
    fn progress(&self, _: &str, _: u64, _: Option<u64>) {}

    fn check(&self) -> Result<(), Cancelled> {
        match self.stop.reached(self.id) {
            true => Err(Cancelled),
            false => Ok(()),
        }
    }
}

impl Listener for Heard<'_> {
    fn tell(&self, event: Event) -> bool {
        if let Event::Warned(why) = event.cleaned() {
            self.warnings.borrow_mut().push(why);
        }
        true
    }
}

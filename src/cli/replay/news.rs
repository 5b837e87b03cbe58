//! What the threads of a run tell the main thread, and how it stops them.

use super::Exit;
use illumine::engine::Stop;
use illumine::studio::Work;
use replay::report::CaseReport;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A case that has ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) report: CaseReport,
    /// The exit code of the line that could not run.
    pub(super) fault: Option<Exit>,
}

/// Something that happened on a thread.
pub(super) enum News {
    Working(Work),
    Warned(String),
    /// A case has ended, with its number in the plan.
    Ended(usize, Box<Ran>),
    /// The main thread has waited for a while.
    Tick,
}

/// Stops all threads of a run.
#[derive(Clone, Default)]
pub(super) struct Halt(Arc<Marks>);

#[derive(Default)]
struct Marks {
    set: AtomicBool,
    stops: Mutex<Vec<Stop>>,
}

impl Halt {
    pub(super) fn is_set(&self) -> bool {
        self.0.set.load(Ordering::SeqCst)
    }

    /// Stops the requests in flight, and lets no case begin.
    pub(super) fn stop(&self) {
        self.0.set.store(true, Ordering::SeqCst);
        let stops = self.0.stops.lock().unwrap_or_else(PoisonError::into_inner);
        stops.iter().for_each(Stop::stop);
    }

    /// Adds the mark of one thread's engine.
    pub(super) fn add(&self, stop: Stop) {
        let mut stops = self.0.stops.lock().unwrap_or_else(PoisonError::into_inner);
        stops.push(stop);
    }
}

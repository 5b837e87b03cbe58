//! The messages that the threads of a run send to the main thread, and the flag that stops the
//! threads.

use super::Exit;
use illumine::engine::Stop;
use illumine::studio::Work;
use replay::report::CaseReport;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The report of a case that has ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) report: CaseReport,
    /// The exit code, if a line of the case could not run.
    pub(super) fault: Option<Exit>,
}

/// A message for the main thread.
pub(super) enum News {
    Working(Work),
    Warned(String),
    /// A case has ended. The number is the index of the case in the plan.
    Ended(usize, Box<Ran>),
    /// The main thread has waited for a while without receiving a message.
    Tick,
}

/// A flag that stops all threads of a run.
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

    /// Stops the requests in flight, and prevents further cases from starting.
    pub(super) fn stop(&self) {
        self.0.set.store(true, Ordering::SeqCst);
        let stops = self.0.stops.lock().unwrap_or_else(PoisonError::into_inner);
        stops.iter().for_each(Stop::stop);
    }

    /// Adds the stop flag of a thread's engine.
    pub(super) fn add(&self, stop: Stop) {
        let mut stops = self.0.stops.lock().unwrap_or_else(PoisonError::into_inner);
        stops.push(stop);
    }
}

//! Limits the requests that many threads send to one server: each request waits for its turn.
//!
//! `dispatch.rs` decides whose turn it is, and whether to retry a failed request.

use super::TICK;
use super::dispatch::{Dispatch, Job, Next};
use crate::engine::backend::{Failure, Retry};
use base::progress::Observer;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The gate that all requests to one server pass through. It limits how many of them are in flight.
pub(super) struct Gate {
    began: Instant,
    queue: Mutex<Queue>,
    changed: Condvar,
}

struct Queue {
    dispatch: Dispatch,
    /// The requests that have not been sent yet, in order of arrival.
    new: VecDeque<usize>,
    /// The requests whose turn has come, by number.
    due: HashMap<usize, Job>,
    /// The requests whose threads have stopped waiting.
    abandoned: HashSet<usize>,
    /// The number of requests that have arrived so far.
    arrived: usize,
    retries: u64,
}

impl Gate {
    pub(super) fn new(dispatch: Dispatch) -> Gate {
        Gate {
            began: Instant::now(),
            queue: Mutex::new(Queue {
                dispatch,
                new: VecDeque::new(),
                due: HashMap::new(),
                abandoned: HashSet::new(),
                arrived: 0,
                retries: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// The number of retries so far.
    pub(super) fn retries(&self) -> u64 {
        self.lock().retries
    }

    /// Sends a request when its turn comes, and retries it if a retry may help. Returns None if the
    /// request was cancelled while it waited.
    pub(super) fn send<T>(
        &self,
        observer: &dyn Observer,
        mut request: impl FnMut() -> Result<T, Failure>,
    ) -> Option<Result<T, Failure>> {
        let number = self.lock().arrive();
        loop {
            let mut sent = Sent {
                gate: self,
                job: Some(self.turn(number, observer)?),
            };
            let answer = request();
            if sent.ended(answer.as_ref().err().map(|failure| failure.retry)) {
                return Some(answer);
            }
        }
    }

    /// Waits until it is the request's turn. Returns None if the request was cancelled.
    fn turn(&self, number: usize, observer: &dyn Observer) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if queue.start(self.began.elapsed()) {
                self.changed.notify_all();
            }
            if let Some(job) = queue.due.remove(&number) {
                return Some(job);
            }
            if observer.is_cancelled() {
                queue.leave(number);
                return None;
            }
            let waited = self.changed.wait_timeout(queue, TICK);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn ended(&self, job: Job, failure: Option<Retry>) -> bool {
        let mut queue = self.lock();
        let over = queue.dispatch.ended(self.began.elapsed(), job, failure);
        queue.retries += u64::from(!over);
        self.changed.notify_all();
        over
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn arrive(&mut self) -> usize {
        let number = self.arrived;
        self.arrived += 1;
        self.new.push_back(number);
        number
    }

    /// Gives a turn to every request that may be sent now. Returns true if there was such a
    /// request.
    fn start(&mut self, now: Duration) -> bool {
        let mut any = false;
        loop {
            self.dispatch.expect_more();
            let new = &mut self.new;
            match self.dispatch.next(now, &mut || new.pop_front()) {
                Next::Start(job) if self.abandoned.remove(&job.case) => {
                    self.dispatch.ended(now, job, Some(Retry::Never));
                }
                Next::Start(job) => {
                    self.due.insert(job.case, job);
                    any = true;
                }
                Next::Wait(_) | Next::Over => return any,
            }
        }
    }

    /// Removes a request that is still waiting for its turn.
    fn leave(&mut self, number: usize) {
        let before = self.new.len();
        self.new.retain(|new| *new != number);
        if self.new.len() == before {
            // It waits for a retry, and its place in that queue cannot be removed.
            self.abandoned.insert(number);
        }
    }
}

/// A request in flight. If its thread panics, this value is dropped, and another request can be
/// sent.
struct Sent<'a> {
    gate: &'a Gate,
    job: Option<Job>,
}

impl Sent<'_> {
    /// Records how the request ended. Returns false if the request will be retried.
    fn ended(&mut self, failure: Option<Retry>) -> bool {
        match self.job.take() {
            Some(job) => self.gate.ended(job, failure),
            None => true,
        }
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        self.ended(Some(Retry::Never));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::progress::{Cancelled, Unobserved};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn gate(jobs: usize, retries: u32) -> Gate {
        Gate::new(Dispatch::new(Some(jobs), retries, 1))
    }

    #[test]
    fn no_more_requests_are_in_flight_than_the_limit_and_each_is_answered_once() {
        let gate = gate(3, 1);
        let (now, peak, answers) = (
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        std::thread::scope(|scope| {
            for number in 0..12 {
                let (gate, now, peak, answers) = (&gate, &now, &peak, &answers);
                scope.spawn(move || {
                    let mut times = 0;
                    let answer = gate.send(&Unobserved, || {
                        times += 1;
                        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(3));
                        now.fetch_sub(1, Ordering::SeqCst);
                        match (number, times) {
                            (5, 1) => Err(Failure {
                                retry: Retry::Soon,
                                ..Failure::engine("gone")
                            }),
                            (7, _) => Err(Failure::engine("wrong")),
                            _ => Ok(number),
                        }
                    });
                    assert_eq!(answer.unwrap().is_err(), number == 7);
                    assert_eq!(times, if number == 5 { 2 } else { 1 });
                    answers.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(answers.into_inner(), 12);
        assert_eq!((peak.into_inner(), gate.retries()), (3, 1));
    }

    /// An observer that cancels after the given number of checks.
    struct Impatient(AtomicUsize);

    impl Observer for Impatient {
        fn progress(&self, _: &str, _: u64, _: Option<u64>) {}

        fn check(&self) -> Result<(), Cancelled> {
            let left = self.0.load(Ordering::SeqCst);
            self.0.store(left.saturating_sub(1), Ordering::SeqCst);
            match left {
                0 => Err(Cancelled),
                _ => Ok(()),
            }
        }
    }

    #[test]
    fn a_cancelled_request_and_one_that_panics_give_up_their_places() {
        let gate = gate(1, 3);
        let busy = || -> Result<(), Failure> {
            let after = Some(Duration::from_secs(800));
            Err(Failure {
                retry: Retry::Overloaded { after },
                ..Failure::engine("busy")
            })
        };
        assert_eq!(gate.send(&Impatient(AtomicUsize::new(2)), busy), None);
        assert_eq!(gate.lock().dispatch.in_flight(), 0);
        let gate = self::gate(1, 0);
        let panics = || gate.send(&Unobserved, || -> Result<(), Failure> { panic!("a fault") });
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
        assert_eq!(gate.send(&Unobserved, || Ok(7)), Some(Ok(7)));
    }
}

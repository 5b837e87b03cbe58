//! Decides when to send each case and whether to retry a failed case.
//!
//! This module uses no threads and no clock. The caller passes the current time, so the module also
//! works in a simulation.

use super::limit::Limit;
use crate::engine::backend::Retry;
use base::hash::split_mix;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// The average wait before the first retry of a case. The wait doubles with each further retry.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The maximum wait before a retry that a server may request. If it requests a longer wait, the
/// case fails.
const MOST_PATIENT: Duration = Duration::from_secs(900);

/// The state of a run: the requests in flight and the cases that are waiting for a retry.
#[derive(Clone, Debug)]
pub struct Dispatch {
    limit: Limit,
    retries: u32,
    entropy: u64,
    in_flight: usize,
    /// The cases that are waiting for a retry. Each entry contains the time at which the retry is
    /// due, a number that breaks ties, the case, and the number of the attempt.
    waiting: BinaryHeap<Reverse<(Duration, u64, usize, u32)>>,
    /// The time at which requests to an overloaded server may resume.
    paused_until: Duration,
    /// Whether every case has been sent at least once.
    exhausted: bool,
    sent: u64,
}

/// One attempt to write a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    pub case: usize,
    /// The number of the attempt, counted from 1.
    pub attempt: u32,
    cuts: u32,
}

/// What the caller has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Start(Job),
    /// Wait for an answer. If a time is given, do not wait beyond that time.
    Wait(Option<Duration>),
    /// Every case has ended.
    Over,
}

impl Dispatch {
    /// Creates the state of a run. `jobs` is the maximum number of requests in flight. If `jobs` is
    /// None, the maximum adapts to the server.
    pub fn new(jobs: Option<usize>, retries: u32, entropy: u64) -> Dispatch {
        Dispatch {
            limit: Limit::new(jobs),
            retries,
            entropy,
            in_flight: 0,
            waiting: BinaryHeap::new(),
            paused_until: Duration::ZERO,
            exhausted: false,
            sent: 0,
        }
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub fn limit(&self) -> usize {
        self.limit.now()
    }

    /// The maximum number of requests that can ever be in flight.
    pub fn most(&self) -> usize {
        self.limit.most()
    }

    /// The number of requests sent so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Lets [`Dispatch::next`] ask for new cases again after `more` has returned None.
    pub fn expect_more(&mut self) {
        self.exhausted = false;
    }

    /// Decides what to do now; `more` returns the next new case.
    pub fn next(&mut self, now: Duration, more: &mut dyn FnMut() -> Option<usize>) -> Next {
        let first = self.waiting.peek().map(|Reverse((due, ..))| *due);
        if self.in_flight >= self.limit.now() {
            return Next::Wait(None);
        }
        if now < self.paused_until {
            return match self.is_over() {
                true => Next::Over,
                false => Next::Wait(Some(self.paused_until)),
            };
        }
        if first.is_some_and(|due| due <= now)
            && let Some(Reverse((_, _, case, attempt))) = self.waiting.pop()
        {
            return self.start(case, attempt);
        }
        // Cases waiting for a retry count too, so a server in trouble gets no new cases.
        let room = self.in_flight + self.waiting.len() < self.limit.now();
        if room && !self.exhausted {
            match more() {
                Some(case) => return self.start(case, 1),
                None => self.exhausted = true,
            }
        }
        match self.is_over() {
            true => Next::Over,
            false => Next::Wait(first),
        }
    }

    fn is_over(&self) -> bool {
        self.exhausted && self.in_flight == 0 && self.waiting.is_empty()
    }

    fn start(&mut self, case: usize, attempt: u32) -> Next {
        self.in_flight += 1;
        self.sent += 1;
        Next::Start(Job {
            case,
            attempt,
            cuts: self.limit.cuts(),
        })
    }

    /// Records that a job has succeeded or failed. Returns true if the case is finished, or false
    /// if the case will be retried.
    pub fn ended(&mut self, now: Duration, job: Job, failure: Option<Retry>) -> bool {
        let in_flight = self.in_flight;
        self.in_flight = in_flight.saturating_sub(1);
        let after = match failure {
            None => {
                self.limit.grow(in_flight);
                return true;
            }
            Some(Retry::Never) => return true,
            Some(Retry::Soon) => Duration::ZERO,
            Some(Retry::Overloaded { after }) => {
                self.limit.cut(job.cuts);
                after.unwrap_or_default()
            }
        };
        if after <= MOST_PATIENT {
            self.paused_until = self.paused_until.max(now + after);
        }
        if job.attempt > self.retries || after > MOST_PATIENT {
            return true;
        }
        let due = now + after + self.backoff(job.attempt);
        self.waiting
            .push(Reverse((due, self.sent, job.case, job.attempt + 1)));
        false
    }

    /// Returns a random wait before a retry, between 0.5 and 1.5 times the average. The wait is
    /// random so that cases that failed together are not all retried together.
    fn backoff(&self, attempt: u32) -> Duration {
        let usual = FIRST_WAIT * 2u32.saturating_pow(attempt - 1);
        let number = self.sent.wrapping_mul(31) + self.waiting.len() as u64;
        let random = (split_mix(self.entropy, number) >> 40) as f64 / (1u64 << 24) as f64;
        usual.min(LONGEST_WAIT).mul_f64(0.5 + random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;
    const BUSY: Option<Retry> = Some(Retry::Overloaded { after: None });

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Starts every case that may start at the time `now`.
    fn started(dispatch: &mut Dispatch, now: Duration, left: &mut usize) -> (Vec<Job>, Next) {
        let mut jobs = Vec::new();
        loop {
            let mut more = || {
                *left = left.checked_sub(1)?;
                Some(*left)
            };
            match dispatch.next(now, &mut more) {
                Next::Start(job) => jobs.push(job),
                other => return (jobs, other),
            }
        }
    }

    #[test]
    fn every_case_ends_once_whatever_fails() {
        let mut dispatch = Dispatch::new(Some(7), 2, 1);
        let (mut left, mut now, mut ends) = (100, NOW, vec![0; 100]);
        for round in 0.. {
            let (jobs, next) = started(&mut dispatch, now, &mut left);
            assert!(jobs.len() <= 7);
            for (at, job) in jobs.into_iter().enumerate() {
                let failure = match (at + round) % 5 {
                    0 => BUSY,
                    1 => Some(Retry::Soon),
                    2 => Some(Retry::Never),
                    _ => None,
                };
                assert!(job.attempt <= 3);
                ends[job.case] += usize::from(dispatch.ended(now, job, failure));
            }
            now += seconds(1);
            if next == Next::Over {
                break;
            }
        }
        assert!(ends.iter().all(|ends| *ends == 1), "{ends:?}");
    }

    #[test]
    fn no_retry_means_one_request() {
        let mut dispatch = Dispatch::new(Some(1), 0, 1);
        let (jobs, _) = started(&mut dispatch, NOW, &mut 1);
        assert!(dispatch.ended(NOW, jobs[0], BUSY));
        assert_eq!(started(&mut dispatch, NOW, &mut 0).1, Next::Over);
    }

    #[test]
    fn a_server_that_says_when_is_left_alone_until_then() {
        let mut dispatch = Dispatch::new(Some(2), 3, 1);
        let mut left = 5;
        let (jobs, _) = started(&mut dispatch, NOW, &mut left);
        let after = Some(seconds(30));
        assert!(!dispatch.ended(NOW, jobs[0], Some(Retry::Overloaded { after })));
        assert!(dispatch.ended(NOW, jobs[1], None));
        let (none, next) = started(&mut dispatch, seconds(29), &mut left);
        assert_eq!((none, next), (vec![], Next::Wait(Some(seconds(30)))));
        let (again, _) = started(&mut dispatch, seconds(32), &mut left);
        assert_eq!((again[0].case, again[0].attempt), (jobs[0].case, 2));
        let after = Some(seconds(3600));
        assert!(dispatch.ended(seconds(32), again[0], Some(Retry::Overloaded { after })));
    }

    #[test]
    fn a_server_in_trouble_gets_no_new_cases() {
        let mut dispatch = Dispatch::new(Some(4), 3, 1);
        let mut left = 100;
        let (jobs, _) = started(&mut dispatch, NOW, &mut left);
        for job in jobs {
            dispatch.ended(NOW, job, Some(Retry::Soon));
        }
        assert!(started(&mut dispatch, NOW, &mut left).0.is_empty());
        assert_eq!(left, 96);
        let waits: Vec<Duration> = dispatch.waiting.iter().map(|it| it.0.0).collect();
        let (low, high) = (Duration::from_millis(500), Duration::from_millis(1500));
        assert!(waits.iter().all(|wait| (low..high).contains(wait)));
        assert!(waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
    }
}

//! Simulates a million cases on a cluster, for docs/cluster.md: `cargo run --example cluster`.
//!
//! Each client runs the dispatcher of `illumine write --each` in simulated time. The replicas and
//! the router are simulated too. A step of a replica takes `STEP.0 + STEP.1 × batch` seconds. These
//! constants are fitted to measurements of vLLM on two CPU cores: 1.9 requests per second with one
//! request at a time, and 8.3 with 16 requests in flight, each for 8 tokens. If the queue of the
//! router is full, the router answers 408, as vllm-router does. `speed` is how many times faster a
//! GPU is assumed to be.

#![allow(clippy::print_stdout, reason = "it prints a table")]

use base::hash::split_mix;
use illumine::engine::Retry;
use illumine::engine::fan_out::{Dispatch, Job, Next};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

const CASES: usize = 1_000_000;
const GPUS: usize = 64;
/// The duration of a step of a replica, in seconds: a constant part, and a part that is added for
/// each sequence in the batch.
const STEP: (f64, f64) = (0.0541, 0.0117);
/// The maximum number of sequences that a replica processes at a time: the default of vLLM's option
/// `--max-num-seqs`.
const SLOTS: usize = 256;
/// The maximum number of requests in the router's queue.
const QUEUE: usize = 100;
/// The maximum time that a request waits in the router's queue, in seconds.
const QUEUE_TIME: f64 = 60.0;
/// The average number of tokens per text. The length of each text differs from the average by up to
/// half.
const TOKENS: f64 = 128.0;

/// The kind of failure that is simulated.
#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    None,
    /// A client is killed and restarts five minutes later.
    LostClient,
    /// Three quarters of the GPUs fail for two minutes.
    LostGpus,
}

/// The policy by which a client decides when to send its requests.
#[derive(Clone, Copy, PartialEq)]
enum Policy {
    /// The policy of illumine. The number is an optional limit on the requests in flight.
    Dispatch(Option<usize>),
    /// A policy with a fixed number of requests in flight. A failed request is resent immediately,
    /// up to three times.
    Plain(usize),
}

enum Client {
    Adaptive(Dispatch),
    Plain {
        jobs: usize,
        in_flight: usize,
        again: Vec<(usize, u32)>,
    },
}

#[derive(Clone, Copy)]
struct Sent {
    client: usize,
    /// The number of times that the client had been killed before it sent this request.
    life: u32,
    case: usize,
    attempt: u32,
    job: Option<Job>,
    queued: f64,
}

enum What {
    /// A replica finishes a request. `life` is how many times the replica had failed when the
    /// request started. If the replica has failed again since then, the event is ignored.
    Ends {
        sent: Sent,
        gpu: usize,
        life: u32,
    },
    Refused {
        sent: Sent,
    },
    Wake {
        client: usize,
    },
    QueueTimes,
    Trouble,
    Recovery,
}

/// An event with its time in microseconds and a serial number. Events are ordered by time, and then
/// by serial number.
struct At(u64, u64, What);

impl PartialEq for At {
    fn eq(&self, other: &At) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for At {}
impl PartialOrd for At {
    fn partial_cmp(&self, other: &At) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for At {
    fn cmp(&self, other: &At) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

struct Simulation {
    speed: f64,
    now: f64,
    number: u64,
    events: BinaryHeap<Reverse<At>>,
    clients: Vec<Client>,
    lives: Vec<u32>,
    /// For each client, the cases that it has not started yet.
    left: Vec<VecDeque<usize>>,
    /// For each client, its cases in flight. If the client is killed, these cases are sent again.
    open: Vec<std::collections::HashSet<usize>>,
    busy: Vec<usize>,
    gpu_lives: Vec<u32>,
    alive: Vec<bool>,
    queue: VecDeque<Sent>,
    done: Vec<bool>,
    written: usize,
    failed: usize,
    sent: u64,
    refused: u64,
    twice: u64,
    /// For each second, the number of requests sent in that second.
    rate: Vec<u32>,
    down: bool,
    /// The time at which the last case ended.
    last: f64,
}

impl Simulation {
    fn new(clients: usize, policy: Policy, speed: f64) -> Simulation {
        let mut left = vec![VecDeque::new(); clients];
        for case in 0..CASES {
            left[split_mix(1, case as u64) as usize % clients].push_back(case);
        }
        let client = |at: usize| match policy {
            Policy::Dispatch(jobs) => Client::Adaptive(Dispatch::new(jobs, 3, at as u64)),
            Policy::Plain(jobs) => Client::Plain {
                jobs,
                in_flight: 0,
                again: Vec::new(),
            },
        };
        Simulation {
            speed,
            now: 0.0,
            number: 0,
            events: BinaryHeap::new(),
            clients: (0..clients).map(client).collect(),
            lives: vec![0; clients],
            left,
            open: vec![Default::default(); clients],
            busy: vec![0; GPUS],
            gpu_lives: vec![0; GPUS],
            alive: vec![true; GPUS],
            queue: VecDeque::new(),
            done: vec![false; CASES],
            written: 0,
            failed: 0,
            sent: 0,
            refused: 0,
            twice: 0,
            rate: Vec::new(),
            down: false,
            last: 0.0,
        }
    }

    fn at(&mut self, time: f64, what: What) {
        self.number += 1;
        self.events
            .push(Reverse(At((time * 1e6) as u64, self.number, what)));
    }

    fn run(&mut self, trouble: Trouble) {
        for client in 0..self.clients.len() {
            self.pump(client);
        }
        if trouble != Trouble::None {
            self.at(100.0, What::Trouble);
        }
        self.at(1.0, What::QueueTimes);
        while let Some(Reverse(At(time, _, what))) = self.events.pop() {
            self.now = time as f64 / 1e6;
            match what {
                What::Ends { sent, gpu, life } if life == self.gpu_lives[gpu] => {
                    self.busy[gpu] -= 1;
                    self.answer(sent, None);
                    self.serve_queued();
                }
                What::Ends { .. } => {}
                What::Refused { sent } => self.answer(sent, overloaded()),
                What::Wake { client } => self.pump(client),
                What::QueueTimes => {
                    while self
                        .queue
                        .front()
                        .is_some_and(|it| self.now - it.queued > QUEUE_TIME)
                    {
                        let late = self.queue.pop_front();
                        self.refused += 1;
                        late.into_iter()
                            .for_each(|sent| self.answer(sent, overloaded()));
                    }
                    if self.written + self.failed < CASES {
                        self.at(self.now + 1.0, What::QueueTimes);
                    }
                }
                What::Trouble => self.trouble(trouble),
                What::Recovery => self.recover(trouble),
            }
        }
    }

    /// Sends all requests that a client may send now.
    fn pump(&mut self, client: usize) {
        if self.down && client == 0 {
            return;
        }
        let now = Duration::from_secs_f64(self.now);
        loop {
            let left = &mut self.left[client];
            let (case, attempt, job) = match &mut self.clients[client] {
                Client::Adaptive(dispatch) => match dispatch.next(now, &mut || left.pop_front()) {
                    Next::Start(job) => (job.case, job.attempt, Some(job)),
                    Next::Wait(Some(until)) => {
                        let until = until.as_secs_f64().max(self.now + 1e-3);
                        return self.at(until, What::Wake { client });
                    }
                    Next::Wait(None) | Next::Over => return,
                },
                Client::Plain {
                    jobs,
                    in_flight,
                    again,
                } => {
                    if in_flight >= jobs {
                        return;
                    }
                    let next = again
                        .pop()
                        .or_else(|| left.pop_front().map(|case| (case, 1)));
                    let Some((case, attempt)) = next else { return };
                    *in_flight += 1;
                    (case, attempt, None)
                }
            };
            self.open[client].insert(case);
            let (life, queued) = (self.lives[client], self.now);
            self.route(Sent {
                client,
                life,
                case,
                attempt,
                job,
                queued,
            });
        }
    }

    fn route(&mut self, sent: Sent) {
        self.sent += 1;
        let second = self.now as usize;
        if self.rate.len() <= second {
            self.rate.resize(second + 1, 0);
        }
        self.rate[second] += 1;
        let free = (0..GPUS).filter(|gpu| self.alive[*gpu] && self.busy[*gpu] < SLOTS);
        match free.min_by_key(|gpu| self.busy[*gpu]) {
            Some(gpu) => self.serve(sent, gpu),
            None if self.queue.len() < QUEUE => self.queue.push_back(sent),
            None => {
                self.refused += 1;
                self.later(sent);
            }
        }
    }

    /// Schedules a refusal of the request, which reaches the client 5 milliseconds later.
    fn later(&mut self, sent: Sent) {
        self.at(self.now + 0.005, What::Refused { sent });
    }

    fn serve(&mut self, sent: Sent, gpu: usize) {
        self.busy[gpu] += 1;
        let share = split_mix(2, sent.case as u64) as f64 / u64::MAX as f64;
        let tokens = TOKENS * (0.5 + share);
        let step = (STEP.0 + STEP.1 * self.busy[gpu] as f64) / self.speed;
        let life = self.gpu_lives[gpu];
        self.at(self.now + tokens * step, What::Ends { sent, gpu, life });
    }

    fn serve_queued(&mut self) {
        let free = |gpu: &usize| self.alive[*gpu] && self.busy[*gpu] < SLOTS;
        if let Some(gpu) = (0..GPUS).find(free)
            && let Some(sent) = self.queue.pop_front()
        {
            self.serve(sent, gpu);
        }
    }

    /// Delivers an answer to the client that sent the request.
    fn answer(&mut self, sent: Sent, failure: Option<Retry>) {
        if sent.life != self.lives[sent.client] {
            return;
        }
        let now = Duration::from_secs_f64(self.now);
        let over = match (&mut self.clients[sent.client], sent.job) {
            (Client::Adaptive(dispatch), Some(job)) => dispatch.ended(now, job, failure),
            (Client::Adaptive(_), None) => true,
            (
                Client::Plain {
                    in_flight, again, ..
                },
                _,
            ) => {
                *in_flight -= 1;
                let over = failure.is_none() || sent.attempt > 3;
                if !over {
                    again.push((sent.case, sent.attempt + 1));
                }
                over
            }
        };
        if over {
            self.last = self.now;
            self.open[sent.client].remove(&sent.case);
            self.twice += u64::from(std::mem::replace(&mut self.done[sent.case], true));
            match failure {
                None => self.written += 1,
                Some(_) => self.failed += 1,
            }
        }
        self.pump(sent.client);
    }

    fn trouble(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::None => {}
            Trouble::LostClient => {
                self.down = true;
                self.lives[0] += 1;
                self.at(self.now + 300.0, What::Recovery);
            }
            Trouble::LostGpus => {
                let mut lost = Vec::new();
                for gpu in 0..GPUS * 3 / 4 {
                    self.alive[gpu] = false;
                    self.gpu_lives[gpu] += 1;
                    self.busy[gpu] = 0;
                }
                let events = std::mem::take(&mut self.events);
                for Reverse(At(time, number, what)) in events {
                    match what {
                        What::Ends { sent, gpu, life } if life != self.gpu_lives[gpu] => {
                            lost.push(sent);
                        }
                        what => self.events.push(Reverse(At(time, number, what))),
                    }
                }
                for sent in lost {
                    self.answer(sent, Some(Retry::Soon));
                }
                self.at(self.now + 120.0, What::Recovery);
            }
        }
    }

    fn recover(&mut self, trouble: Trouble) {
        if trouble == Trouble::LostClient {
            // The client resumes from its results and resends the cases that were in flight.
            self.down = false;
            let open = std::mem::take(&mut self.open[0]);
            self.left[0].extend(open);
            self.clients[0] = Client::Adaptive(Dispatch::new(None, 3, 99));
            self.pump(0);
        } else {
            self.alive.fill(true);
            for _ in 0..QUEUE {
                self.serve_queued();
            }
            for client in 0..self.clients.len() {
                self.pump(client);
            }
        }
    }
}

fn overloaded() -> Option<Retry> {
    Some(Retry::Overloaded { after: None })
}

fn main() {
    println!(
        "| plan | minutes | cases/s | requests per case | refused | most requests/s | failed | lost or doubled |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let rows = [
        (
            "16 clients, adaptive",
            16,
            Policy::Dispatch(None),
            1.0,
            Trouble::None,
        ),
        (
            "16 clients, adaptive",
            16,
            Policy::Dispatch(None),
            50.0,
            Trouble::None,
        ),
        (
            "64 clients, adaptive",
            64,
            Policy::Dispatch(None),
            50.0,
            Trouble::None,
        ),
        (
            "128 clients, adaptive",
            128,
            Policy::Dispatch(None),
            50.0,
            Trouble::None,
        ),
        (
            "128 plain clients, 256 in flight",
            128,
            Policy::Plain(256),
            50.0,
            Trouble::None,
        ),
        (
            "64 clients, one killed for 5 min",
            64,
            Policy::Dispatch(None),
            50.0,
            Trouble::LostClient,
        ),
        (
            "64 clients, 48 GPUs gone for 2 min",
            64,
            Policy::Dispatch(None),
            50.0,
            Trouble::LostGpus,
        ),
        (
            "64 plain clients, the same",
            64,
            Policy::Plain(256),
            50.0,
            Trouble::LostGpus,
        ),
    ];
    for (name, clients, policy, speed, trouble) in rows {
        let mut simulation = Simulation::new(clients, policy, speed);
        simulation.run(trouble);
        let it = &simulation;
        println!(
            "| {name}, speed {speed} | {:.1} | {:.0} | {:.3} | {} | {} | {} | {} |",
            it.last / 60.0,
            CASES as f64 / it.last,
            it.sent as f64 / CASES as f64,
            it.refused,
            it.rate.iter().max().unwrap_or(&0),
            it.failed,
            it.done.iter().filter(|done| !**done).count() as u64 + it.twice,
        );
    }
}

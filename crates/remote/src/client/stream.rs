//! A stream: an answer that arrives event by event, with time limits.

use super::{Client, TICK};
use crate::error::{Kind, RemoteError};
use crate::events::{Events, Framing};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};
use ureq::Agent;

/// What [`Stream::next`] returns.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Event(String),
    /// The end of the answer.
    Ended,
}

/// A report from the thread that reads the answer.
pub(super) enum Part {
    Failed(ureq::Error),
    Status(u16, Option<Duration>),
    Bytes(Vec<u8>),
    Ended,
    Broken,
}

/// An answer that arrives event by event. When the stream is dropped, the connection is closed.
pub struct Stream {
    client: Client,
    agent: Option<Agent>,
    receiver: Receiver<Part>,
    events: Events,
    status: Option<(u16, Option<Duration>)>,
    error_body: Vec<u8>,
    /// The time at which the last token or progress report arrived. Until the first one arrives,
    /// the time at which the request was sent.
    waiting: Instant,
    begun: bool,
    ready: VecDeque<String>,
    ended: bool,
}

impl Stream {
    pub(super) fn new(
        client: Client,
        agent: Agent,
        receiver: Receiver<Part>,
        framing: Framing,
    ) -> Stream {
        Stream {
            client,
            agent: Some(agent),
            receiver,
            events: Events::new(framing),
            status: None,
            error_body: Vec::new(),
            waiting: Instant::now(),
            begun: false,
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// Returns a stream with a single event, which is the body of an answer that has already
    /// arrived.
    pub(super) fn of_body(client: Client, body: String) -> Stream {
        let (_, receiver) = sync_channel(1);
        Stream {
            client,
            agent: None,
            receiver,
            events: Events::new(Framing::Whole),
            status: None,
            error_body: Vec::new(),
            waiting: Instant::now(),
            begun: false,
            ready: VecDeque::from([body]),
            ended: true,
        }
    }

    /// Waits for the next event and returns it. Returns an error if a time limit is exceeded.
    pub fn next(&mut self, stopped: &dyn Fn() -> bool) -> Result<Step, RemoteError> {
        loop {
            if stopped() {
                return Err(self.client.error(Kind::Stopped));
            }
            if let Some(event) = self.ready.pop_front() {
                return Ok(Step::Event(event));
            }
            if self.ended {
                return Ok(Step::Ended);
            }
            match self.receiver.recv_timeout(TICK) {
                Ok(part) => self.take(part)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(self.client.error(Kind::Gone)),
            }
            self.check_silence()?;
        }
    }

    /// Restarts the time limit after a token (`token` is true) or a progress report. Must not be
    /// called for pings and empty events.
    pub fn lives(&mut self, token: bool) {
        self.waiting = Instant::now();
        self.begun |= token;
    }

    fn check_silence(&self) -> Result<(), RemoteError> {
        let limits = self.client.limits;
        let (doing, after) = match self.begun {
            false => ("before its first word", limits.first),
            true => ("in the middle of the text", limits.between),
        };
        match self.waiting.elapsed() > after {
            true => Err(self.client.error(Kind::Silent { doing, after })),
            false => Ok(()),
        }
    }

    fn take(&mut self, part: Part) -> Result<(), RemoteError> {
        match part {
            Part::Failed(why) => Err(self.client.failed(&why)),
            Part::Status(status, after) => {
                self.status = Some((status, after));
                Ok(())
            }
            Part::Bytes(bytes) if self.is_error() => {
                let room = (64 << 10) - self.error_body.len().min(64 << 10);
                self.error_body.extend(&bytes[..bytes.len().min(room)]);
                match room == 0 {
                    true => self.refusal(),
                    false => Ok(()),
                }
            }
            Part::Bytes(bytes) => {
                let pushed = self.events.push(&bytes);
                self.ready
                    .extend(std::iter::from_fn(|| self.events.next_event()));
                pushed.map_err(|_| self.client.error(Kind::Garbage))
            }
            Part::Ended | Part::Broken if self.is_error() => self.refusal(),
            Part::Ended | Part::Broken => {
                self.ready.extend(self.events.rest());
                self.ended = true;
                Ok(())
            }
        }
    }

    fn is_error(&self) -> bool {
        self.status
            .is_some_and(|(status, _)| !(200..300).contains(&status))
    }

    fn refusal(&self) -> Result<(), RemoteError> {
        let (status, after) = self.status.unwrap_or_default();
        let body = String::from_utf8_lossy(&self.error_body);
        self.client.checked(status, &body, after)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.shutdown();
        }
    }
}

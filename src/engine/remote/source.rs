//! The source of a passage's events: its own stream, or one shared by several candidates.

use base::progress::Observer;
use remote::{Chunk, Kind, Protocol, RemoteError, Step, Stream, decode_choice};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;
use story::SharedRequest;

/// How long to wait before checking again whether to stop.
const TICK: Duration = Duration::from_millis(30);

/// The source of a passage's events.
pub enum Source {
    Own(Box<Stream>),
    Shared(Share),
}

/// One candidate's part of a stream that several candidates share.
pub struct Share {
    pub protocol: Protocol,
    /// The index of the candidate in the stream.
    pub choice: usize,
    /// The request that opened the stream.
    pub request: SharedRequest,
    pub steps: Receiver<Result<Step, RemoteError>>,
}

/// The part of a shared stream that one backend reads. A clone of the backend gets no part, since
/// each part has only one reader.
#[derive(Default)]
pub struct OwnShare(pub Option<Share>);

impl Clone for OwnShare {
    fn clone(&self) -> OwnShare {
        OwnShare::default()
    }
}

impl Source {
    /// Waits for the next event and returns it.
    pub fn next(&mut self, stopped: &dyn Fn() -> bool) -> Result<Step, RemoteError> {
        match self {
            Source::Own(stream) => stream.next(stopped),
            Source::Shared(share) => share.next(stopped),
        }
    }

    /// Records that a token or progress report arrived.
    pub fn lives(&mut self, token: bool) {
        match self {
            Source::Own(stream) => stream.lives(token),
            // The thread that reads the stream records this.
            Source::Shared(_) => {}
        }
    }

    /// Parses an event, and returns the part of it that belongs to the passage.
    pub fn decode(&self, protocol: Protocol, event: &str) -> Result<Chunk, Option<String>> {
        match self {
            Source::Own(_) => decode_choice(protocol, event, 0),
            // The server's token count covers all candidates, so it is dropped.
            Source::Shared(share) => {
                decode_choice(protocol, event, share.choice).map(|chunk| Chunk {
                    new_tokens: None,
                    ..chunk
                })
            }
        }
    }

    /// The request that opened the stream, if several candidates share the stream; otherwise None.
    pub fn shared(&self) -> Option<SharedRequest> {
        match self {
            Source::Own(_) => None,
            Source::Shared(share) => Some(share.request),
        }
    }
}

impl Share {
    /// Waits for this candidate's next event and returns it; returns [`Step::Ended`] if there are
    /// no more events.
    pub fn next(&self, stopped: &dyn Fn() -> bool) -> Result<Step, RemoteError> {
        loop {
            match self.steps.recv_timeout(TICK) {
                Ok(step) => return step,
                Err(RecvTimeoutError::Timeout) if stopped() => {
                    return Err(RemoteError {
                        kind: Kind::Stopped,
                        server: String::new(),
                    });
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(Step::Ended),
            }
        }
    }
}

/// Reads a stream for several candidates, and sends each event to all of them. Stops when the
/// stream ends or every candidate has stopped listening.
pub fn spread(
    protocol: Protocol,
    mut stream: Stream,
    first: Step,
    mut candidates: Vec<Sender<Result<Step, RemoteError>>>,
    observer: &dyn Observer,
) {
    let choices = candidates.len();
    let mut step = Ok(first);
    loop {
        if let Ok(Step::Event(event)) = &step {
            let chunks =
                (0..choices).filter_map(|choice| decode_choice(protocol, event, choice).ok());
            for chunk in chunks {
                match chunk.text.is_empty() {
                    true if chunk.thought.is_empty() && chunk.progress.is_none() => {}
                    empty => stream.lives(!empty),
                }
            }
        }
        candidates.retain(|candidate| candidate.send(step.clone()).is_ok());
        if candidates.is_empty() || !matches!(step, Ok(Step::Event(_))) {
            return;
        }
        step = stream.next(&|| observer.is_cancelled());
    }
}

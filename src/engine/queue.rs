//! Requests that are answered together: a queue from which a backend takes more requests while it
//! is writing passages.

use super::backend::{Answer, Listener};
use story::message::TextRequest;

/// A request in a queue.
pub struct Turn {
    pub request: TextRequest,
    pub listener: Box<dyn Listener>,
    /// Is called once, with the answer.
    pub end: Box<dyn FnOnce(Answer)>,
}

/// A source of requests.
pub trait Queue {
    /// Returns the next request. If there is none and `wait` is true, waits for one. Returns None
    /// if there is no request, or if the backend is needed for something else.
    fn next(&mut self, wait: bool) -> Option<Turn>;
}

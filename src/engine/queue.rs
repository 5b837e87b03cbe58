//! Requests that are written together: a queue from which a backend takes requests while it writes
//! others.

use super::backend::{Answer, Listener};
use story::message::TextRequest;

/// A request in a queue.
pub struct Turn {
    pub request: TextRequest,
    pub listener: Box<dyn Listener>,
    /// Receives the answer, once.
    pub end: Box<dyn FnOnce(Answer)>,
}

/// A source of requests.
pub trait Queue {
    /// Returns the next request. If `wait` is true and no request is there, waits for the next one.
    /// Returns None if no request is there, or if the backend is needed for something else.
    fn next(&mut self, wait: bool) -> Option<Turn>;
}

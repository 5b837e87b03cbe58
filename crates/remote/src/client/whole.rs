//! Requests from a pool of threads, each of which sends a request and waits for the whole answer.
//!
//! The threads share one agent, so that connections are reused and all requests can be stopped
//! together.

use super::retry_after::retry_after;
use super::{Client, LARGEST, Stream};
use crate::error::{Kind, RemoteError};
use serde::de::IgnoredAny;
use serde_json::Value;
use std::time::Duration;
use ureq::Body;
use ureq::http::Response;

/// The size of a connection's buffers, in bytes. It is small because many connections are open at
/// the same time and prompts are short.
const BUFFER: usize = 16 << 10;
/// A connection that has been idle for longer than this is not reused. Servers close idle
/// connections after five seconds.
const IDLE: Duration = Duration::from_secs(3);

impl Client {
    /// Returns a client for a pool of up to `most` threads. A request may take no longer than
    /// `limit`.
    pub fn pooled(&self, most: usize, limit: Duration) -> Client {
        let settings = self
            .settings(limit)
            .timeout_global(Some(limit))
            .max_idle_connections(most)
            .max_idle_connections_per_host(most)
            .max_idle_age(IDLE)
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER);
        let mut client = self.clone();
        client.agent = settings.build().new_agent();
        client.limits.answer = limit;
        client
    }

    /// Closes all connections of this client and its clones, and refuses new ones.
    pub fn shut_down(&self) {
        self.agent.clone().shutdown();
    }

    /// Sends a POST request on the current thread and waits for the answer. Returns the whole
    /// answer as a stream with one event.
    pub fn whole(
        &self,
        path: &str,
        body: &Value,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Stream, RemoteError> {
        if stopped() {
            return Err(self.error(Kind::Stopped));
        }
        let send = self.sender(self.agent.clone(), path, Some(body));
        let answer = match send() {
            Ok(response) => self.read(response),
            Err(why) => Err(match why {
                ureq::Error::Timeout(_) => self.too_slow(),
                other => self.failed(&other),
            }),
        };
        match answer {
            Ok(body) => Ok(Stream::of_body(self.clone(), body)),
            Err(_) if stopped() => Err(self.error(Kind::Stopped)),
            Err(error) => Err(error),
        }
    }

    /// Reads the body of an answer. Returns an error if the body is incomplete.
    fn read(&self, mut response: Response<Body>) -> Result<String, RemoteError> {
        let (status, after) = (
            response.status().as_u16(),
            retry_after(&response, self.clock),
        );
        let read = response
            .body_mut()
            .with_config()
            .limit(LARGEST)
            .read_to_vec();
        let body = match read {
            Ok(body) => String::from_utf8_lossy(&body).into_owned(),
            // The status code describes a failure well enough without its body.
            Err(_) if !(200..300).contains(&status) => String::new(),
            Err(ureq::Error::Timeout(_)) => return Err(self.too_slow()),
            Err(ureq::Error::BodyExceedsLimit(_)) => return Err(self.error(Kind::Garbage)),
            Err(_) => return Err(self.error(Kind::Gone)),
        };
        self.checked(status, &body, after)?;
        if body.trim().is_empty() {
            return Err(self.error(Kind::Empty));
        }
        match serde_json::from_str::<IgnoredAny>(&body) {
            Err(cut) if cut.is_eof() => Err(self.error(Kind::Gone)),
            Ok(_) | Err(_) => Ok(body),
        }
    }

    fn too_slow(&self) -> RemoteError {
        let (doing, after) = ("before it answered", self.limits.answer);
        self.error(Kind::Silent { doing, after })
    }
}

//! An HTTP client for model servers, with calls (which return the whole answer) and streams.
//!
//! The library `ureq` blocks until an answer arrives, so each request runs on a thread of its own.
//! The exception is the pool in `whole.rs`: its threads send their requests directly. When a
//! request is stopped, its connection is closed immediately.
//!
//! Redirects are never followed, because the key must never be sent to another server.

mod retry_after;
mod roots;
mod stream;
mod whole;

pub use roots::check_certificates;
pub use stream::{Step, Stream};

use super::error::{Kind, RemoteError};
use super::events::Framing;
use super::flavour::Flavour;
use super::key::Key;
use retry_after::retry_after;
use roots::roots;
use serde_json::Value;
use std::io::Read;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant, SystemTime};
use stream::Part;
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::http::Response;
use ureq::tls::TlsConfig;
use ureq::typestate::AgentScope;

/// The interval at which a waiting call checks whether it should stop.
const TICK: Duration = Duration::from_millis(30);
/// The maximum size of an answer that is not a stream, in bytes.
const LARGEST: u64 = 16 << 20;

/// The time limits for the steps of a request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connect: Duration,
    /// The time limit for an answer that is not a stream.
    pub answer: Duration,
    /// The time limit from the request to the first token. During this time, the server prefills
    /// the prompt.
    pub first: Duration,
    /// The time limit between two tokens.
    pub between: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(60),
            first: Duration::from_secs(600),
            between: Duration::from_secs(120),
        }
    }
}

/// The network settings, which come from the environment and from config.toml.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// The path of a PEM file with certificates to trust instead of the system's certificates.
    pub certificates: Option<PathBuf>,
    pub limits: Limits,
    /// The clock to use if a server asks the client to wait until a certain time but does not send
    /// its own time.
    pub clock: Option<fn() -> SystemTime>,
}

/// A client for one model server.
#[derive(Clone, Debug)]
pub struct Client {
    root: String,
    key: Option<Key>,
    /// Whether the key is sent in the header `x-api-key` instead of `authorization`.
    own_header: bool,
    /// Whether the server is on this machine. Requests to such a server bypass proxies.
    local: bool,
    tls: Option<TlsConfig>,
    limits: Limits,
    clock: Option<fn() -> SystemTime>,
    /// The HTTP agent, which all calls share so that connections are reused.
    agent: Agent,
}

/// An answer that is not a stream.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    /// The names of the answer's headers.
    pub headers: Vec<String>,
    /// The value of the answer's `server` header.
    pub server: String,
    pub body: String,
}

impl Client {
    /// Creates a client for the server at `root`. If `local` is true, the client bypasses proxies.
    pub fn new(root: &str, key: Option<Key>, local: bool, network: &Network) -> Client {
        let limits = network.limits;
        let tls = root
            .starts_with("https://")
            .then(|| TlsConfig::builder().root_certs(roots(network)).build());
        Client {
            root: root.to_string(),
            key,
            own_header: false,
            agent: settings(limits, local, tls.as_ref(), limits.answer)
                .build()
                .new_agent(),
            local,
            tls,
            limits,
            clock: network.clock,
        }
    }

    /// Returns the client adapted to a flavour: Anthropic expects the key in the header
    /// `x-api-key`.
    pub fn speaking(mut self, flavour: Option<Flavour>) -> Client {
        self.own_header = flavour == Some(Flavour::Anthropic);
        self
    }

    pub fn root(&self) -> &str {
        &self.root
    }

    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    pub fn error(&self, kind: Kind) -> RemoteError {
        RemoteError {
            kind,
            server: self.root.clone(),
        }
    }

    /// Sends a GET request and waits for the whole answer. Returns the answer whatever its status.
    pub fn get(&self, path: &str, stopped: &dyn Fn() -> bool) -> Result<Reply, RemoteError> {
        self.ask(path, None, stopped)
    }

    /// Sends a POST request and waits for the whole answer. Returns an error if the status is an
    /// error.
    pub fn post(
        &self,
        path: &str,
        body: &Value,
        stopped: &dyn Fn() -> bool,
    ) -> Result<String, RemoteError> {
        let reply = self.ask(path, Some(body), stopped)?;
        self.checked(reply.status, &reply.body, None)?;
        Ok(reply.body)
    }

    fn ask(
        &self,
        path: &str,
        body: Option<&Value>,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Reply, RemoteError> {
        let (agent, limit) = (self.agent.clone(), self.limits.answer);
        let send = self.sender(agent, path, body);
        let (sender, receiver) = sync_channel(1);
        self.spawn(move || {
            let answer = send().map(|mut response| {
                let mut reply = Reply::of(&response);
                let body = response
                    .body_mut()
                    .with_config()
                    .limit(LARGEST)
                    .read_to_vec();
                reply.body = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
                reply
            });
            drop(sender.send(answer));
        })?;
        let began = Instant::now();
        loop {
            match receiver.recv_timeout(TICK) {
                Ok(answer) => return answer.map_err(|why| self.failed(&why)),
                Err(RecvTimeoutError::Timeout) if stopped() => {
                    return Err(self.error(Kind::Stopped));
                }
                Err(RecvTimeoutError::Timeout) if began.elapsed() > limit => {
                    let (doing, after) = ("before it answered", limit);
                    return Err(self.error(Kind::Silent { doing, after }));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(self.error(Kind::Gone)),
            }
        }
    }

    /// Sends a POST request and returns a stream of the answer's events.
    pub fn stream(
        &self,
        path: &str,
        body: &Value,
        framing: Framing,
    ) -> Result<Stream, RemoteError> {
        // A separate agent, so that stopping closes only this connection.
        let silence = self.limits.first.max(self.limits.between);
        let agent = self.settings(silence).build().new_agent();
        let send = self.sender(agent.clone(), path, Some(body));
        let (sender, receiver) = sync_channel(64);
        let clock = self.clock;
        self.spawn(move || {
            let mut response = match send() {
                Ok(response) => response,
                Err(why) => return drop(sender.send(Part::Failed(why))),
            };
            let (status, retry_after) = (response.status().as_u16(), retry_after(&response, clock));
            if sender.send(Part::Status(status, retry_after)).is_err() {
                return;
            }
            let mut reader = response.body_mut().as_reader();
            let mut buffer = [0; 16 << 10];
            loop {
                let part = match reader.read(&mut buffer) {
                    Ok(0) => Part::Ended,
                    Ok(count) => Part::Bytes(buffer[..count].to_vec()),
                    Err(_) => Part::Broken,
                };
                let over = matches!(part, Part::Ended | Part::Broken);
                if sender.send(part).is_err() || over {
                    return;
                }
            }
        })?;
        Ok(Stream::new(self.clone(), agent, receiver, framing))
    }

    /// Returns a function that sends the request. The function can be called on another thread.
    fn sender(
        &self,
        agent: Agent,
        path: &str,
        body: Option<&Value>,
    ) -> impl FnOnce() -> Result<Response<ureq::Body>, ureq::Error> + Send + 'static + use<> {
        let url = format!("{}{path}", self.root);
        let headers = self.headers();
        let body = body.map(Value::to_string);
        move || match body {
            Some(body) => {
                let mut request = agent.post(&url).header("content-type", "application/json");
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                request.send(body)
            }
            None => {
                let mut request = agent.get(&url);
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                request.call()
            }
        }
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if self.own_header {
            headers.push(("anthropic-version", "2023-06-01".to_string()));
        }
        if let Some(key) = &self.key {
            headers.push(match self.own_header {
                true => ("x-api-key", key.reveal().to_string()),
                false => ("authorization", format!("Bearer {}", key.reveal())),
            });
        }
        headers
    }

    /// Returns an error if the status of the answer is an error.
    pub(crate) fn checked(
        &self,
        status: u16,
        body: &str,
        retry_after: Option<Duration>,
    ) -> Result<(), RemoteError> {
        if (300..400).contains(&status) {
            return Err(self.error(Kind::Redirects("another address".to_string())));
        }
        let body = self
            .key
            .as_ref()
            .map_or(body.to_string(), |key| key.strike_from(body));
        let error =
            RemoteError::of_status(&self.root, status, &body, retry_after, self.key.is_some());
        error.map_or(Ok(()), Err)
    }

    /// Returns a server's message in a form that can be quoted, without the key.
    pub fn quoted(&self, said: &str) -> String {
        self.key
            .as_ref()
            .map_or(said.to_string(), |key| key.strike_from(said))
    }

    fn failed(&self, why: &ureq::Error) -> RemoteError {
        let words = match why {
            ureq::Error::HostNotFound => "its host name cannot be resolved".to_string(),
            ureq::Error::Timeout(_) => "it does not respond".to_string(),
            ureq::Error::Io(why) if why.kind() == std::io::ErrorKind::ConnectionRefused => {
                "nothing listens there".to_string()
            }
            ureq::Error::Io(why) => why.to_string(),
            other => other.to_string(),
        };
        self.error(Kind::Unreachable(self.quoted(&words)))
    }

    fn settings(&self, silence: Duration) -> ConfigBuilder<AgentScope> {
        settings(self.limits, self.local, self.tls.as_ref(), silence)
    }

    fn spawn(&self, work: impl FnOnce() + Send + 'static) -> Result<(), RemoteError> {
        let thread = std::thread::Builder::new()
            .name("server".into())
            .spawn(work);
        let failed = |why: std::io::Error| self.error(Kind::Unreachable(why.to_string()));
        thread.map(drop).map_err(failed)
    }
}

/// Returns the settings of a connection. `silence` is the timeout of a single read.
fn settings(
    limits: Limits,
    local: bool,
    tls: Option<&TlsConfig>,
    silence: Duration,
) -> ConfigBuilder<AgentScope> {
    let mut settings = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .accept_encoding("identity")
        .user_agent(concat!("illumine/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(limits.connect))
        .timeout_connect(Some(limits.connect))
        .timeout_per_read(Some(silence));
    if local {
        settings = settings.proxy(None);
    }
    if let Some(tls) = tls {
        settings = settings.tls_config(tls.clone());
    }
    settings
}

impl Reply {
    fn of(response: &Response<ureq::Body>) -> Reply {
        let server = response.headers().get("server");
        Reply {
            status: response.status().as_u16(),
            headers: response
                .headers()
                .keys()
                .map(|name| name.to_string())
                .collect(),
            server: server
                .and_then(|it| it.to_str().ok())
                .unwrap_or_default()
                .to_string(),
            body: String::new(),
        }
    }

    /// Parses the body as JSON. Returns None if the request failed or the body is not JSON.
    pub fn json(&self) -> Option<Value> {
        let well = (200..300).contains(&self.status);
        well.then(|| serde_json::from_str(&self.body).ok())
            .flatten()
    }
}

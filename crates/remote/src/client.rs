//! HTTP to a model server: calls and streams. ureq blocks, so each request has a thread, and a stop
//! closes its connection at once.
//!
//! Redirects are never followed: a key belongs to one server.

use super::error::{Kind, RemoteError};
use super::events::{Events, Framing};
use super::key::Key;
use serde_json::Value;
use std::collections::VecDeque;
use std::io::Read;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::http::Response;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// How often a wait looks for a stop.
const TICK: Duration = Duration::from_millis(30);
/// The most bytes of an answer that is no stream.
const LARGEST: u64 = 16 << 20;

/// How long each step of a request may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connect: Duration,
    /// Of an answer that is no stream.
    pub answer: Duration,
    /// From the request to the first token: the prompt is read meanwhile.
    pub first: Duration,
    /// From one token to the next.
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

/// The network as the environment describes it.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Trusted certificates in PEM, in the place of the system's.
    pub certificates: Option<PathBuf>,
    pub limits: Limits,
}

/// One server and how to talk to it.
#[derive(Clone, Debug)]
pub struct Client {
    root: String,
    key: Option<Key>,
    /// Whether the key goes into `x-api-key`.
    own_header: bool,
    config: ureq::config::Config,
    limits: Limits,
    /// For calls, so that connections are used again.
    agent: Agent,
}

/// An answer that is no stream.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    /// The names of the headers, and the value of `server`.
    pub headers: Vec<String>,
    pub server: String,
    pub body: String,
}

/// The next news of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Event(String),
    /// The body has ended.
    Ended,
}

impl Client {
    /// A client for a server; `local` leaves proxies out.
    pub fn new(root: &str, key: Option<Key>, local: bool, network: &Network) -> Client {
        let limits = network.limits;
        let mut builder = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("illumine/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(limits.connect))
            .timeout_connect(Some(limits.connect))
            .timeout_per_read(Some(limits.first.max(limits.between)));
        if local {
            builder = builder.proxy(None);
        }
        if root.starts_with("https://") {
            let roots = roots(network);
            builder = builder.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        let config = builder.build();
        Client {
            root: root.to_string(),
            key,
            own_header: false,
            agent: config.new_agent(),
            config,
            limits,
        }
    }

    /// The same, with the key in a header of its own, as one service wants it.
    pub fn with_key_header(mut self) -> Client {
        self.own_header = true;
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

    /// Sends GET and waits for the whole answer, whatever its status.
    pub fn get(&self, path: &str, stopped: &dyn Fn() -> bool) -> Result<Reply, RemoteError> {
        self.ask(path, None, stopped)
    }

    /// Sends POST and waits for the whole answer; an error status is an error.
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

    /// Sends POST and returns its answer event by event.
    pub fn stream(
        &self,
        path: &str,
        body: &Value,
        framing: Framing,
    ) -> Result<Stream, RemoteError> {
        // An agent of its own, so that a stop closes this connection and no other.
        let agent = self.config.new_agent();
        let send = self.sender(agent.clone(), path, Some(body));
        let (sender, receiver) = sync_channel(64);
        self.spawn(move || {
            let mut response = match send() {
                Ok(response) => response,
                Err(why) => return drop(sender.send(Part::Failed(why))),
            };
            let (status, retry_after) = (response.status().as_u16(), retry_after(&response));
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
        Ok(Stream {
            client: self.clone(),
            agent: Some(agent),
            receiver,
            events: Events::new(framing),
            status: None,
            error_body: Vec::new(),
            waiting: Instant::now(),
            begun: false,
            ready: VecDeque::new(),
            ended: false,
        })
    }

    /// The request, ready to be sent on another thread.
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

    /// The error that a status stands for.
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

    /// What a server says, without the key.
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

    fn spawn(&self, work: impl FnOnce() + Send + 'static) -> Result<(), RemoteError> {
        let thread = std::thread::Builder::new()
            .name("server".into())
            .spawn(work);
        let failed = |why: std::io::Error| self.error(Kind::Unreachable(why.to_string()));
        thread.map(drop).map_err(failed)
    }
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

    /// The body as JSON, if the request succeeded.
    pub fn json(&self) -> Option<Value> {
        let well = (200..300).contains(&self.status);
        well.then(|| serde_json::from_str(&self.body).ok())
            .flatten()
    }
}

fn retry_after(response: &Response<ureq::Body>) -> Option<Duration> {
    let header = response.headers().get("retry-after")?;
    let seconds: u64 = header.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The certificates to trust: those given, or the system's, or Mozilla's if it has none.
fn roots(network: &Network) -> RootCerts {
    let given = network
        .certificates
        .as_ref()
        .and_then(|path| std::fs::read(path).ok());
    let given: Vec<Certificate<'static>> = match given {
        Some(pem) => parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate.to_owned()),
                _ => None,
            })
            .collect(),
        None => rustls_native_certs::load_native_certs()
            .certs
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect(),
    };
    match given.is_empty() {
        true => RootCerts::WebPki,
        false => given.into(),
    }
}

/// What the thread of a stream reports.
enum Part {
    Failed(ureq::Error),
    Status(u16, Option<Duration>),
    Bytes(Vec<u8>),
    Ended,
    Broken,
}

/// An answer that comes event by event. Dropping it closes the connection.
pub struct Stream {
    client: Client,
    agent: Option<Agent>,
    receiver: Receiver<Part>,
    events: Events,
    status: Option<(u16, Option<Duration>)>,
    error_body: Vec<u8>,
    /// Since when no token has come.
    waiting: Instant,
    begun: bool,
    ready: VecDeque<String>,
    ended: bool,
}

impl Stream {
    /// Waits for the next event, within the time limits.
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

    /// Notes that a token or progress came; pings and empty events do not count.
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

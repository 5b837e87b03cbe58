//! A fake vLLM server for tests with many cases. The server keeps connections open, counts the
//! requests for each prompt, and fails in the ways that a test requires.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How the fake server answers a request for a text.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// The server sends a text after this delay.
    Text(Duration),
    /// The server sends a text that ends with the number of earlier requests with the same prompt.
    Numbered,
    /// The server sends an HTTP status with an empty body, and a `Retry-After` header if there is a
    /// value for this header.
    Status(u16, Option<&'static str>),
    /// The server announces a longer text in its headers than it sends.
    Cut,
    /// The server closes the connection without an answer.
    Closed,
    /// The server sends an HTML page instead of JSON.
    Page,
    /// The server sends nothing for longer than any time limit.
    Silence,
}

/// The answer with a text that is sent without delay.
pub const TEXT: Answer = Answer::Text(Duration::ZERO);

/// The requests that a server has received.
#[derive(Debug, Default)]
pub struct Seen {
    /// For each prompt, the times at which requests with this prompt arrived.
    pub asked: HashMap<String, Vec<Instant>>,
    pub bodies: Vec<Value>,
    pub in_flight: usize,
    pub peak: usize,
}

pub struct CaseServer {
    pub root: String,
    seen: Arc<Mutex<Seen>>,
}

impl CaseServer {
    /// Starts a server. For each request, `answer` receives the prompt and the number of earlier
    /// requests with the same prompt, and returns how to answer.
    pub fn start(answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> CaseServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let root = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (answer, shared) = (Arc::new(answer), seen.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (answer.clone(), shared.clone());
                thread::spawn(move || while serve(&stream, answer.as_ref(), &seen).is_some() {});
            }
        });
        CaseServer { root, seen }
    }

    pub fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().unwrap())
    }
}

/// Answers one request on a connection. Returns None if the connection must be closed.
fn serve(
    stream: &TcpStream,
    answer: &dyn Fn(&str, usize) -> Answer,
    seen: &Mutex<Seen>,
) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut out = stream;
    match head.split(' ').nth(1)? {
        "/v1/models" => {
            let models = r#"{"data":[{"id":"tale","owned_by":"vllm","max_model_len":2048}]}"#;
            reply(&mut out, "200 OK", "", models)
        }
        "/version" => reply(&mut out, "200 OK", "", r#"{"version":"0.32.0"}"#),
        "/v1/completions" | "/v1/chat/completions" => text(&mut out, body, answer, seen),
        _ => reply(&mut out, "404 Not Found", "", "{}"),
    }
}

fn text(
    out: &mut impl Write,
    body: Value,
    answer: &dyn Fn(&str, usize) -> Answer,
    seen: &Mutex<Seen>,
) -> Option<()> {
    let prompt = match body["prompt"].as_str() {
        Some(prompt) => prompt.to_string(),
        None => body["messages"].to_string(),
    };
    assert_eq!(body["stream"], false, "a router must be able to retry it");
    if body["echo"] == true {
        return reply(out, "200 OK", "", &echo(&prompt));
    }
    let before = {
        let mut seen = seen.lock().unwrap();
        seen.in_flight += 1;
        seen.peak = seen.peak.max(seen.in_flight);
        seen.bodies.push(body.clone());
        let times = seen.asked.entry(prompt.clone()).or_default();
        times.push(Instant::now());
        times.len() - 1
    };
    let said = |text: String| {
        json!({
            "choices": [{"index": 0, "text": text, "finish_reason": "length",
                "message": {"role": "assistant", "content": format!("re {prompt}")}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 5},
        })
        .to_string()
    };
    let usual = || said(format!(" after {prompt}"));
    let answered = match answer(&prompt, before) {
        Answer::Text(after) => {
            thread::sleep(after);
            reply(out, "200 OK", "", &usual())
        }
        Answer::Numbered => {
            let text = format!(" after {prompt}, number {before}");
            reply(out, "200 OK", "", &said(text))
        }
        Answer::Status(status, wait) => {
            let wait = wait.map_or(String::new(), |wait| format!("retry-after: {wait}\r\n"));
            reply(out, &format!("{status} No"), &wait, "")
        }
        Answer::Cut => {
            let said = usual();
            let long = said.len() + 100;
            let _ = write!(
                out,
                "HTTP/1.1 200 OK\r\ncontent-length: {long}\r\n\r\n{said}"
            );
            None
        }
        Answer::Closed => None,
        Answer::Page => reply(out, "200 OK", "", "<html>Sign in</html>"),
        Answer::Silence => {
            thread::sleep(Duration::from_secs(30));
            None
        }
    };
    seen.lock().unwrap().in_flight -= 1;
    answered
}

/// The answer to an echo request. The words of the prompt are its tokens, and each token has the
/// log-probability -1.
fn echo(prompt: &str) -> String {
    let starts = prompt.match_indices(' ').map(|(at, _)| at);
    let mut places: Vec<usize> = [0].into_iter().chain(starts).collect();
    places.dedup();
    places.push(prompt.len());
    let tokens: Vec<&str> = places.windows(2).map(|it| &prompt[it[0]..it[1]]).collect();
    let likely: Vec<Value> = tokens.iter().map(|token| json!({*token: -1.0})).collect();
    json!({"choices": [{"text": prompt, "logprobs": {
        "tokens": tokens,
        "token_logprobs": vec![-1.0; tokens.len()],
        "top_logprobs": likely,
    }}]})
    .to_string()
}

fn reply(out: &mut impl Write, status: &str, more: &str, body: &str) -> Option<()> {
    let length = body.len();
    write!(
        out,
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{more}\r\n{body}"
    )
    .ok()
}

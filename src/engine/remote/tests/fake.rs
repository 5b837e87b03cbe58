//! A fake server. It answers each request as a test chooses, and records all requests.

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub(super) struct FakeServer {
    pub(super) root: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

#[derive(Clone)]
struct Asked {
    path: String,
    head: String,
    body: Value,
}

impl FakeServer {
    /// Starts the server. It answers each connection on a separate thread, and then closes the
    /// connection.
    pub(super) fn start(
        answer: impl Fn(&str, &Value, &mut TcpStream) + Send + Sync + 'static,
    ) -> FakeServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let root = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, log) = (answer.clone(), log.clone());
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    if let Some(asked) = read(&mut stream) {
                        log.lock().unwrap().push(asked.clone());
                        answer(&asked.path, &asked.body, &mut stream);
                    }
                });
            }
        });
        FakeServer { root, asked }
    }

    pub(super) fn heads(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .map(|asked| asked.head.clone())
            .collect()
    }

    pub(super) fn bodies(&self, path: &str) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|it| it.path == path)
            .map(|it| it.body.clone())
            .collect()
    }
}

/// A fake llama-server whose tokens are words. `complete` answers the requests to `/completion`.
pub(super) fn llama_server(
    complete: impl Fn(&Value, &mut TcpStream) + Send + Sync + 'static,
) -> FakeServer {
    FakeServer::start(move |path, body, stream| match path {
        "/v1/models" => {
            let models = r#"{"data":[{"id":"tale","owned_by":"llamacpp","meta":{"n_vocab":100}}]}"#;
            json_answer(stream, 200, models);
        }
        "/props" => {
            let props = r#"{"default_generation_settings":{"n_ctx":512},"model_path":"tale.gguf"}"#;
            json_answer(stream, 200, props);
        }
        "/tokenize" => {
            let words = body["content"].as_str().unwrap().split_whitespace().count();
            let ids: Vec<usize> = (1..=words).collect();
            json_answer(stream, 200, &json!({"tokens": ids}).to_string());
        }
        _ => complete(body, stream),
    })
}

pub(super) fn json_answer(stream: &mut TcpStream, status: u16, body: &str) {
    let head = format!(
        "HTTP/1.1 {status} Status\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes());
}

/// Begins a stream that ends when the connection closes.
pub(super) fn start_stream(stream: &mut TcpStream) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let _ = stream.write_all(head.as_bytes());
}

pub(super) fn event(stream: &mut TcpStream, data: &str) {
    let _ = stream.write_all(format!("data: {data}\n\n").as_bytes());
}

pub(super) fn llama_piece(text: &str) -> String {
    json!({"content": text, "stop": false}).to_string()
}

fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.extend(byte);
    }
    let head = String::from_utf8(bytes).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some(Asked {
        path: head.split(' ').nth(1)?.to_string(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        head,
    })
}

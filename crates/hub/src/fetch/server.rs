//! A minimal web server on 127.0.0.1 for tests. The server records each request, and a closure
//! answers it.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request without its method. Header names are in lower case.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub path: String,
    pub headers: Vec<(String, String)>,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The offset of the first byte requested, such as 5 in `Range: bytes=5-`.
    pub(super) fn from(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.split('-').next()?.parse().ok()
    }
}

pub(super) struct Server {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Starts a server. `answer` writes a raw HTTP response, and the connection is then closed.
    pub(super) fn start(answer: impl Fn(&Asked, &mut TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (asked.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (kept, answer) = (kept.clone(), answer.clone());
                std::thread::spawn(move || serve(stream.unwrap(), &kept, &*answer));
            }
        });
        Server { url, asked }
    }

    /// Starts a server that returns the same file for every path, with support for byte ranges.
    pub(super) fn of_file(content: &'static [u8]) -> Server {
        Server::start(move |asked, stream| file(asked, stream, content))
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, kept: &Mutex<Vec<Asked>>, answer: &dyn Fn(&Asked, &mut TcpStream)) {
    let mut lines = BufReader::new(stream.try_clone().unwrap())
        .lines()
        .map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    let mut words = first.split(' ').skip(1).map(String::from);
    let asked = Asked {
        path: words.next().unwrap_or_default(),
        headers: lines
            .take_while(|line| !line.is_empty())
            .filter_map(|line| {
                let (name, value) = line.split_once(": ")?;
                Some((name.to_lowercase(), value.to_owned()))
            })
            .collect(),
    };
    kept.lock().unwrap().push(asked.clone());
    answer(&asked, &mut stream);
    let _ = stream.shutdown(Shutdown::Both);
}

/// Responds with a file, or with the part of the file that was requested.
pub(super) fn file(asked: &Asked, stream: &mut TcpStream, content: &[u8]) {
    let all = content.len();
    match asked.from() {
        None => respond(stream, "200 OK", &[], content),
        Some(from) if from >= all => {
            let range = format!("bytes */{all}");
            respond(
                stream,
                "416 Range Not Satisfiable",
                &[("Content-Range", &range)],
                b"",
            );
        }
        Some(from) => {
            let range = format!("bytes {from}-{}/{all}", all - 1);
            let headers = [("Content-Range", &*range)];
            respond(stream, "206 Partial Content", &headers, &content[from..]);
        }
    }
}

pub(super) fn respond(stream: &mut TcpStream, status: &str, headers: &[(&str, &str)], body: &[u8]) {
    let mut head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let _ = stream.write_all(format!("{head}\r\n").as_bytes());
    let _ = stream.write_all(body);
}

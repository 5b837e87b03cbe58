//! Tests of interrupted, resumed, refused and stopped downloads, with a local server.

use super::super::HttpSettings;
use super::super::Progress;
use super::super::client::agent;
use super::super::server::{Server, respond};
use super::*;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::Instant;
use tempfile::TempDir;

const CONTENT: &[u8] = b"Once upon a time there was a very small language model.";

struct Case {
    directory: TempDir,
    seen: Vec<Progress>,
}

impl Case {
    fn with(partial: &[u8]) -> Case {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("part"), partial).unwrap();
        Case {
            directory,
            seen: Vec::new(),
        }
    }

    fn fetch(&mut self, url: &str) -> Result<u64, FetchError> {
        let seen = &mut self.seen;
        let mut watch = |progress: &Progress| {
            seen.push(progress.clone());
            ControlFlow::Continue(())
        };
        fetch(
            url,
            self.directory.path(),
            &mut ProgressReporter::new("it", &mut watch),
        )
    }

    fn content(&self) -> Vec<u8> {
        std::fs::read(self.directory.path().join("part")).unwrap()
    }
}

fn fetch(url: &str, directory: &Path, reporter: &mut ProgressReporter) -> Result<u64, FetchError> {
    let settings = HttpSettings {
        proxies: false,
        ..HttpSettings::default()
    };
    let wanted = Download {
        url,
        token: None,
        partial: &directory.join("part"),
        rest: Duration::ZERO,
    };
    download(&agent(&settings, 3), &wanted, reporter)
}

#[test]
fn a_whole_file_comes_with_progress() {
    let (server, mut case) = (Server::of_file(CONTENT), Case::with(b""));
    assert_eq!(case.fetch(&server.url).unwrap(), CONTENT.len() as u64);
    assert_eq!(case.content(), CONTENT);
    let last = case.seen.last().unwrap();
    assert_eq!((last.done, last.total), (55, Some(55)));
}

#[test]
fn a_partial_file_is_gone_on_with() {
    let (server, mut case) = (Server::of_file(CONTENT), Case::with(&CONTENT[..20]));
    case.fetch(&server.url).unwrap();
    assert_eq!(case.content(), CONTENT);
    assert_eq!(server.asked()[0].from(), Some(20));
    assert!(
        case.seen
            .iter()
            .all(|progress| progress.done >= 20 || progress.total.is_none())
    );
}

#[test]
fn a_connection_that_breaks_is_taken_up_where_it_broke() {
    let server = Server::start(|asked, stream| {
        let from = asked.from().unwrap_or(0);
        let (status, all) = if from == 0 {
            ("200 OK", 55)
        } else {
            ("206 Partial Content", 55)
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Range: bytes {from}-54/{all}\r\n\r\n",
            55 - from
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
            .write_all(&CONTENT[from..(from + 15).min(55)])
            .unwrap();
    });
    let mut case = Case::with(b"");
    case.fetch(&server.url).unwrap();
    assert_eq!(case.content(), CONTENT);
    let from: Vec<_> = server.asked().iter().map(|asked| asked.from()).collect();
    assert_eq!(from, [None, Some(15), Some(30), Some(45)]);
}

#[test]
fn a_server_without_ranges_makes_it_start_over() {
    let server = Server::start(|_, stream| respond(stream, "200 OK", &[], CONTENT));
    let mut case = Case::with(b"Something else");
    case.fetch(&server.url).unwrap();
    assert_eq!(case.content(), CONTENT);
}

#[test]
fn a_partial_file_that_is_already_whole_is_taken_and_a_longer_one_is_not() {
    let server = Server::of_file(CONTENT);
    let mut whole = Case::with(CONTENT);
    assert_eq!(whole.fetch(&server.url).unwrap(), 55);
    assert_eq!(server.asked().len(), 1);

    let mut longer = Case::with(&CONTENT.repeat(2));
    longer.fetch(&server.url).unwrap();
    assert_eq!(longer.content(), CONTENT);
}

#[test]
fn a_server_that_gives_nothing_is_given_up_and_a_refusal_at_once() {
    let silent = Server::start(|_, _| {});
    assert!(Case::with(b"").fetch(&silent.url).is_err());
    assert_eq!(silent.asked().len(), FRUITLESS as usize);

    let refusing = Server::start(|_, stream| respond(stream, "404 Not Found", &[], b"no"));
    let mut case = Case::with(&CONTENT[..20]);
    let error = case.fetch(&refusing.url).unwrap_err().to_string();
    assert_eq!(error, "it responded 404 (Not Found)");
    assert_eq!(case.content(), &CONTENT[..20]);

    // Nothing listens on a port that was just released.
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = Case::with(b"")
        .fetch(&format!("http://{closed}"))
        .unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn stop_is_heard_while_the_server_says_nothing_and_what_came_is_kept() {
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let server = Server::start(move |_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 55\r\n\r\n")
            .unwrap();
        stream.write_all(&CONTENT[..30]).unwrap();
        let _ = held.lock().unwrap().recv();
    });
    let directory = tempfile::tempdir().unwrap();
    let (mut silent, mut stopped) = (0, None);
    let mut watch = |progress: &Progress| {
        silent += u32::from(progress.total.is_some());
        // By the second call after the head, no more data arrives.
        if silent < 3 {
            return ControlFlow::Continue(());
        }
        stopped.get_or_insert_with(Instant::now);
        ControlFlow::Break(())
    };
    let error = fetch(
        &server.url,
        directory.path(),
        &mut ProgressReporter::new("it", &mut watch),
    );
    assert!(matches!(error, Err(FetchError::Stopped { .. })));
    assert!(stopped.unwrap().elapsed() < Duration::from_millis(200));
    drop(hold);
    let partial = std::fs::read(directory.path().join("part")).unwrap();
    assert!(CONTENT.starts_with(&partial));
}

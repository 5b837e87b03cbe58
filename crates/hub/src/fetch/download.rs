//! Downloads one large file over HTTP into a partial file, from which a later download can resume.
//!
//! hf-hub's own download function has no timeouts, cannot be stopped and verifies nothing. This
//! module is therefore used instead, for files from the hub and for Python packages.

use super::client::{TICK, pause, refusal, spawn, unreachable, why};
use super::error::FetchError;
use super::progress::ProgressReporter;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use ureq::Agent;
use ureq::http::{Response, StatusCode};

const CHUNK: usize = 128 << 10;
/// How many connections in a row may fail without delivering any data before a source is abandoned.
const FRUITLESS: u32 = 3;

/// A file to download.
pub(super) struct Download<'a> {
    pub url: &'a str,
    pub token: Option<&'a str>,
    /// The path of the partial file. The caller renames the file after verification.
    pub partial: &'a Path,
    /// The base delay before a retry. It is multiplied by the number of connections in a row that
    /// have delivered no data.
    pub rest: Duration,
}

/// Downloads the file and returns its size in bytes. If there is a partial file, the download
/// resumes from it.
pub(super) fn download(
    agent: &Agent,
    wanted: &Download,
    reporter: &mut ProgressReporter,
) -> Result<u64, FetchError> {
    let disk = |why| FetchError::disk(wanted.partial, why);
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .append(true)
        .open(wanted.partial)
        .map_err(disk)?;
    let mut fruitless = 0;
    loop {
        let before = file.metadata().map_err(disk)?.len();
        let parts = request(agent.clone(), wanted, before)?;
        match receive(parts, &mut file, wanted, reporter)? {
            Attempt::Whole(size) => {
                file.sync_all().map_err(disk)?;
                return Ok(size);
            }
            Attempt::Refused(why) => return Err(FetchError::Source(why)),
            Attempt::StartOver if before == 0 => {
                return Err(FetchError::Source("it sent an invalid byte range".into()));
            }
            Attempt::StartOver => file.set_len(0).map_err(disk)?,
            Attempt::Broken(why) => {
                let moved = file.metadata().map_err(disk)?.len() > before;
                fruitless = if moved { 0 } else { fruitless + 1 };
                if fruitless == FRUITLESS {
                    return Err(FetchError::Source(why));
                }
                rest(wanted.rest * fruitless, reporter)?;
            }
        }
    }
}

fn rest(time: Duration, reporter: &mut ProgressReporter) -> Result<(), FetchError> {
    let mut rested = Duration::ZERO;
    while rested < time {
        reporter.check_stop()?;
        pause();
        rested += TICK;
    }
    Ok(())
}

/// The result of one request.
enum Attempt {
    Whole(u64),
    Broken(String),
    StartOver,
    Refused(String),
}

/// A message from the thread that runs the request.
enum Part {
    Head {
        status: StatusCode,
        start: u64,
        total: Option<u64>,
    },
    Bytes(Vec<u8>),
    End,
    Failed {
        why: String,
        refused: bool,
    },
}

fn request(agent: Agent, wanted: &Download, start: u64) -> Result<Receiver<Part>, FetchError> {
    let (sender, receiver) = sync_channel(8);
    let mut request = agent.get(wanted.url);
    if start > 0 {
        request = request.header("Range", format!("bytes={start}-"));
    }
    if let Some(token) = wanted.token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    spawn(move || {
        let last = match request.call() {
            Ok(response) => pour(response, &sender),
            Err(error) => Some(Part::Failed {
                why: why(&error),
                refused: unreachable(&error),
            }),
        };
        if let Some(last) = last {
            drop(sender.send(last));
        }
    })?;
    Ok(receiver)
}

/// Sends the response piece by piece, until the receiver is gone. If one more message remains to be
/// sent at the end, returns it for the caller to send.
fn pour(response: Response<ureq::Body>, sender: &SyncSender<Part>) -> Option<Part> {
    let (start, total) = range(&response);
    let status = response.status();
    sender
        .send(Part::Head {
            status,
            start,
            total,
        })
        .ok()?;
    if !status.is_success() {
        return None;
    }
    let mut body = response.into_body().into_reader();
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        match body.by_ref().take(CHUNK as u64).read_to_end(&mut chunk) {
            Ok(0) => return Some(Part::End),
            Ok(_) => sender.send(Part::Bytes(chunk)).ok()?,
            Err(error) => {
                sender.send(Part::Bytes(chunk)).ok()?;
                return Some(Part::Failed {
                    why: error.to_string(),
                    refused: false,
                });
            }
        }
    }
}

fn receive(
    parts: Receiver<Part>,
    file: &mut File,
    wanted: &Download,
    reporter: &mut ProgressReporter,
) -> Result<Attempt, FetchError> {
    let disk = |why| FetchError::disk(wanted.partial, why);
    let mut done = file.seek(SeekFrom::End(0)).map_err(disk)?;
    let mut all = None;
    loop {
        match parts.recv_timeout(TICK) {
            Err(RecvTimeoutError::Timeout) => reporter.check_stop()?,
            Err(RecvTimeoutError::Disconnected) => {
                return Ok(Attempt::Broken("the connection was lost".into()));
            }
            Ok(Part::Head {
                status,
                start,
                total,
            }) => {
                match begin(status, start, total, done) {
                    Some(attempt) => return Ok(attempt),
                    None if start < done => file.set_len(0).map_err(disk)?,
                    None => {}
                }
                (done, all) = (start, total);
                reporter.set_total(total);
                reporter.set_done(done)?;
            }
            Ok(Part::Bytes(bytes)) => {
                file.write_all(&bytes).map_err(disk)?;
                done += bytes.len() as u64;
                reporter.set_done(done)?;
            }
            Ok(Part::Failed { why, refused }) if refused => return Ok(Attempt::Refused(why)),
            Ok(Part::Failed { why, .. }) => return Ok(Attempt::Broken(why)),
            Ok(Part::End) => return Ok(ended(done, all)),
        }
    }
}

fn ended(done: u64, all: Option<u64>) -> Attempt {
    match all {
        Some(all) if done < all => Attempt::Broken("the download ended early".into()),
        _ => Attempt::Whole(done),
    }
}

/// Decides from the response's headers whether the attempt has already ended. Returns None if the
/// response's body is needed. `have` is the number of bytes that are already on disk.
fn begin(status: StatusCode, start: u64, total: Option<u64>, have: u64) -> Option<Attempt> {
    match status {
        StatusCode::OK => None,
        StatusCode::PARTIAL_CONTENT if start == have => None,
        StatusCode::RANGE_NOT_SATISFIABLE if total == Some(have) => Some(Attempt::Whole(have)),
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => Some(Attempt::StartOver),
        _ => Some(Attempt::Refused(refusal(status))),
    }
}

/// Returns the offset of the first byte and the full size of the file. They come from a header such
/// as `Content-Range: bytes 5-9/10` or `bytes */10`, or else from the content length.
fn range(response: &Response<ureq::Body>) -> (u64, Option<u64>) {
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    match header("content-range").and_then(|range| range.strip_prefix("bytes ")) {
        Some(range) => {
            let (span, total) = range.split_once('/').unwrap_or((range, ""));
            let first = span.split('-').next().unwrap_or_default();
            (first.parse().unwrap_or(0), total.parse().ok())
        }
        None => (
            0,
            header("content-length").and_then(|length| length.parse().ok()),
        ),
    }
}

#[cfg(test)]
#[path = "download_tests.rs"]
mod tests;

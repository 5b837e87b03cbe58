//! One fetch of a file at a time, across processes: the second waits, then finds it done.

use super::client::pause;
use super::error::FetchError;
use super::progress::ProgressReporter;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

/// Waits for the lock, asking all the while whether to stop. Dropping the file releases it, and so
/// does the end of the process, whatever ends it. The file itself stays, for a lock on a deleted
/// file would keep nobody out.
pub(super) fn wait(path: &Path, reporter: &mut ProgressReporter) -> Result<File, FetchError> {
    let file = open(path)?;
    let mut waiting = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if !waiting => {
                reporter.begin("Waiting for another illumine process to download", None)?;
                waiting = true;
            }
            Err(TryLockError::WouldBlock) => {
                reporter.check_stop()?;
                pause();
            }
            Err(TryLockError::Error(why)) => return Err(FetchError::disk(path, why)),
        }
    }
}

/// The lock, or nothing when someone else has it.
pub(super) fn now(path: &Path) -> Result<Option<File>, FetchError> {
    let file = open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(why)) => Err(FetchError::disk(path, why)),
    }
}

fn open(path: &Path) -> Result<File, FetchError> {
    let mut options = OpenOptions::new();
    let opened = options.create(true).truncate(false).write(true).open(path);
    opened.map_err(|why| FetchError::disk(path, why))
}

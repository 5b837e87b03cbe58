//! A lock shared by all processes, so that only one of them downloads a file.

use super::client::pause;
use super::error::FetchError;
use super::progress::ProgressReporter;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

/// Waits for the lock, and meanwhile checks whether to stop. The lock is released when the returned
/// file is dropped or the process ends. The lock file is never deleted, because a lock on a deleted
/// file would exclude no other process.
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

/// Tries to take the lock without waiting. Returns None if another process holds the lock.
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

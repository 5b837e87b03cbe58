//! The journal of one open session: append-only.

use super::recover::{Recovered, recover_journal};
use super::{StoreError, check_name};
use serde::Serialize;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use story::Record;
use story::record::{SessionHeader, VERSION};

pub(super) const FILE: &str = "journal.jsonl";

/// An open journal, locked so that only this process can write to it.
#[derive(Debug)]
pub struct Journal {
    file: File,
    dir: PathBuf,
    name: String,
    /// The length of the complete records in bytes; the file is truncated to it when a write fails
    /// midway.
    len: u64,
    /// The bytes written since the last successful sync.
    unsynced: Vec<u8>,
    /// Whether a sync failed, so that the system may have dropped `unsynced`.
    sync_failed: bool,
    read_only: Option<String>,
}

/// A record as a line of the journal, with the version first.
#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    #[serde(flatten)]
    record: &'a Record,
}

impl Journal {
    pub(super) fn create(
        root: &Path,
        name: &str,
        began: &str,
        build: &str,
    ) -> Result<Journal, StoreError> {
        let dir = root.join(name);
        make_private_dir(root, true)?;
        match make_private_dir(&dir, false) {
            Err(StoreError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::AlreadyExists =>
            {
                return Err(StoreError::Taken(name.to_string()));
            }
            made => made?,
        }
        let opening = SessionHeader {
            name: name.to_string(),
            build: build.to_string(),
            began: began.to_string(),
        };
        let begun = Journal::begin(&dir, name, opening);
        match begun.is_ok() {
            true => sync_dir(root),
            // A failed attempt must not block the name for the next one.
            false => drop(fs::remove_dir_all(&dir)),
        }
        begun
    }

    fn begin(dir: &Path, name: &str, opening: SessionHeader) -> Result<Journal, StoreError> {
        let mut journal = Journal {
            file: open_private(&dir.join(FILE), true)?,
            dir: dir.to_path_buf(),
            name: name.to_string(),
            len: 0,
            unsynced: Vec::new(),
            sync_failed: false,
            read_only: None,
        };
        journal.lock()?;
        journal.append(&[Record::Session(opening)])?;
        journal.sync()?;
        sync_dir(dir);
        Ok(journal)
    }

    pub(super) fn open(root: &Path, name: &str) -> Result<(Journal, Recovered), StoreError> {
        let dir = root.join(name);
        let path = dir.join(FILE);
        if !path.is_file() {
            return Err(StoreError::Unknown(name.to_string()));
        }
        let mut journal = Journal {
            file: open_private(&path, false)?,
            dir,
            name: name.to_string(),
            len: 0,
            unsynced: Vec::new(),
            sync_failed: false,
            read_only: None,
        };
        journal.lock()?;
        let mut bytes = Vec::new();
        let read = journal.file.read_to_end(&mut bytes);
        read.map_err(|error| StoreError::io("read", &path, error))?;
        let recovered = recover_journal(&bytes);
        journal.len = recovered.len as u64;
        journal.read_only = recovered.read_only_reason.clone();
        if recovered.read_only_reason.is_none() && recovered.len < bytes.len() {
            journal.set_aside(&bytes[recovered.len..])?;
        }
        Ok((journal, recovered))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// The session's folder.
    pub fn folder(&self) -> &Path {
        &self.dir
    }

    /// Why the journal is read-only, if it is.
    pub fn read_only(&self) -> Option<&str> {
        self.read_only.as_deref()
    }

    /// Returns an error if the journal is read-only.
    pub fn writable(&self) -> Result<(), StoreError> {
        match &self.read_only {
            None => Ok(()),
            Some(why) => Err(StoreError::ReadOnly {
                name: self.name.clone(),
                why: why.clone(),
            }),
        }
    }

    /// Appends all records, or none on an error.
    pub fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.writable()?;
        let mut lines = Vec::new();
        for record in records {
            let line = Line { v: VERSION, record };
            let written = serde_json::to_writer(&mut lines, &line);
            written.map_err(|error| StoreError::io("write", &self.path(), error.into()))?;
            lines.push(b'\n');
        }
        let path = self.path();
        let result = self
            .file
            .seek(SeekFrom::Start(self.len))
            .and_then(|_| self.file.write_all(&lines));
        if let Err(error) = result {
            // Removes a partial line, which the next record would be joined to.
            let _ = self.file.set_len(self.len);
            return Err(StoreError::io("write", &path, error));
        }
        self.len += lines.len() as u64;
        self.unsynced.extend(lines);
        Ok(())
    }

    /// Returns once everything appended is safely on disk.
    ///
    /// After an fsync error the kernel marks the failed pages as clean, so that a second fsync
    /// would succeed without writing anything (Rebello et al., "Can Applications Recover from fsync
    /// Failures?", ATC 2020). So the unsynced bytes are written again first.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        let path = self.path();
        let failed = |error| StoreError::io("write", &path, error);
        if self.sync_failed {
            let safe = self.len - self.unsynced.len() as u64;
            let again = self.file.seek(SeekFrom::Start(safe));
            again
                .and_then(|_| self.file.write_all(&self.unsynced))
                .map_err(failed)?;
        }
        let synced = self.file.sync_data();
        self.sync_failed = synced.is_err();
        synced.map_err(failed)?;
        self.unsynced.clear();
        Ok(())
    }

    /// Renames the session.
    pub fn rename(&mut self, name: &str) -> Result<(), StoreError> {
        let name = check_name(name)?;
        let root = self.dir.parent().unwrap_or(Path::new(".")).to_path_buf();
        let dir = root.join(name);
        if dir.exists() {
            return Err(StoreError::Taken(name.to_string()));
        }
        fs::rename(&self.dir, &dir).map_err(|error| StoreError::io("rename", &self.dir, error))?;
        sync_dir(&root);
        self.dir = dir;
        self.name = name.to_string();
        Ok(())
    }

    fn lock(&self) -> Result<(), StoreError> {
        match self.file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(StoreError::Busy(self.name.clone())),
            // Some network disks have no locks: writing unlocked is better than not writing.
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
                Ok(())
            }
            Err(TryLockError::Error(error)) => Err(StoreError::io("lock", &self.path(), error)),
        }
    }

    /// Saves an incomplete record in a separate file, then truncates the journal.
    fn set_aside(&mut self, tail: &[u8]) -> Result<(), StoreError> {
        let free = (1..)
            .map(|n| self.dir.join(format!("torn-{n}.txt")))
            .find(|path| !path.exists());
        let aside = free.unwrap_or_else(|| self.dir.join("torn.txt"));
        let mut file = open_private(&aside, true)?;
        let kept = file.write_all(tail).and_then(|()| file.sync_data());
        kept.map_err(|error| StoreError::io("write", &aside, error))?;
        let cut = self.file.set_len(self.len);
        cut.map_err(|error| StoreError::io("write", &self.path(), error))
    }
}

impl Drop for Journal {
    /// Releases the lock explicitly, because a child process that was just forked may still hold a
    /// copy of the file.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

pub(super) fn make_private_dir(path: &Path, recursive: bool) -> Result<(), StoreError> {
    let mut builder = DirBuilder::new();
    builder.recursive(recursive);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(|error| StoreError::io("create the folder", path, error))
}

pub(super) fn open_private(path: &Path, new: bool) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(new);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .map_err(|error| StoreError::io("open", path, error))
}

/// Syncs a folder, so that a new name in it is durable; ignores file systems that do not support
/// it.
pub(super) fn sync_dir(path: &Path) {
    if let Ok(dir) = File::open(path) {
        let _ = dir.sync_all();
    }
}

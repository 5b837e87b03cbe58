//! The journal of one open session. Records are only appended to a journal.

use super::held::HeldFiles;
use super::names::check_new_name;
use super::place::{FILE, Misplaced, Stamp};
use super::private::{make_private_dir, open_private, sync_dir};
use super::recover::{Recovered, recover_journal};
use super::{StoreError, place};
use serde::Serialize;
use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use story::Record;
use story::record::{SessionHeader, VERSION};

/// An open journal, locked so that only this process can write to it.
#[derive(Debug)]
pub struct Journal {
    file: File,
    dir: PathBuf,
    name: String,
    /// The bytes of all complete records in the file. If the file is removed while it is open,
    /// these bytes are written to a new file.
    written: Vec<u8>,
    /// The number of bytes of `written` that have been synced to disk.
    synced: usize,
    /// Whether the last sync failed. If so, the system may have dropped the bytes written since the
    /// last successful sync.
    sync_failed: bool,
    /// Whether the file may end with a partial record, left by a failed write.
    torn: bool,
    /// The metadata of the file after this program last wrote to it.
    stamp: Stamp,
    read_only: Option<String>,
    /// Notices for the writer about the file.
    news: Vec<String>,
    held: HeldFiles,
}

/// One line of the journal: the version of the format, then the fields of the record.
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
        let opening = Record::Session(SessionHeader {
            name: name.to_string(),
            build: build.to_string(),
            began: began.to_string(),
        });
        Journal::create_with(root, name, lines(&[opening])?)
    }

    /// Creates a session with a journal that contains the records in `written`.
    pub(super) fn create_with(
        root: &Path,
        name: &str,
        written: Vec<u8>,
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
        let begun = Journal::begin(&dir, name, written);
        match begun.is_ok() {
            true => sync_dir(root),
            // A failed attempt must not block this name for the next attempt.
            false => drop(fs::remove_dir_all(&dir)),
        }
        begun
    }

    /// Creates a journal with the records in `written`, in a folder that has no journal.
    pub(super) fn begin(dir: &Path, name: &str, written: Vec<u8>) -> Result<Journal, StoreError> {
        let path = dir.join(FILE);
        let file = open_private(&path, true)?;
        let mut journal = Journal::new(file, dir.to_path_buf(), name)?;
        let begun = journal.fill(written);
        if begun.is_err() {
            // A partly written session must not be opened in place of a complete one.
            let _ = fs::remove_file(&path);
        }
        begun.map(|()| journal)
    }

    fn new(file: File, dir: PathBuf, name: &str) -> Result<Journal, StoreError> {
        let stamp = Stamp::of(&file);
        let stamp = stamp.map_err(|error| StoreError::io("read", &dir.join(FILE), error))?;
        Ok(Journal {
            file,
            dir,
            name: name.to_string(),
            written: Vec::new(),
            synced: 0,
            sync_failed: false,
            torn: false,
            stamp,
            read_only: None,
            news: Vec::new(),
            held: HeldFiles::default(),
        })
    }

    fn fill(&mut self, written: Vec<u8>) -> Result<(), StoreError> {
        self.lock()?;
        self.write(written)?;
        self.sync()?;
        sync_dir(&self.dir);
        Ok(())
    }

    pub(super) fn open(root: &Path, name: &str) -> Result<(Journal, Recovered), StoreError> {
        let dir = root.join(name);
        let path = dir.join(FILE);
        if !path.is_file() {
            return Err(StoreError::Unknown(name.to_string()));
        }
        let mut journal = Journal::new(open_private(&path, false)?, dir, name)?;
        journal.lock()?;
        let mut bytes = Vec::new();
        let read = journal.file.read_to_end(&mut bytes);
        read.map_err(|error| StoreError::io("read", &path, error))?;
        let recovered = recover_journal(&bytes);
        journal.read_only = recovered.read_only_reason.clone();
        let tail = bytes.split_off(recovered.len);
        // A read-only journal is never written to, so its records need not be written again.
        if journal.read_only.is_none() {
            journal.synced = bytes.len();
            journal.written = bytes;
            if !tail.is_empty() {
                journal.set_aside(&tail)?;
            }
            journal.look()?;
            journal.held = HeldFiles::of(&journal.dir);
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

    /// The bytes of all complete records in the file; empty for a read-only journal.
    pub fn written(&self) -> &[u8] {
        &self.written
    }

    /// The reason why the journal is read-only; None if the journal is not read-only.
    pub fn read_only(&self) -> Option<&str> {
        self.read_only.as_deref()
    }

    /// Returns and clears the notices about the file. Each notice is one sentence.
    pub fn take_news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
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

    /// Appends all records; if there is an error, appends none of them. Before and after writing,
    /// checks that the open file is still the file at the journal's path, since records in a
    /// removed file are lost.
    pub fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.writable()?;
        let lines = lines(records)?;
        self.ensure_place()?;
        if lines.is_empty() {
            return Ok(());
        }
        let before = self.written.len();
        self.write(lines)?;
        let placed = self.ensure_place();
        if placed.is_err() {
            self.written.truncate(before);
            self.synced = self.synced.min(before);
        }
        placed
    }

    /// Makes sure that the file at the journal's path contains the whole story. If that file was
    /// removed, moved, replaced or cut, writes the story to a new file, which becomes the journal.
    pub fn ensure_place(&mut self) -> Result<(), StoreError> {
        if self.read_only.is_some() {
            return Ok(());
        }
        self.cut_torn()?;
        let path = self.path();
        let found = place::misplaced(&path, &self.stamp, &self.written);
        match found.map_err(|error| StoreError::io("read", &path, error))? {
            None => Ok(()),
            Some(Misplaced::Twin) if self.adopt(&path).is_ok() => Ok(()),
            Some(why) => self.move_on(&why),
        }
    }

    /// Switches to another file with the same bytes, such as one that a sync program uploaded and
    /// then downloaded again.
    fn adopt(&mut self, path: &Path) -> Result<(), StoreError> {
        let mut twin = Journal::new(open_private(path, false)?, self.dir.clone(), &self.name)?;
        twin.lock()?;
        twin.written = std::mem::take(&mut self.written);
        twin.news = std::mem::take(&mut self.news);
        twin.held = std::mem::take(&mut self.held);
        *self = twin;
        Ok(())
    }

    /// Writes the story to a new file and switches to it.
    fn move_on(&mut self, why: &Misplaced) -> Result<(), StoreError> {
        let (mut rescued, said) = self.rescue(why)?;
        self.held.restore(&rescued.dir);
        rescued.held = HeldFiles::of(&rescued.dir);
        rescued.news = std::mem::take(&mut self.news);
        rescued.news.push(said);
        *self = rescued;
        Ok(())
    }

    /// Holds a file in the session's folder open, so that the file can be restored if it is
    /// deleted.
    pub(super) fn hold_open(&mut self, path: &Path) {
        self.held.hold(&self.dir, path);
    }

    /// The open file, which may no longer be at the journal's path.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    fn write(&mut self, lines: Vec<u8>) -> Result<(), StoreError> {
        let end = self.written.len() as u64;
        let result = self
            .file
            .seek(SeekFrom::Start(end))
            .and_then(|_| self.file.write_all(&lines));
        if let Err(error) = result {
            // Half a line must not remain, since the next record would be appended to it.
            self.torn = true;
            let _ = self.cut_torn();
            return Err(StoreError::io("write", &self.path(), error));
        }
        self.written.extend(lines);
        self.look()
    }

    /// Removes the partial record that a failed write left at the end of the file.
    fn cut_torn(&mut self) -> Result<(), StoreError> {
        if !self.torn {
            return Ok(());
        }
        self.look()?;
        let len = self.written.len() as u64;
        // A file that another program cut must not be padded with zeros.
        if self.stamp.len() > len {
            let cut = self.file.set_len(len);
            cut.map_err(|error| StoreError::io("write", &self.path(), error))?;
            self.look()?;
        }
        self.torn = false;
        Ok(())
    }

    /// Updates `stamp` after this program has changed the file.
    fn look(&mut self) -> Result<(), StoreError> {
        let stamp = Stamp::of(&self.file);
        self.stamp = stamp.map_err(|error| StoreError::io("read", &self.path(), error))?;
        Ok(())
    }

    /// Syncs the journal. Returns once all appended records are safely on disk.
    ///
    /// After an fsync error, the kernel marks the failed pages as clean, so that a second fsync
    /// would succeed without writing anything (Rebello et al., "Can Applications Recover from fsync
    /// Failures?", ATC 2020). So the unsynced bytes are written again first.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        let path = self.path();
        let failed = |error| StoreError::io("write", &path, error);
        if self.sync_failed {
            let again = self.file.seek(SeekFrom::Start(self.synced as u64));
            again
                .and_then(|_| self.file.write_all(&self.written[self.synced..]))
                .map_err(failed)?;
        }
        let synced = self.file.sync_data();
        self.sync_failed = synced.is_err();
        synced.map_err(failed)?;
        self.synced = self.written.len();
        self.look()
    }

    /// Renames the session.
    pub fn rename(&mut self, name: &str) -> Result<(), StoreError> {
        let name = &check_new_name(name)?;
        self.ensure_place()?;
        let root = self.dir.parent().unwrap_or(Path::new(".")).to_path_buf();
        let dir = root.join(name);
        if super::Sessions::new(&root).folder_of(name).is_some() {
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

    /// Moves `tail`, an incomplete record, from the end of the journal to a separate file.
    fn set_aside(&mut self, tail: &[u8]) -> Result<(), StoreError> {
        let free = (1..)
            .map(|n| self.dir.join(format!("torn-{n}.txt")))
            .find(|path| !path.exists());
        let aside = free.unwrap_or_else(|| self.dir.join("torn.txt"));
        let mut file = open_private(&aside, true)?;
        let kept = file.write_all(tail).and_then(|()| file.sync_data());
        kept.map_err(|error| StoreError::io("write", &aside, error))?;
        let cut = self.file.set_len(self.written.len() as u64);
        cut.map_err(|error| StoreError::io("write", &self.path(), error))
    }
}

impl Drop for Journal {
    /// Releases the lock explicitly. Closing the file may not release the lock, because a child
    /// process that was just forked may still have the file open.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// Converts records to the lines of a journal.
pub(super) fn lines(records: &[Record]) -> Result<Vec<u8>, StoreError> {
    let mut lines = Vec::new();
    for record in records {
        let line = Line { v: VERSION, record };
        let written = serde_json::to_writer(&mut lines, &line);
        written.map_err(|error| StoreError::io("write", Path::new(FILE), error.into()))?;
        lines.push(b'\n');
    }
    Ok(lines)
}

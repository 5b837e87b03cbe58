//! Sessions on disk. Each session is an append-only file, `<sessions>/<name>/journal.jsonl`, with
//! one record per line.
//!
//! This module handles only records and files, and does not depend on an engine or a screen.
//! Folders have mode 0700 and files have mode 0600, since several people may use the machine.

mod backups;
mod copies;
pub mod export;
pub mod files;
mod held;
pub mod import;
mod journal;
mod lorebook;
mod names;
pub mod picture;
pub mod pictures;
mod place;
mod private;
pub mod prompts;
mod recover;
mod rescue;
mod salvage;
mod warm;

pub use backups::Backup;
pub use copies::{ConflictingCopy, Difference, difference};
pub use journal::Journal;
pub use names::{made_from, shell_word};
pub use recover::{Recovered, recover_journal};
pub use salvage::{LeftOut, Salvaged};

use base::search::composed;
use names::{check_name, check_new_name, numbered};

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The folder that contains all sessions.
#[derive(Clone, Debug)]
pub struct Sessions {
    root: PathBuf,
}

/// A session in the list of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionListing {
    pub name: String,
    pub bytes: u64,
    pub changed: SystemTime,
    /// The number of conflicting copies of the session.
    pub copies: usize,
}

/// An error with a session or its files. The message is one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "There is no session \"{0}\"; list the sessions with /sessions or `illumine sessions list`"
    )]
    Unknown(String),
    #[error("The session \"{0}\" already exists; choose another name, or open it with /open {0}")]
    Taken(String),
    #[error(
        "\"{0}\" is not a valid session name; use up to 100 letters, digits, spaces, dots, - and _, starting with a letter or digit"
    )]
    Name(String),
    #[error(
        "\"{0}\" is the name of a device on Windows, where a synchronized folder could not hold it; choose another name"
    )]
    Reserved(String),
    #[error(
        "The session \"{0}\" is open in another illumine; close it there, or start another one with /new"
    )]
    Busy(String),
    #[error(
        "The disk is full ({path}): saved text is safe, and the text on the screen is kept in memory; free some space and type /save"
    )]
    Full { path: PathBuf },
    #[error(
        "The disk failed when illumine tried to {what} {path} ({source}): saved text is safe, and the text on the screen is kept in memory; type /save when the disk works again, or choose another folder with --sessions"
    )]
    Broken {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "Cannot {what} {path}: {source}; check the folder's owner and permissions, or choose another folder with --sessions"
    )]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("The session \"{name}\" is read-only because {why}; nothing was changed")]
    ReadOnly { name: String, why: String },
    #[error(
        "{what}, and the story cannot be written to a new file ({}): it is only in memory now; type /save when that is fixed, or /export it to another folder",
        .source.cause()
    )]
    Lost {
        what: String,
        source: Box<StoreError>,
    },
    #[error(
        "There is no backup of {name} from {date}; list its backups with `illumine sessions restore {}`",
        shell_word(name)
    )]
    NoBackup { name: String, date: String },
    #[error(
        "{name} has no conflicting copy {number}; list them with `illumine sessions conflicts {}`",
        shell_word(name)
    )]
    NoCopy { name: String, number: usize },
}

/// The value of the errno `EIO`: the device failed to read or write.
const EIO: i32 = 5;

impl StoreError {
    /// Describes what went wrong, without advice.
    fn cause(&self) -> String {
        match self {
            StoreError::Full { .. } => "the disk is full".to_string(),
            StoreError::Broken { what, path, source } | StoreError::Io { what, path, source } => {
                format!("cannot {what} {}: {source}", path.display())
            }
            StoreError::Unknown(_)
            | StoreError::Taken(_)
            | StoreError::Name(_)
            | StoreError::Reserved(_)
            | StoreError::Busy(_)
            | StoreError::ReadOnly { .. }
            | StoreError::Lost { .. }
            | StoreError::NoBackup { .. }
            | StoreError::NoCopy { .. } => self.to_string(),
        }
    }

    /// Creates the error for an I/O operation that failed at `path`. `what` names the operation.
    pub fn io(what: &'static str, path: &Path, source: io::Error) -> StoreError {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => StoreError::Full { path },
            _ if source.raw_os_error() == Some(EIO) => StoreError::Broken { what, path, source },
            _ => StoreError::Io { what, path, source },
        }
    }
}

impl Sessions {
    pub fn new(root: impl Into<PathBuf>) -> Sessions {
        Sessions { root: root.into() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Lists the sessions. The most recently written session is first.
    pub fn list(&self) -> Result<Vec<SessionListing>, StoreError> {
        let mut listed = self.list_journals()?;
        for one in &mut listed {
            one.copies = self.copy_count(&one.name);
        }
        Ok(listed)
    }

    /// The names of the sessions. The most recently written session is first. This is faster than
    /// `list`, because conflicting copies are not counted.
    pub fn names(&self) -> Result<Vec<String>, StoreError> {
        let listed = self.list_journals()?;
        Ok(listed.into_iter().map(|one| one.name).collect())
    }

    /// Lists the sessions without counting their conflicting copies. The most recently written
    /// session is first.
    fn list_journals(&self) -> Result<Vec<SessionListing>, StoreError> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::io("read the folder", &self.root, error)),
        };
        let listed = entries.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let meta = fs::metadata(entry.path().join(place::FILE)).ok()?;
            Some(SessionListing {
                name: check_name(&name).ok()?.to_string(),
                bytes: meta.len(),
                changed: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                copies: 0,
            })
        });
        let mut listed: Vec<SessionListing> = listed.collect();
        listed.sort_by(|a, b| b.changed.cmp(&a.changed).then_with(|| a.name.cmp(&b.name)));
        Ok(listed)
    }

    /// Creates a session. Without a name, it gets the first of the names `story-1`, `story-2`, …
    /// that is free.
    pub fn create(
        &self,
        name: Option<&str>,
        began: &str,
        build: &str,
    ) -> Result<Journal, StoreError> {
        match name {
            Some(name) => Journal::create(&self.root, &self.new_name(name)?, began, build),
            None => self.create_numbered(began, build),
        }
    }

    /// Creates a session named `name`. If this name is taken, the session gets the first of the
    /// names `NAME-2`, `NAME-3`, … that is free.
    pub fn create_free(&self, name: &str, began: &str, build: &str) -> Result<Journal, StoreError> {
        self.first_free(name, |name| self.create(Some(name), began, build))
    }

    /// Creates a session whose journal contains `bytes`. If `name` is taken, the session gets the
    /// first free numbered name.
    fn create_copy(&self, name: &str, bytes: &[u8]) -> Result<Journal, StoreError> {
        self.first_free(name, |name| {
            Journal::create_with(&self.root, &self.new_name(name)?, bytes.to_vec())
        })
    }

    fn first_free(
        &self,
        name: &str,
        create: impl Fn(&str) -> Result<Journal, StoreError>,
    ) -> Result<Journal, StoreError> {
        let mut number = 1;
        loop {
            let tried = match number {
                1 => create(name),
                number => create(&numbered(name, number)),
            };
            match tried {
                Err(StoreError::Taken(_)) => number += 1,
                made => return made,
            }
        }
    }

    /// Returns the folder name for a new session, or an error if the name is invalid or taken.
    fn new_name(&self, name: &str) -> Result<String, StoreError> {
        let name = check_new_name(name)?;
        match self.folder_of(&name) {
            Some(_) => Err(StoreError::Taken(name)),
            None => Ok(name),
        }
    }

    /// Finds the folder of a session by name. The accented letters of the name may be encoded
    /// differently in the folder's name.
    fn folder_of(&self, name: &str) -> Option<String> {
        if self.root.join(name).exists() {
            return Some(name.to_string());
        }
        // Letters without accents have only one encoding.
        if name.is_ascii() {
            return None;
        }
        let wanted = composed(name);
        let entries = fs::read_dir(&self.root).ok()?.flatten();
        let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.find(|name| composed(name) == wanted)
    }

    /// The name of a session, spelled as in the name of its folder.
    pub fn resolve(&self, name: &str) -> Result<String, StoreError> {
        let name = check_name(name)?;
        Ok(self.folder_of(name).unwrap_or_else(|| name.to_string()))
    }

    /// Deletes the folder of a new session whose records or files could not be written.
    pub fn discard(&self, journal: Journal) {
        let _ = fs::remove_dir_all(journal.folder());
    }

    fn create_numbered(&self, began: &str, build: &str) -> Result<Journal, StoreError> {
        let mut number = 1;
        loop {
            match Journal::create(&self.root, &format!("story-{number}"), began, build) {
                Err(StoreError::Taken(_)) => number += 1,
                made => return made,
            }
        }
    }

    /// Opens a session for writing and loads it. If the last record is incomplete, it is moved to a
    /// file next to the journal. A journal that cannot be parsed completely is opened read-only.
    pub fn open(&self, name: &str) -> Result<(Journal, Recovered), StoreError> {
        Journal::open(&self.root, &self.resolve(name)?)
    }

    /// Loads a session without locking or changing it. This works even while another process writes
    /// to the session.
    pub fn read(&self, name: &str) -> Result<Recovered, StoreError> {
        let path = self.folder(name)?.join(place::FILE);
        match fs::read(&path) {
            Ok(bytes) => Ok(recover_journal(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::Unknown(name.to_string()))
            }
            Err(error) => Err(StoreError::io("read", &path, error)),
        }
    }

    /// The files to which incomplete records were moved after crashes.
    pub fn set_aside(&self, name: &str) -> Result<Vec<PathBuf>, StoreError> {
        let folder = self.folder(name)?;
        let entries = fs::read_dir(&folder);
        let entries = entries.map_err(|error| StoreError::io("read the folder", &folder, error))?;
        let torn = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("torn") && name.ends_with(".txt"))
        };
        let mut found: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(torn).collect();
        found.sort();
        Ok(found)
    }

    /// The folder of a session.
    pub fn folder(&self, name: &str) -> Result<PathBuf, StoreError> {
        Ok(self.root.join(self.resolve(name)?))
    }

    pub fn exists(&self, name: &str) -> bool {
        let folder = self.folder(name);
        folder.is_ok_and(|folder| folder.join(place::FILE).is_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_without_a_name_are_numbered() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(dir.path().join("sessions"));
        assert_eq!(sessions.list().unwrap(), []);
        let first = sessions.create(None, "", "0").unwrap();
        let second = sessions.create(None, "", "0").unwrap();
        assert_eq!((first.name(), second.name()), ("story-1", "story-2"));
        assert!(sessions.exists("story-1"));
        assert_eq!(sessions.list().unwrap().len(), 2);
    }

    #[test]
    fn an_accent_is_the_same_however_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(dir.path());
        drop(sessions.create(Some("Cafe\u{301}"), "", "0").unwrap());
        assert!(dir.path().join("Caf\u{e9}").is_dir());
        // As left by a system that decomposes names, or by an earlier version.
        fs::rename(dir.path().join("Caf\u{e9}"), dir.path().join("Cafe\u{301}")).unwrap();
        assert!(sessions.exists("Caf\u{e9}"));
        let (journal, _) = sessions.open("Caf\u{e9}").unwrap();
        assert_eq!(journal.name(), "Cafe\u{301}");
        let again = sessions.create(Some("Caf\u{e9}"), "", "0");
        assert!(matches!(again, Err(StoreError::Taken(_))));
    }
}

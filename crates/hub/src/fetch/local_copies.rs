//! The copies of a model on this machine, and their checksums.

use super::error::FetchError;
use super::hub::HubFile;
use super::lock;
use super::progress::ProgressReporter;
use super::{ModelStore, disk};
use crate::catalog::{Entry, Source};
use std::path::{Path, PathBuf};

/// The name of the subfolder that holds packages until they are unpacked.
pub(super) const PACKAGES: &str = "wheels";

impl ModelStore {
    /// Returns the path of a verified copy. An invalid copy in our own folder is renamed. An
    /// invalid copy in the shared cache is skipped, and the download replaces it. If all copies
    /// have a wrong checksum, the error describes one of the copies.
    pub(super) fn verified_copy(
        &self,
        entry: &Entry,
        reporter: &mut ProgressReporter,
    ) -> Result<Option<PathBuf>, CopyError> {
        let mut bad = None;
        for path in self.local_copies(entry) {
            let Some(expected) = self.expected(entry) else {
                match right_size(&path, entry) {
                    true => return Ok(Some(path)),
                    false => drop(self.set_aside(&path)?),
                }
                continue;
            };
            let found = self.checksums().sha256(&path, reporter)?;
            if found == expected {
                return Ok(Some(path));
            }
            let fate = self.set_aside(&path)?;
            bad = Some(wrong(entry, &path, expected, found, fate));
        }
        bad.map_or(Ok(None), |bad| Err(CopyError::Copy(bad)))
    }

    /// Renames an invalid file in our own folder; leaves a file in any other folder alone. Returns
    /// a clause that says what happened to the file.
    pub(super) fn set_aside(&self, path: &Path) -> Result<String, FetchError> {
        if !path.starts_with(&self.root) {
            return Ok("it is in the model hub's shared cache and was left there".into());
        }
        let mut bad = path.as_os_str().to_owned();
        bad.push(".bad");
        std::fs::rename(path, &bad).map_err(disk(path))?;
        Ok(format!("it was set aside as {}", Path::new(&bad).display()))
    }

    /// Returns the paths of all existing copies of the model: first our own copy, then the copies
    /// in the hub's cache.
    pub(super) fn local_copies(&self, entry: &Entry) -> Vec<PathBuf> {
        let ours = self.home(entry).join(&entry.file);
        let cached = self
            .hub_files(entry)
            .into_iter()
            .filter_map(|file| file.cached());
        let ours = Some(ours).filter(|path| path.is_file());
        ours.into_iter().chain(cached).collect()
    }

    pub(super) fn hub_files<'a>(&'a self, entry: &'a Entry) -> Vec<HubFile<'a>> {
        let hub = |source: &'a Source| match source {
            Source::Hub { repo, revision } => {
                Some(self.hub_file(entry, repo, revision, entry.sha256.as_deref()))
            }
            Source::Pip { .. } | Source::Npm { .. } => None,
        };
        entry.sources.iter().filter_map(hub).collect()
    }

    pub(super) fn hub_file<'a>(
        &'a self,
        entry: &'a Entry,
        repo: &'a str,
        revision: &'a str,
        sha256: Option<&'a str>,
    ) -> HubFile<'a> {
        HubFile {
            settings: &self.hub,
            name: &entry.name,
            repo,
            revision,
            file: &entry.file,
            sha256,
        }
    }

    /// Returns the SHA-256 that the model must have: the catalogue's, or else the SHA-256 of the
    /// first download.
    pub(super) fn expected(&self, entry: &Entry) -> Option<String> {
        let recorded = || {
            let line = std::fs::read_to_string(self.beside(entry, "sha256")).ok()?;
            line.split_whitespace().next().map(String::from)
        };
        entry.sha256.clone().or_else(recorded)
    }

    /// Removes the packages that a download left in the model's folder because it was killed just
    /// after finishing. Does nothing if another process is using the folder.
    pub(super) fn tidy(&self, entry: &Entry) -> Result<(), FetchError> {
        let wheels = self.home(entry).join(PACKAGES);
        if wheels.is_dir() && lock::now(&self.beside(entry, "lock"))?.is_some() {
            std::fs::remove_dir_all(&wheels).map_err(disk(&wheels))?;
        }
        Ok(())
    }
}

/// Why there is no valid copy.
pub(super) enum CopyError {
    /// The existing copies are invalid, but the model can be downloaded again.
    Copy(FetchError),
    Other(FetchError),
}

impl From<FetchError> for CopyError {
    fn from(error: FetchError) -> CopyError {
        CopyError::Other(error)
    }
}

/// Whether the file has the size that the catalogue states. True if the catalogue states no size.
pub(super) fn right_size(path: &Path, entry: &Entry) -> bool {
    let size = path.metadata().map_or(0, |metadata| metadata.len());
    entry.bytes.is_none_or(|bytes| bytes == size)
}

pub(super) fn wrong(
    entry: &Entry,
    path: &Path,
    expected: String,
    found: String,
    fate: String,
) -> FetchError {
    FetchError::WrongChecksum {
        name: entry.name.clone(),
        what: format!("{} is not the file in the catalogue", path.display()),
        expected,
        found,
        fate,
    }
}

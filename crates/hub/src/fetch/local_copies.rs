//! The copies of a model on this machine, and their checksums.

use super::error::FetchError;
use super::hub::HubFile;
use super::lock;
use super::progress::ProgressReporter;
use super::{ModelStore, disk};
use crate::catalog::{Entry, Source};
use std::path::{Path, PathBuf};

/// The subfolder for packages while they are unpacked.
pub(super) const PACKAGES: &str = "wheels";

impl ModelStore {
    /// Returns a verified copy. A bad copy in our own folder is moved aside; one in the shared
    /// cache is skipped, and the download replaces it. If only bad copies exist, the error
    /// describes one of them.
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

    /// Moves a bad file in our own folder aside, and returns a clause that says what happened to
    /// it.
    pub(super) fn set_aside(&self, path: &Path) -> Result<String, FetchError> {
        if !path.starts_with(&self.root) {
            return Ok("it is in the model hub's shared cache and was left there".into());
        }
        let mut bad = path.as_os_str().to_owned();
        bad.push(".bad");
        std::fs::rename(path, &bad).map_err(disk(path))?;
        Ok(format!("it was set aside as {}", Path::new(&bad).display()))
    }

    /// All existing copies of the model: our own first, then those in the hub's cache.
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

    /// The expected SHA-256: the catalogue's, or that of the first download.
    pub(super) fn expected(&self, entry: &Entry) -> Option<String> {
        let recorded = || {
            let line = std::fs::read_to_string(self.beside(entry, "sha256")).ok()?;
            line.split_whitespace().next().map(String::from)
        };
        entry.sha256.clone().or_else(recorded)
    }

    /// Removes the packages of a finished download that was killed before it could remove them,
    /// unless another process is using the model's folder.
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
    /// A copy is invalid; another one can be downloaded.
    Copy(FetchError),
    Other(FetchError),
}

impl From<FetchError> for CopyError {
    fn from(error: FetchError) -> CopyError {
        CopyError::Other(error)
    }
}

/// Whether the file has the catalogue's size, if that is known.
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

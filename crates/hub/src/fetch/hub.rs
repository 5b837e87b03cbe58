//! Downloads files from the model hub into the cache that all of the hub's tools share.
//!
//! The `hf-hub` crate determines the cache's layout, so that models are shared with other tools.
//! Version 0.5 is used because it is small and blocking, whereas 1.0 adds an async runtime and a
//! second transfer protocol. The `download` module downloads the file. It uses the same partial
//! file and the same lock that hf-hub would use.

use super::client;
use super::download::{Download, download};
use super::error::FetchError;
use super::progress::ProgressReporter;
use super::settings::{HttpSettings, HubSettings};
use super::verify::sha256_of;
use super::{disk, lock};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use std::path::{Path, PathBuf};
use ureq::http::Response;

/// A file in a repository on the hub.
pub(super) struct HubFile<'a> {
    pub settings: &'a HubSettings,
    /// The name of the model in the catalogue.
    pub name: &'a str,
    pub repo: &'a str,
    pub revision: &'a str,
    pub file: &'a str,
    pub sha256: Option<&'a str>,
}

/// The hub's metadata for a file.
struct About {
    commit: String,
    etag: String,
}

impl HubFile<'_> {
    /// Finds the file in the shared cache, either at this revision or, if its SHA-256 is known, at
    /// any revision.
    pub(super) fn cached(&self) -> Option<PathBuf> {
        let pinned = self.in_cache().pointer_path(self.revision).join(self.file);
        if pinned.is_file() {
            return Some(pinned);
        }
        self.in_cache().get(self.file).or_else(|| {
            let is_it = |path: &PathBuf| {
                let blob = path.canonicalize().ok();
                let name = blob
                    .as_deref()
                    .and_then(Path::file_name)
                    .and_then(|name| name.to_str());
                name.is_some() && name == self.sha256
            };
            self.pointers().into_iter().find(is_it)
        })
    }

    /// Removes the file from the shared cache, and returns the number of bytes freed.
    pub(super) fn forget(&self) -> Result<u64, FetchError> {
        let Some(pointer) = self.cached() else {
            return Ok(0);
        };
        let blob = pointer.canonicalize().map_err(disk(&pointer))?;
        let bytes = blob.metadata().map_err(disk(&blob))?.len();
        for path in self.pointers() {
            if path.canonicalize().is_ok_and(|target| target == blob) {
                std::fs::remove_file(&path).map_err(disk(&path))?;
            }
        }
        if blob.exists() {
            std::fs::remove_file(&blob).map_err(disk(&blob))?;
        }
        Ok(bytes)
    }

    /// Downloads the file into the shared cache, and verifies the file before renaming it. Returns
    /// the file's path and SHA-256.
    pub(super) fn fetch(
        &self,
        http: &HttpSettings,
        reporter: &mut ProgressReporter,
    ) -> Result<(PathBuf, String), FetchError> {
        if self.settings.offline {
            return Err(unusable("HF_HUB_OFFLINE is set".into()));
        }
        let about = self.ask(http, reporter)?;
        let blob = self.in_cache().blob_path(&about.etag);
        let blobs = blob.parent().unwrap_or(&self.settings.cache);
        std::fs::create_dir_all(blobs).map_err(disk(blobs))?;
        let _lock = lock::wait(&blob.with_extension("lock"), reporter)?;
        let here = match blob.is_file() {
            true => Some(sha256_of(&blob, reporter)?),
            false => None,
        };
        let sha256 = match here.filter(|found| self.wants(&about, found)) {
            Some(found) => found,
            None => self.fill(&about, &blob, http, reporter)?,
        };
        Ok((self.point(&about, &blob)?, sha256))
    }

    fn fill(
        &self,
        about: &About,
        blob: &Path,
        http: &HttpSettings,
        reporter: &mut ProgressReporter,
    ) -> Result<String, FetchError> {
        let partial = blob.with_extension("part");
        reporter.begin("Downloading", None)?;
        let wanted = Download {
            url: &self.url(),
            token: self.settings.token.as_deref(),
            partial: &partial,
            rest: http.rest,
        };
        download(&client::agent(http, 10), &wanted, reporter).map_err(named)?;
        let found = sha256_of(&partial, reporter)?;
        if !self.wants(about, &found) {
            std::fs::remove_file(&partial).map_err(disk(&partial))?;
            return Err(self.wrong(about, found));
        }
        std::fs::rename(&partial, blob).map_err(disk(blob))?;
        Ok(found)
    }

    /// Requests the file's headers from the hub. Redirects to other hosts are not followed, because
    /// only the hub's own response contains the etag.
    fn ask(
        &self,
        http: &HttpSettings,
        reporter: &mut ProgressReporter,
    ) -> Result<About, FetchError> {
        reporter.begin("Asking the model hub for", None)?;
        let agent = client::agent(http, 0);
        let (endpoint, first) = (self.settings.endpoint.clone(), self.url());
        let token = self.settings.token.clone();
        let answer = client::run_in_background(reporter, move || {
            let mut url = first;
            for _ in 0..4 {
                let mut request = agent.head(&url);
                if let Some(token) = &token {
                    request = request.header("Authorization", format!("Bearer {token}"));
                }
                let response = request.call()?;
                // A renamed repository redirects to a path on the hub itself.
                match header(&response, "location") {
                    Some(path) if path.starts_with('/') => url = format!("{endpoint}{path}"),
                    _ => return Ok(response),
                }
            }
            Err(ureq::Error::TooManyRedirects)
        })?;
        about(&answer.map_err(|error| unusable(client::why(&error)))?)
    }

    /// Whether `found` is the right SHA-256. If the right one is not known in advance, `found` is
    /// compared with the file's etag, which is a SHA-256 for large files. For small files the etag
    /// is a git hash, so any SHA-256 is accepted.
    fn wants(&self, about: &About, found: &str) -> bool {
        let good = self.sha256.unwrap_or(&about.etag);
        good.len() != 64 || good == found
    }

    /// Creates, in the commit's folder, a link to the blob, as hf-hub does. Returns the link's
    /// path.
    fn point(&self, about: &About, blob: &Path) -> Result<PathBuf, FetchError> {
        let pointer = self.in_cache().pointer_path(&about.commit).join(self.file);
        let parent = pointer.parent().unwrap_or(&pointer);
        std::fs::create_dir_all(parent).map_err(disk(parent))?;
        if !pointer.is_file() {
            let _ = std::fs::remove_file(&pointer);
            link(blob, &pointer, self.file).map_err(disk(&pointer))?;
        }
        if about.commit != self.revision {
            self.in_cache()
                .create_ref(&about.commit)
                .map_err(disk(&self.settings.cache))?;
        }
        Ok(pointer)
    }

    /// Returns the path of this file in the folder of each cached commit that contains the file.
    fn pointers(&self) -> Vec<PathBuf> {
        let any = self.in_cache().pointer_path("any");
        let snapshots = any.parent().and_then(|snapshots| snapshots.read_dir().ok());
        let commits = snapshots.into_iter().flatten().flatten();
        let files = commits.map(|commit| commit.path().join(self.file));
        files
            .filter(|path| path.symlink_metadata().is_ok())
            .collect()
    }

    fn wrong(&self, about: &About, found: String) -> FetchError {
        FetchError::WrongChecksum {
            name: self.name.into(),
            what: format!("The model hub's {} is invalid", self.file),
            expected: self.sha256.unwrap_or(&about.etag).into(),
            found,
            fate: "it was deleted".into(),
        }
    }

    fn url(&self) -> String {
        let (endpoint, repo) = (&self.settings.endpoint, self.repo());
        format!(
            "{endpoint}/{}/resolve/{}/{}",
            repo.url(),
            repo.url_revision(),
            self.file
        )
    }

    fn in_cache(&self) -> CacheRepo {
        Cache::new(self.settings.cache.clone()).repo(self.repo())
    }

    fn repo(&self) -> Repo {
        Repo::with_revision(self.repo.into(), RepoType::Model, self.revision.into())
    }
}

/// Parses the hub's metadata from the response headers.
fn about<B>(response: &Response<B>) -> Result<About, FetchError> {
    let status = response.status();
    if matches!(status.as_u16(), 401 | 403) {
        let why = format!(
            "{}: it may require a token in HF_TOKEN",
            client::refusal(status)
        );
        return Err(unusable(why));
    }
    if status.is_client_error() || status.is_server_error() {
        return Err(unusable(client::refusal(status)));
    }
    let plain = |text: &String| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
    let etag = header(response, "x-linked-etag").or_else(|| header(response, "etag"));
    let etag = etag.map(|etag| etag.trim_start_matches("W/").replace('"', ""));
    match (
        header(response, "x-repo-commit").filter(plain),
        etag.filter(plain),
    ) {
        (Some(commit), Some(etag)) => Ok(About { commit, etag }),
        _ => Err(unusable("it does not respond like a model hub".into())),
    }
}

fn named(error: FetchError) -> FetchError {
    match error {
        FetchError::Source(why) => unusable(why),
        other => other,
    }
}

fn unusable(why: String) -> FetchError {
    FetchError::Source(format!("the model hub is unavailable ({why})"))
}

fn header<B>(response: &Response<B>, name: &str) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_owned())
}

/// Creates a relative link, so that the cache can be moved.
#[cfg(unix)]
fn link(blob: &Path, pointer: &Path, file: &str) -> std::io::Result<()> {
    let up = "../".repeat(2 + file.matches('/').count());
    let name = blob.file_name().unwrap_or_default();
    std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(name), pointer)
}

/// Moves the blob to the link's path, because creating links needs privileges on this system.
#[cfg(not(unix))]
fn link(blob: &Path, pointer: &Path, _file: &str) -> std::io::Result<()> {
    std::fs::rename(blob, pointer)
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;

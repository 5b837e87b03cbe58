//! Caches the SHA-256 of large files, so that illumine does not read 98 MB at every start.
//!
//! A stamp is a small file with the path, size, modification time and SHA-256 of a large file. A
//! stamp only avoids reading the large file again; it proves nothing. `illumine models verify`
//! therefore always reads the large file.

use super::error::FetchError;
use super::progress::ProgressReporter;
use base::hash::hexadecimal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

const CHUNK: usize = 1 << 20;

/// A cache of checksums, which are stored as stamps in the given folder.
pub(super) struct ChecksumCache(pub PathBuf);

#[derive(Serialize, Deserialize, PartialEq)]
struct CachedChecksum {
    path: PathBuf,
    bytes: u64,
    modified: u128,
    sha256: String,
}

impl ChecksumCache {
    /// Returns the file's SHA-256. It is taken from the stamp if the file has not changed, and
    /// computed otherwise.
    pub(super) fn sha256(
        &self,
        path: &Path,
        reporter: &mut ProgressReporter,
    ) -> Result<String, FetchError> {
        if let Some(sha256) = self.remembered(path) {
            return Ok(sha256);
        }
        let before = identity(path);
        let sha256 = sha256_of(path, reporter)?;
        if before.is_some() && before == identity(path) {
            self.remember(path, &sha256);
        }
        Ok(sha256)
    }

    /// Writes a stamp for the file. Failures are ignored.
    pub(super) fn remember(&self, path: &Path, sha256: &str) {
        let Some((path, bytes, modified)) = identity(path) else {
            return;
        };
        let file = self.file(&path);
        let stamp = CachedChecksum {
            path,
            bytes,
            modified,
            sha256: sha256.into(),
        };
        if let Ok(text) = serde_json::to_vec(&stamp) {
            let partial = file.with_extension(format!("{}.part", std::process::id()));
            let written = std::fs::create_dir_all(&self.0)
                .and_then(|()| std::fs::write(&partial, text))
                .and_then(|()| std::fs::rename(&partial, &file));
            if written.is_err() {
                let _ = std::fs::remove_file(&partial);
            }
        }
    }

    fn remembered(&self, path: &Path) -> Option<String> {
        let (path, bytes, modified) = identity(path)?;
        let text = std::fs::read(self.file(&path)).ok()?;
        let stamp: CachedChecksum = serde_json::from_slice(&text).ok()?;
        let same = (stamp.path, stamp.bytes, stamp.modified) == (path, bytes, modified);
        same.then_some(stamp.sha256)
    }

    fn file(&self, path: &Path) -> PathBuf {
        let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
        self.0.join(format!("{}.json", &hexadecimal(&digest)[..16]))
    }
}

/// Computes the SHA-256 of a file, in lower-case hexadecimal.
pub(super) fn sha256_of(
    path: &Path,
    reporter: &mut ProgressReporter,
) -> Result<String, FetchError> {
    let disk = |why| FetchError::disk(path, why);
    let mut file = File::open(path).map_err(disk)?;
    let total = file.metadata().map_err(disk)?.len();
    reporter.begin("Checking", Some(total))?;
    let (mut hash, mut done) = (Sha256::new(), 0);
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = file.read(&mut buffer).map_err(disk)?;
        if count == 0 {
            return Ok(hexadecimal(&hash.finalize()));
        }
        hash.update(&buffer[..count]);
        done += count as u64;
        reporter.set_done(done)?;
    }
}

/// Returns what identifies a file: its canonical path, its size and its modification time in
/// nanoseconds. A link in the hub's cache and the file that it points to therefore count as the
/// same file, but a file that has been replaced counts as a different one.
fn identity(path: &Path) -> Option<(PathBuf, u64, u128)> {
    let path = path.canonicalize().ok()?;
    let metadata = path.metadata().ok()?;
    let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((path, metadata.len(), modified.as_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;
    use std::time::Duration;

    const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    /// Returns the SHA-256 from the cache, and whether the file had to be read.
    fn ask(stamps: &ChecksumCache, path: &Path) -> (String, bool) {
        let mut read = false;
        let mut watch = |_: &super::super::Progress| {
            read = true;
            ControlFlow::Continue(())
        };
        let sha256 = stamps
            .sha256(path, &mut ProgressReporter::new("it", &mut watch))
            .unwrap();
        (sha256, read)
    }

    #[test]
    fn a_file_is_read_once_and_again_when_it_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.gguf");
        let stamps = ChecksumCache(directory.path().join("stamps"));
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(ask(&stamps, &path), (OF_ABC.into(), true));
        assert_eq!(ask(&stamps, &path), (OF_ABC.into(), false));

        std::fs::write(&path, "abd").unwrap();
        let later = path.metadata().unwrap().modified().unwrap() + Duration::from_secs(1);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(later)
            .unwrap();
        let (changed, read) = ask(&stamps, &path);
        assert!(read && changed != OF_ABC);
    }

    #[test]
    fn stamps_that_cannot_be_kept_do_no_harm() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.gguf");
        std::fs::write(&path, "abc").unwrap();
        let stamps = ChecksumCache(path.join("not-a-directory"));
        assert_eq!(ask(&stamps, &path).0, OF_ABC);
    }
}

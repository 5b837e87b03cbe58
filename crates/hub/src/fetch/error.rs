//! The errors of downloads. Each message is one sentence with advice.

use std::io;
use std::path::{Path, PathBuf};

/// Why a model could not be downloaded, verified or removed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(
        "Stopped downloading {name}; the partial file is kept, and `illumine models pull {name}` resumes it"
    )]
    Stopped { name: String },
    #[error(
        "{name} is not downloaded and illumine is offline; run `illumine models pull {name}` with a network connection, or pass a local GGUF file with --model PATH"
    )]
    Offline { name: String },
    #[error(
        "{name} is licensed under the {licence}{at}; read the licence, then accept it with `illumine models pull {name} --accept-licence`"
    )]
    Licence {
        name: String,
        licence: String,
        at: String,
    },
    #[error(
        "Cannot download {name}: {reasons}; fix that and run `illumine models pull {name}`, or pass a local GGUF file with --model PATH"
    )]
    NoSource { name: String, reasons: String },
    #[error(
        "{what}: SHA-256 {found} instead of {expected}; {fate}; run `illumine models pull {name}` to download it again"
    )]
    WrongChecksum {
        name: String,
        what: String,
        expected: String,
        found: String,
        fate: String,
    },
    #[error(
        "The disk with {0} is full; free some space and run the same command again (the partial file is kept)"
    )]
    DiskFull(PathBuf),
    #[error(
        "Cannot write {path}: {why}; make it writable, or set XDG_DATA_HOME (HF_HOME for the hub's cache) to a writable folder"
    )]
    Unwritable { path: PathBuf, why: io::Error },
    #[error("Cannot use {path}: {why}; check the disk and run the same command again")]
    Io { path: PathBuf, why: io::Error },
    #[error("{name} is not downloaded; run `illumine models pull {name}`")]
    Absent { name: String },
    #[error("Another illumine process is downloading {name}; wait for it to finish")]
    Busy { name: String },
    /// One source failed, so the next source is tried. Callers see this error only as a part of
    /// `NoSource`.
    #[error("{0}")]
    Source(String),
}

impl FetchError {
    /// Converts a disk error at `path` to an error with advice.
    pub(super) fn disk(path: &Path, why: io::Error) -> FetchError {
        use io::ErrorKind::*;
        let path = path.to_path_buf();
        match why.kind() {
            StorageFull | QuotaExceeded => FetchError::DiskFull(path),
            PermissionDenied | ReadOnlyFilesystem | NotADirectory => {
                FetchError::Unwritable { path, why }
            }
            _ => FetchError::Io { path, why },
        }
    }

    /// Whether another source may still succeed.
    pub(super) fn leaves_hope(&self) -> bool {
        matches!(
            self,
            FetchError::Source(_) | FetchError::WrongChecksum { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_errors_say_what_to_do() {
        let path = Path::new("models");
        let full = FetchError::disk(path, io::ErrorKind::StorageFull.into()).to_string();
        assert!(full.contains("free some space"), "{full}");
        let denied = FetchError::disk(path, io::ErrorKind::PermissionDenied.into()).to_string();
        assert!(denied.contains("XDG_DATA_HOME"), "{denied}");
    }
}

//! What can go wrong between a name and a verified file, each as one sentence with what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why a model could not be fetched, verified or removed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(
        "Stopped fetching {name}; what has come is kept, and `illumine models pull {name}` goes on from there"
    )]
    Stopped { name: String },
    #[error(
        "{name} is not on this machine and illumine is offline; run `illumine models pull {name}` when there is a network, or pass --model PATH to a GGUF file that you have"
    )]
    Offline { name: String },
    #[error(
        "{name} is under the {licence}{at}; read it, then accept it with `illumine models pull {name} --accept-licence`"
    )]
    Licence {
        name: String,
        licence: String,
        at: String,
    },
    #[error(
        "{name} cannot be fetched: {reasons}; run `illumine models pull {name}` again when that is put right, or pass --model PATH to a GGUF file that you have"
    )]
    NoSource { name: String, reasons: String },
    #[error(
        "{what}: SHA-256 {found}, not {expected}; {fate}, run `illumine models pull {name}` to fetch it anew"
    )]
    WrongChecksum {
        name: String,
        what: String,
        expected: String,
        found: String,
        fate: String,
    },
    #[error(
        "The disk that holds {0} is full; make room and run the same again: what has come is kept"
    )]
    DiskFull(PathBuf),
    #[error(
        "Cannot write {path}: {why}; make it writable, or set XDG_DATA_HOME (for the hub's cache HF_HOME) to a directory that is"
    )]
    Unwritable { path: PathBuf, why: io::Error },
    #[error("Cannot use {path}: {why}; check the disk and run the same again")]
    Io { path: PathBuf, why: io::Error },
    #[error("{name} is not on this machine; fetch it with `illumine models pull {name}`")]
    Absent { name: String },
    #[error("Another illumine is fetching {name}; wait until it is done")]
    Busy { name: String },
    /// One source did not give the file; the next is tried. Seen by callers inside `NoSource` only.
    #[error("{0}")]
    Source(String),
}

impl FetchError {
    /// A disk error at `path`, as the sentence that helps.
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

    /// Whether another source may still do what this one could not.
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
        assert!(full.contains("make room"), "{full}");
        let denied = FetchError::disk(path, io::ErrorKind::PermissionDenied.into()).to_string();
        assert!(denied.contains("XDG_DATA_HOME"), "{denied}");
    }
}

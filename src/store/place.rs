//! Checks that the file at a path is still the open file. While a session is open, its folder can
//! be removed, moved, or replaced by a sync program.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The name of a session's journal in its folder.
pub(super) const FILE: &str = "journal.jsonl";

/// The name of the folder that contains a session's pictures.
pub(super) const PICTURES: &str = "pictures";

/// File metadata, which is compared to detect changes without reading the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    file: (u64, u64),
    len: u64,
    modified: (i64, i64),
}

/// What is at the journal's path instead of the expected file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misplaced {
    /// No file.
    Gone,
    /// Another file with different bytes.
    Replaced,
    /// Another file with the same bytes.
    Twin,
    /// The same file, cut to this many bytes.
    Cut(u64),
    /// The same file with different bytes.
    Changed,
}

impl Stamp {
    pub(super) fn of(file: &File) -> io::Result<Stamp> {
        Ok(Stamp::from(&file.metadata()?))
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }
}

impl From<&Metadata> for Stamp {
    fn from(meta: &Metadata) -> Stamp {
        Stamp {
            file: (meta.dev(), meta.ino()),
            len: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
        }
    }
}

/// Compares the file at `path` with the file last written. Returns None if the file is the same and
/// unchanged. Reads the bytes of the file only if the metadata has changed.
pub(super) fn misplaced(
    path: &Path,
    stamp: &Stamp,
    written: &[u8],
) -> io::Result<Option<Misplaced>> {
    let there = match fs::metadata(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Some(Misplaced::Gone));
        }
        found => found?,
    };
    let (len, found) = (written.len() as u64, Stamp::from(&there));
    let same = found.file == stamp.file;
    if found == *stamp && found.len == len {
        return Ok(None);
    }
    let equal = there.is_file() && found.len == len && fs::read(path)? == written;
    Ok(match (same, equal) {
        (true, true) => None,
        (true, false) if found.len < len => Some(Misplaced::Cut(found.len)),
        (true, false) => Some(Misplaced::Changed),
        (false, true) => Some(Misplaced::Twin),
        (false, false) => Some(Misplaced::Replaced),
    })
}

/// The folder to which an open journal was moved, if it can be found.
pub(super) fn whereabouts(file: &File, root: &Path) -> Option<PathBuf> {
    let ours = Stamp::of(file).ok()?.file;
    let is_ours = |path: &PathBuf| {
        let meta = fs::metadata(path);
        meta.is_ok_and(|meta| Stamp::from(&meta).file == ours)
    };
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let siblings = entries.map(|entry| entry.path().join(FILE));
    let found = name_of(file).into_iter().chain(siblings).find(is_ours)?;
    found.parent().map(Path::to_path_buf)
}

/// The path of an open file, if the system can report it.
fn name_of(file: &File) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}

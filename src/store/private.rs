//! Creates files and folders that only their owner can read, and syncs folders.

use super::StoreError;
use std::fs::{DirBuilder, File, OpenOptions};
use std::path::Path;

pub(super) fn make_private_dir(path: &Path, recursive: bool) -> Result<(), StoreError> {
    let mut builder = DirBuilder::new();
    builder.recursive(recursive);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(|error| StoreError::io("create the folder", path, error))
}

pub(super) fn open_private(path: &Path, new: bool) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(new);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .map_err(|error| StoreError::io("open", path, error))
}

/// Syncs a folder, so that a new file in the folder survives a power failure. Ignores errors, since
/// some file systems cannot sync folders.
pub(super) fn sync_dir(path: &Path) {
    if let Ok(dir) = File::open(path) {
        let _ = dir.sync_all();
    }
}

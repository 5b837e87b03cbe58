//! Writes the fuzzer's bytes to a temporary file, for functions that read from a path.

use std::io::Write;
use tempfile::NamedTempFile;

pub fn with(bytes: &[u8]) -> Option<NamedTempFile> {
    let mut file = NamedTempFile::new().ok()?;
    file.write_all(bytes).ok()?;
    Some(file)
}

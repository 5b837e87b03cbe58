//! Reads a file whose size is limited.

use base::untrusted::clean_key;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Reads a file of at most `largest` bytes. The error is one sentence that says why the file cannot
/// be read.
pub(crate) fn read(path: &Path, largest: u64) -> Result<Vec<u8>, String> {
    let name = || clean_key(&path.to_string_lossy());
    let mut bytes = Vec::new();
    let opened = File::open(path);
    let read = opened.and_then(|file| file.take(largest + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(format!("Cannot read {}: {error}", name())),
        Ok(_) if bytes.len() as u64 > largest => {
            let megabytes = largest >> 20;
            Err(format!(
                "{} is larger than {megabytes} MB; split it",
                name()
            ))
        }
        Ok(_) => Ok(bytes),
    }
}

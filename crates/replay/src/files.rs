//! Reads a file whose size is limited.

use base::untrusted::clean_key;
use std::fs::{File, metadata};
use std::io::{self, Read};
use std::path::Path;

/// The number of bytes to read between two checks of the line length.
const PIECE: u64 = 1 << 20;

/// Opens a file. A pipe or a device is refused, because reading it might never end.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let kind = metadata(path)?;
    if !kind.is_file() && !kind.is_dir() {
        let why = "it is a pipe or a device; save its contents as a file first";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    File::open(path)
}

/// Reads a file of at most `largest` bytes. The error is one sentence that says why the file cannot
/// be read.
pub(crate) fn read(path: &Path, largest: u64) -> Result<Vec<u8>, String> {
    read_lines(path, largest, u64::MAX)
}

/// Reads a file of at most `largest` bytes whose lines have at most `longest` bytes each.
pub(crate) fn read_lines(path: &Path, largest: u64, longest: u64) -> Result<Vec<u8>, String> {
    let name = || clean_key(&path.to_string_lossy());
    let failed = |error: io::Error| format!("Cannot read {}: {error}", name());
    let too_large = || format!("{} is larger than {} MB; split it", name(), largest >> 20);
    let mut file = open(path).map_err(failed)?;
    if file.metadata().is_ok_and(|known| known.len() > largest) {
        return Err(too_large());
    }
    let (mut bytes, mut line) = (Vec::new(), 0);
    loop {
        let before = bytes.len();
        let mut piece = file.by_ref().take(PIECE);
        if piece.read_to_end(&mut bytes).map_err(failed)? == 0 {
            return Ok(bytes);
        }
        if bytes.len() as u64 > largest {
            return Err(too_large());
        }
        let end = bytes[before..].iter().rposition(|byte| *byte == b'\n');
        line = end.map_or(line, |end| before + end + 1);
        if (bytes.len() - line) as u64 > longest {
            return Err(format!(
                "{} has a line longer than {} MB; shorten it",
                name(),
                longest >> 20
            ));
        }
    }
}

//! Standard output. A failed write is an error, unless the program that reads the output has closed
//! it.

use super::{Exit, Failed};
use illumine::store::files::FileError;
use std::io::{ErrorKind, Write, stdout};

/// Writes bytes to standard output. Returns false if the reader has closed the output.
pub fn write(bytes: &[u8]) -> Result<bool, Failed> {
    let mut out = stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failed::new(
            Exit::Engine,
            format!("Cannot write to standard output: {error}; the output is incomplete"),
        )),
    }
}

/// Prints to standard output. It is not an error if the reader has closed the output.
pub fn print(text: &str) -> Result<Exit, Failed> {
    write(text.as_bytes()).map(|_| Exit::Well)
}

/// Converts an error from writing a file to the command's error. This is for commands that have a
/// `--force` flag, which overwrites existing files.
pub fn not_written(error: FileError) -> Failed {
    let why = match error {
        FileError::Taken(path) => format!(
            "{} already exists; choose another name, or overwrite it with --force",
            path.display()
        ),
        FileError::Full(_) | FileError::Io { .. } => error.to_string(),
    };
    Failed::new(Exit::Usage, why)
}

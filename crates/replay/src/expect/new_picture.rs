//! A drawn picture that may take the place of a picture file.

use crate::golden::write_whole;
use std::path::PathBuf;
use std::sync::Arc;

/// A drawn picture that may take the place of a picture file.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPicture {
    /// The name of the file, as written in the script.
    pub name: String,
    pub path: PathBuf,
    /// The bytes of the drawn picture.
    pub bytes: Arc<[u8]>,
}

impl NewPicture {
    /// Writes the drawn picture to the file.
    pub fn write(&self) -> Result<(), String> {
        write_whole(&self.path, &self.bytes)
    }
}

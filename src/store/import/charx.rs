//! Imports `.charx`: a zip archive with `card.json` and the card's files.

use super::{ImportError, LARGEST_CARD};
use std::io::{Cursor, Read};
use zip::ZipArchive;

/// Extracts the card's JSON.
pub fn extract_card(bytes: &[u8]) -> Result<Vec<u8>, ImportError> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|_| ImportError::Archive)?;
    let member = archive
        .by_name("card.json")
        .map_err(|_| ImportError::Archive)?;
    let mut json = Vec::new();
    // The size that the archive states is not trusted.
    let read = member.take(LARGEST_CARD + 1).read_to_end(&mut json);
    read.map_err(|_| ImportError::Archive)?;
    match json.len() as u64 > LARGEST_CARD {
        true => Err(ImportError::Large),
        false => Ok(json),
    }
}

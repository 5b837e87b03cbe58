//! Reads two kinds of zip archives: character cards in `.charx` files, which contain a `card.json`,
//! and KoboldAI United's stories, which contain a `story.json`. An archive may be appended to a
//! picture.

use super::kinds::{self, Foreign};
use super::{ImportError, LARGEST_CARD, LARGEST_JSON};
use std::io::{Cursor, Read};
use zip::ZipArchive;

/// The content found in an archive.
pub enum Content {
    /// The JSON of a card.
    Card(Vec<u8>),
    /// The JSON of a story.
    Story(Vec<u8>),
}

/// The signature of the zip format's end-of-central-directory record, which is near the end of
/// every archive.
const END: &[u8] = b"PK\x05\x06";
/// How many bytes at the end of a file to search for the signature of a zip archive.
const END_WITHIN: usize = 1 << 17;

/// Reads a zip archive, which may be preceded by other data. Returns None if the bytes contain no
/// archive.
pub fn read(bytes: &[u8]) -> Option<Result<Content, ImportError>> {
    let own = bytes.starts_with(b"PK\x03\x04");
    let end = &bytes[bytes.len().saturating_sub(END_WITHIN)..];
    let behind = || end.windows(END.len()).any(|window| window == END);
    if !own && !behind() {
        return None;
    }
    match ZipArchive::new(Cursor::new(bytes)) {
        Ok(mut archive) => read_members(&mut archive, own),
        Err(_) => own.then_some(Err(ImportError::Archive)),
    }
}

fn read_members(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    own: bool,
) -> Option<Result<Content, ImportError>> {
    let names: Vec<String> = archive
        .file_names()
        .filter_map(|name| Some(name.ok()?.into_owned()))
        .collect();
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    if has("card.json") {
        return Some(member(archive, "card.json", LARGEST_CARD).map(Content::Card));
    }
    if has("story.json") {
        return Some(member(archive, "story.json", LARGEST_JSON as u64).map(Content::Story));
    }
    let foreign = kinds::of_archive(&names).unwrap_or(Foreign {
        what: "an archive without a card.json",
        instead: "unpack it and import the files in it",
    });
    own.then_some(Err(ImportError::Foreign(foreign)))
}

fn member(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    name: &str,
    largest: u64,
) -> Result<Vec<u8>, ImportError> {
    let member = archive.by_name(name).map_err(|_| ImportError::Archive)?;
    let mut json = Vec::new();
    // The size that an archive states is not trusted.
    let read = member.take(largest + 1).read_to_end(&mut json);
    read.map_err(|_| ImportError::Archive)?;
    match json.len() as u64 > largest {
        true => Err(ImportError::Large),
        false => Ok(json),
    }
}

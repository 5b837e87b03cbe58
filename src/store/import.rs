//! Imports other programs' files: character cards, lorebooks, stories, chats, plain text.
//!
//! The content decides what a file is. Files are untrusted: their size is limited before anything
//! is parsed, no length in them is trusted, and an error is one sentence. Supported are
//! SillyTavern, KoboldAI Lite and the character card specifications V1 to V3.

mod charx;
mod fields;
pub mod kobold;
mod lore;
pub mod png;
pub mod tavern;

use base::untrusted::{clean, clean_line};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use story::card::Card;
use story::import::Import;

/// The maximum size of a file.
const LARGEST: u64 = 64 << 20;
/// The maximum size of JSON, which takes several times as much memory.
const LARGEST_JSON: usize = 32 << 20;
/// The maximum size of a card inside a picture or an archive.
const LARGEST_CARD: u64 = 16 << 20;
/// The maximum size of plain text.
const LARGEST_TEXT: usize = 4 << 20;

/// Why a file cannot be imported: one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("Cannot read {path}: {source}; check its name and permissions")]
    Io { path: PathBuf, source: io::Error },
    #[error("{0} is a folder; choose a file in it")]
    Folder(PathBuf),
    #[error("The file is too large to import (the limit is 64 MB, or 32 MB of JSON); split it")]
    Large,
    #[error("The PNG file is damaged or truncated; download it again")]
    Png,
    #[error(
        "This picture contains no character card; use the original file, since copies often lose it"
    )]
    NoCard,
    #[error("The character card in the picture is damaged (not base64); download it again")]
    Base64,
    #[error("The archive is damaged or contains no card.json; download it again")]
    Archive,
    #[error("The file is not valid JSON ({0}); export it again")]
    Json(String),
    #[error(
        "The file is neither UTF-8 text nor a PNG or .charx card; if it is text, save it as UTF-8"
    )]
    Binary,
    #[error(
        "The file is not a character card, lorebook, Kobold story or SillyTavern chat; to import it as text, rename it to .txt"
    )]
    Unknown,
    #[error("The file is empty")]
    Empty,
}

/// Reads and parses a file.
pub fn load_file(path: &Path) -> Result<Import, ImportError> {
    let bytes = read_bounded(path)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let found = parse_file(bytes, &clean_line(&stem))?;
    // Text in a file with another program's extension is not a story.
    let ending = path
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let programs = ["json", "jsonl", "charx", "png", "zip"].contains(&ending.as_str());
    match found {
        Import::Text(_) if programs => Err(ImportError::Unknown),
        found => Ok(found),
    }
}

/// Parses a file's bytes; `name` is the default name of a lorebook.
pub fn parse_file(bytes: Vec<u8>, name: &str) -> Result<Import, ImportError> {
    if bytes.starts_with(png::SIGNATURE) {
        let (card, book) = parse_card(png::extract_card(&bytes)?)?;
        let file = Some(("png", bytes));
        return Ok(Import::Card { card, book, file });
    }
    if bytes.starts_with(b"PK\x03\x04") {
        let (card, book) = parse_card(charx::extract_card(&bytes)?)?;
        let file = Some(("charx", bytes));
        return Ok(Import::Card { card, book, file });
    }
    let text = String::from_utf8(bytes).map_err(|_| ImportError::Binary)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if text.contains('\0') {
        return Err(ImportError::Binary);
    }
    match text.trim_start().chars().next() {
        None => Err(ImportError::Empty),
        Some('{') => parse_object(text, name),
        Some('[') if serde_json::from_str::<Vec<Value>>(check_json_size(text)?).is_ok() => {
            let rows = parse_json(text)?;
            let book = lore::parse_kobold_rows(&rows, name).ok_or(ImportError::Unknown)?;
            Ok(Import::Book(book))
        }
        Some(_) => parse_text(text),
    }
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, ImportError> {
    let wrong = |source| ImportError::Io {
        path: path.to_path_buf(),
        source,
    };
    let file = File::open(path).map_err(wrong)?;
    let meta = file.metadata().map_err(wrong)?;
    if meta.is_dir() {
        return Err(ImportError::Folder(path.to_path_buf()));
    }
    if meta.len() > LARGEST {
        return Err(ImportError::Large);
    }
    let mut bytes = Vec::new();
    // Special files may be longer than their metadata says.
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(wrong)?;
    match bytes.len() as u64 > LARGEST {
        true => Err(ImportError::Large),
        false => Ok(bytes),
    }
}

/// Parses one JSON object or, for a chat, one per line.
fn parse_object(text: &str, name: &str) -> Result<Import, ImportError> {
    let first = text.trim_start().lines().next().unwrap_or_default();
    let header = serde_json::from_str::<Value>(first).ok();
    if let Some(Value::Object(header)) = header.filter(tavern::is_header) {
        return tavern::parse_chat(check_json_size(text)?, header)
            .map(|tale| Import::Story(Box::new(tale)));
    }
    let Value::Object(file) = parse_json(text)? else {
        return Err(ImportError::Unknown);
    };
    if let Some(book) = lore::parse_lorebook(&file, name) {
        return Ok(Import::Book(book));
    }
    if kobold::is_story(&file) {
        let tale = kobold::parse_story(file, name).ok_or(ImportError::Unknown)?;
        return Ok(Import::Story(Box::new(tale)));
    }
    let (card, book) = card_from_object(file).ok_or(ImportError::Unknown)?;
    let file = None;
    Ok(Import::Card { card, book, file })
}

type CardAndBook = (Box<Card>, Option<story::lore::Lorebook>);

fn parse_card(bytes: Vec<u8>) -> Result<CardAndBook, ImportError> {
    let file: Map<String, Value> =
        serde_json::from_slice(&bytes).map_err(|error| ImportError::Json(one_line(&error)))?;
    card_from_object(file).ok_or(ImportError::Unknown)
}

fn card_from_object(file: Map<String, Value>) -> Option<CardAndBook> {
    let (card, book) = Card::from_json(file)?;
    let name = card.line("name");
    let book = book.and_then(|book| lore::parse_card_book(&book, &name, card.version));
    Some((Box::new(card), book))
}

fn parse_json(text: &str) -> Result<Value, ImportError> {
    serde_json::from_str(check_json_size(text)?)
        .map_err(|error| ImportError::Json(one_line(&error)))
}

/// Returns the text, unless it is too large to be parsed.
fn check_json_size(text: &str) -> Result<&str, ImportError> {
    match text.len() > LARGEST_JSON {
        true => Err(ImportError::Large),
        false => Ok(text),
    }
}

fn one_line(error: &serde_json::Error) -> String {
    clean_line(&error.to_string())
}

fn parse_text(text: &str) -> Result<Import, ImportError> {
    if text.len() > LARGEST_TEXT {
        return Err(ImportError::Large);
    }
    let text = clean(text);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    match text.trim().is_empty() {
        true => Err(ImportError::Empty),
        false => Ok(Import::Text(text.to_string())),
    }
}
#[cfg(test)]
mod tests;

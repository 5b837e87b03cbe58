//! Imports files of other programs: character cards, lorebooks, stories, chats and plain text.
//!
//! The kind of a file is determined by its content. Files are untrusted: their size is limited
//! before anything is parsed, and no length stated in a file is trusted. An error message is one
//! sentence. An unusable row is left out and named in a notice; the other rows are imported. The
//! supported formats are those of SillyTavern, KoboldAI, NovelAI, AI Dungeon, Agnai and Risu, and
//! character cards V1 to V3. A file in a known format that cannot be imported is refused with an
//! error that names the format.

mod agnai;
mod ai_dungeon;
mod archive;
mod card;
mod escapes;
mod fields;
mod kinds;
pub mod kobold;
mod lore;
mod novelai;
pub mod png;
mod skipped;
pub mod tavern;

use base::decode::{self, DecodeError, unix_lines};
use base::untrusted::{clean, clean_line};
use kinds::Foreign;
use lore::ReadBook;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use story::import::{Import, ImportedFile, ImportedStory};

/// The maximum size of a file in bytes.
const LARGEST: u64 = 64 << 20;
/// The maximum size of JSON in bytes. It is lower than [`LARGEST`], since parsed JSON takes several
/// times as much memory.
const LARGEST_JSON: usize = 32 << 20;
/// The maximum size in bytes of a card inside a picture or an archive.
const LARGEST_CARD: u64 = 16 << 20;
/// The maximum size of plain text in bytes.
const LARGEST_TEXT: usize = 4 << 20;

/// The reason why a file cannot be imported, as one sentence. Most messages also say what to do.
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
    #[error("The file {0}")]
    Encoding(DecodeError),
    #[error("The file is neither text nor a PNG or .charx card; choose another file")]
    Binary,
    #[error("The file is {}; {}", .0.what, .0.instead)]
    Foreign(Foreign),
    #[error("This NovelAI story cannot be decoded; export it in NovelAI as plain text")]
    NovelAi,
    #[error(
        "The file is an illumine journal; import it with `illumine sessions import FILE`, or list a session's copies and backups with `illumine sessions conflicts NAME` and `illumine sessions restore NAME`"
    )]
    Journal,
    #[error(
        "The character card is blank (it has no name, no description and no greeting); export it again"
    )]
    BlankCard,
    #[error("No entry of the lorebook can be used ({0}); export it again")]
    NoEntry(String),
    #[error(
        "The file is not a character card, lorebook, story or chat of a known program; to import it as text, rename it to .txt"
    )]
    Unknown,
    #[error("The file is empty")]
    Empty,
}

/// Reads and parses a file.
pub fn load_file(path: &Path) -> Result<ImportedFile, ImportError> {
    let bytes = read_bounded(path)?;
    let lossy =
        |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let stem = clean_line(&lossy(path.file_stem()).replace('\u{fffd}', "_"));
    let ending = lossy(path.extension()).to_lowercase();
    let is_text = ["txt", "text", "md"].contains(&ending.as_str());
    let text = match is_text {
        true => decode_text(bytes.clone()).ok(),
        false => None,
    };
    match (parse_file(bytes, &stem), text) {
        // Text in braces, in a file with a text extension.
        (Err(ImportError::Unknown), Some(text)) => parse_text(&text),
        (Err(ImportError::Binary | ImportError::Encoding(_)), _)
            if kinds::of_ending(&ending).is_some() =>
        {
            Err(kinds::of_ending(&ending).map_or(ImportError::Binary, ImportError::Foreign))
        }
        // Plain text in a file with another program's extension is not a story.
        (Ok(found), _) if is_of_program(&ending) && matches!(found.content, Import::Text(_)) => {
            Err(kinds::of_ending(&ending).map_or(ImportError::Unknown, ImportError::Foreign))
        }
        (found, _) => found,
    }
}

fn is_of_program(ending: &str) -> bool {
    let programs = [
        "json", "jsonl", "charx", "png", "zip", "story", "scenario", "lorebook",
    ];
    programs.contains(&ending) || kinds::of_ending(ending).is_some()
}

/// Parses a file's bytes; `name` is the default name of a lorebook or character.
pub fn parse_file(bytes: Vec<u8>, name: &str) -> Result<ImportedFile, ImportError> {
    let archived = archive::read(&bytes);
    if bytes.starts_with(png::SIGNATURE) {
        match (parse_png(&bytes, name), archived) {
            (Err(ImportError::NoCard), Some(archived)) => parse_archive(archived?, bytes, name),
            (found, _) => found,
        }
    } else if let Some(archived) = archived {
        parse_archive(archived?, bytes, name)
    } else if let Some(foreign) = kinds::of_bytes(&bytes) {
        Err(ImportError::Foreign(foreign))
    } else {
        parse_string(&decode_text(bytes)?, name)
    }
}

/// Parses the cards and lorebooks in a PNG file. Returns an undamaged card, preferably in the
/// newest format. If no card is undamaged, returns an undamaged lorebook.
fn parse_png(bytes: &[u8], name: &str) -> Result<ImportedFile, ImportError> {
    let found = png::extract(bytes)?;
    let mut wrong = None;
    let torn = found
        .torn
        .then(|| "the picture is cut off after its card".to_string());
    for json in found.cards {
        match json.and_then(|json| card::parse(json, name)) {
            Ok((content, mut notices)) => {
                if wrong.is_some() {
                    let damaged =
                        "a newer card in the picture is damaged, so the older one was read";
                    notices.push(damaged.to_string());
                }
                notices.extend(torn);
                let content = with_file(content, ("png", bytes.to_vec()));
                return Ok(ImportedFile { content, notices });
            }
            Err(error) => wrong = wrong.or(Some(error)),
        }
    }
    for json in found.books {
        match json.and_then(|json| parse_string(&json_text(json)?, name)) {
            Ok(found) => return Ok(found),
            Err(error) => wrong = wrong.or(Some(error)),
        }
    }
    Err(match wrong {
        Some(ImportError::Json(_)) | None => ImportError::Png,
        Some(error) => error,
    })
}

fn parse_archive(
    content: archive::Content,
    bytes: Vec<u8>,
    name: &str,
) -> Result<ImportedFile, ImportError> {
    match content {
        archive::Content::Story(json) => parse_string(&json_text(json)?, name),
        archive::Content::Card(json) => {
            let (content, notices) = card::parse(json, name)?;
            let content = with_file(content, ("charx", bytes));
            Ok(ImportedFile { content, notices })
        }
    }
}

fn with_file(content: Import, original: (&'static str, Vec<u8>)) -> Import {
    match content {
        Import::Card { card, book, .. } => {
            let file = Some(original);
            Import::Card { card, book, file }
        }
        other => other,
    }
}

fn parse_string(text: &str, name: &str) -> Result<ImportedFile, ImportError> {
    if is_journal(text) {
        return Err(ImportError::Journal);
    }
    if !text.trim_start().starts_with(['{', '[', '\0']) {
        return match text.trim().is_empty() {
            true => Err(ImportError::Empty),
            false => parse_text(text),
        };
    }
    let (json, halves) = escapes::mend_halves(text);
    let mut found = parse_brackets(&json, name)?;
    found.notices.extend(escapes::notice(halves));
    Ok(found)
}

/// Whether a text is an illumine journal. This is the case if any of its first three non-blank
/// lines is a record.
fn is_journal(text: &str) -> bool {
    const LOOKED_AT: usize = 3;
    let is_record = |line: &str| {
        if !line.starts_with('{') || !line.contains("\"kind\"") {
            return false;
        }
        let line = serde_json::from_str::<Map<String, Value>>(line).unwrap_or_default();
        let kind = line.get("kind").and_then(Value::as_str);
        let numbered = line.get("v").is_some_and(Value::is_u64);
        // Every other line-based format has a message in each line.
        numbered && kind.is_some() && !line.contains_key("mes")
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.take(LOOKED_AT).any(is_record)
}

/// Parses a text that begins with a bracket: JSON, JSON Lines, or plain text in brackets.
fn parse_brackets(text: &str, name: &str) -> Result<ImportedFile, ImportError> {
    if tavern::is_chat(text) {
        return told(tavern::parse_chat(check_json_size(text)?)?);
    }
    if text.contains('\0') {
        return Err(ImportError::Binary);
    }
    let is_list = text.trim_start().starts_with('[');
    let parsed = match is_list {
        true => serde_json::from_str(check_json_size(text)?).map(|list| parse_list(list, name)),
        false => serde_json::from_str(check_json_size(text)?).map(|file| parse_object(file, name)),
    };
    match parsed {
        Ok(found) => found,
        Err(error) if is_broken_json(text, &error) => Err(json_error(text, &error)),
        Err(_) => parse_text(text),
    }
}

/// Whether text that begins with a bracket is damaged JSON rather than plain text in brackets.
fn is_broken_json(text: &str, error: &serde_json::Error) -> bool {
    let mut signs = text.chars().filter(|c| !c.is_whitespace());
    let (first, second, third) = (signs.next(), signs.next(), signs.next());
    let quoted = match first {
        Some('{') => second == Some('"'),
        _ => second == Some('{') && third == Some('"'),
    };
    quoted || error.is_eof() || error.to_string().contains("recursion limit")
}

/// Returns the error for invalid JSON. If the text is JSON Lines of a known kind, the error names
/// the kind.
fn json_error(text: &str, error: &serde_json::Error) -> ImportError {
    let first = text.trim_start().lines().next().unwrap_or_default();
    let first = serde_json::from_str::<Map<String, Value>>(first).ok();
    match first.and_then(|first| kinds::of_json(&first)) {
        Some(foreign) => ImportError::Foreign(foreign),
        None => ImportError::Json(one_line(error)),
    }
}

fn told((tale, notices): (ImportedStory, Vec<String>)) -> Result<ImportedFile, ImportError> {
    let content = Import::Story(Box::new(tale));
    Ok(ImportedFile { content, notices })
}

fn lore_file(read: ReadBook) -> Result<ImportedFile, ImportError> {
    let ReadBook {
        book,
        notices,
        first_skipped,
    } = read;
    match first_skipped {
        Some(first) if book.entries.is_empty() => Err(ImportError::NoEntry(first)),
        _ => Ok(ImportedFile {
            content: Import::Book(book),
            notices,
        }),
    }
}

fn parse_object(file: Map<String, Value>, name: &str) -> Result<ImportedFile, ImportError> {
    if agnai::is_chat(&file) {
        return told(agnai::parse_chat(&file));
    }
    if novelai::is_story(&file) {
        return told(novelai::parse_story(&file, name)?);
    }
    if kobold::is_story(&file) {
        return told(kobold::parse_story(file, name).ok_or(ImportError::Unknown)?);
    }
    if let Some(book) = lore::parse_lorebook(&file, name) {
        return lore_file(book);
    }
    if let Some(own) = ai_dungeon::find(&file) {
        return told(ai_dungeon::parse_story(&file, own, name));
    }
    let foreign = kinds::of_json(&file);
    match (card::from_object(file, name), foreign) {
        (Ok((content, notices)), _) => Ok(ImportedFile { content, notices }),
        (Err(ImportError::Unknown), Some(foreign)) => Err(ImportError::Foreign(foreign)),
        (Err(error), _) => Err(error),
    }
}

fn parse_list(list: Vec<Value>, name: &str) -> Result<ImportedFile, ImportError> {
    if tavern::is_list_of_messages(&list) {
        return told(tavern::parse_list(list)?);
    }
    if lore::is_list_of_lore(&list) {
        let form = crate::store::lorebook::LoreFormat::Kobold;
        let book = lore::parse_list(&Value::Array(list), name, form);
        return lore_file(book.ok_or(ImportError::Unknown)?);
    }
    let foreign = list.iter().find_map(|row| kinds::of_json(row.as_object()?));
    Err(foreign.map_or(ImportError::Unknown, ImportError::Foreign))
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

/// Decodes text and normalizes its line endings.
fn decode_text(bytes: Vec<u8>) -> Result<String, ImportError> {
    let text = decode::decode(bytes).map_err(ImportError::Encoding)?;
    Ok(unix_lines(&text).into_owned())
}

fn json_text(json: Vec<u8>) -> Result<String, ImportError> {
    decode_text(json)
}

/// Returns the text, or an error if the text is too large to parse as JSON.
fn check_json_size(text: &str) -> Result<&str, ImportError> {
    match text.len() > LARGEST_JSON {
        true => Err(ImportError::Large),
        false => Ok(text),
    }
}

fn one_line(error: &serde_json::Error) -> String {
    clean_line(&error.to_string())
}

fn parse_text(text: &str) -> Result<ImportedFile, ImportError> {
    if text.len() > LARGEST_TEXT {
        return Err(ImportError::Large);
    }
    if text.contains('\0') {
        return Err(ImportError::Binary);
    }
    if let Some(foreign) = kinds::of_text(text) {
        return Err(ImportError::Foreign(foreign));
    }
    let text = clean(text);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    match text.trim().is_empty() {
        true => Err(ImportError::Empty),
        false => Ok(Import::Text(text.to_string()).into()),
    }
}
#[cfg(test)]
mod tests;

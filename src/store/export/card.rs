//! Exports the session's character as a card: a PNG file with a V2 and a V3 chunk, a JSON file, or
//! a .charx file.

use super::{ExportError, ExportMeta, line, pages};
use crate::store::import::png;
use crate::store::lorebook::{self, LoreFormat};
use serde_json::Value;
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use story::card::{Card, Version};
use story::{NodeId, Story};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

/// The width and height, in pixels, of the blank picture for a card that has no picture.
const BLANK: (u32, u32) = (400, 600);

pub fn encode_card(story: &Story, meta: &ExportMeta, path: &Path) -> Result<Vec<u8>, ExportError> {
    let character = story.frame().character.as_ref();
    let card = character.map_or_else(|| own(story, meta), |character| character.card.clone());
    let kept = character.and_then(|character| character.file.as_ref());
    let kept = kept.and_then(|name| fs::read(meta.folder.as_ref()?.join(name)).ok());
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    match ending.to_lowercase().as_str() {
        "json" => Ok(line(&json(story, &card, own_version(&card)))),
        "charx" => charx(&json(story, &card, Version::V3), kept),
        _ => picture(story, &card, kept),
    }
}

/// The version in which a card is written. A V1 card is written as V2, which every program
/// supports.
fn own_version(card: &Card) -> Version {
    match card.version {
        Version::V3 => Version::V3,
        _ => Version::V2,
    }
}

fn json(story: &Story, card: &Card, version: Version) -> Value {
    let book = card.book.as_ref();
    let book = book.and_then(|name| story.frame().book(name));
    let form = match version {
        Version::V3 => LoreFormat::V3,
        _ => LoreFormat::V2,
    };
    card.to_json(version, book.map(|book| lorebook::of_card(book, form)))
}

fn picture(story: &Story, card: &Card, kept: Option<Vec<u8>>) -> Result<Vec<u8>, ExportError> {
    let kept = kept.filter(|bytes| bytes.starts_with(png::SIGNATURE));
    let picture = kept.unwrap_or_else(|| png::blank_picture(BLANK.0, BLANK.1));
    let v2 = json(story, card, Version::V2).to_string();
    let v3 = json(story, card, Version::V3).to_string();
    let written = png::replace_cards(&picture, v2.as_bytes(), v3.as_bytes());
    written.map_err(|error| ExportError::Card(error.to_string()))
}

/// Returns the card's original archive with the current card in place of the old one. If there is
/// no original archive, returns a new archive.
fn charx(card: &Value, kept: Option<Vec<u8>>) -> Result<Vec<u8>, ExportError> {
    let wrong = |error: zip::result::ZipError| ExportError::Card(error.to_string());
    let mut out = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    out.start_file("card.json", options).map_err(wrong)?;
    let written = out.write_all(&line(card));
    written.map_err(|error| ExportError::Card(error.to_string()))?;
    // The archive may be appended to a picture.
    let kept = kept.filter(|bytes| !bytes.starts_with(png::SIGNATURE));
    if let Some(kept) = kept {
        let mut archive = ZipArchive::new(Cursor::new(kept)).map_err(wrong)?;
        for at in 0..archive.len() {
            let member = archive.by_index_raw(at).map_err(wrong)?;
            let card = member.name().is_ok_and(|name| name == "card.json");
            if !card {
                out.raw_copy_file(member).map_err(wrong)?;
            }
        }
    }
    Ok(out.finish().map_err(wrong)?.into_inner())
}

/// Makes a card for a session that has none. The card contains the memory and the versions of the
/// first passage.
fn own(story: &Story, meta: &ExportMeta) -> Card {
    let first = story.path().first().map(|passage| passage.id);
    let mut roots: Vec<NodeId> = first.into_iter().collect();
    let others = story.roots().iter().copied();
    roots.extend(others.filter(|id| Some(*id) != first && !story.is_hidden(*id)));
    let greetings: Vec<String> = roots
        .iter()
        .map(|id| pages::version_text(story, *id, *id))
        .filter(|text| !text.is_empty())
        .collect();
    let mut card = Card::new(&meta.title, &story.frame().memory, &greetings);
    let book = story.frame().books().next();
    card.book = book.map(|(book, _)| book.name.clone());
    card
}

//! Imports NovelAI's stories and scenarios: JSON with a context (the memory and the author's note),
//! a lorebook, and the text.
//!
//! A `.scenario` file (with `scenarioVersion`) has a prompt. A `.story` file (with
//! `storyContainerVersion`) from NovelAI's first editor has `story.fragments`, or only
//! `story.text`. A `.story` file from the current editor has a `document`, which is MessagePack in
//! the msgpackr library's variant (see [`msgpackr`]), encoded as base64. Pending changes
//! (`dirtySections`) are applied to the text sections of the document, which are then read in
//! order. The formats were learned from the parsers of Aedial/novelai-api and of other public
//! programs.

mod msgpackr;

use super::ImportError;
use super::fields::{rows, text, whole, words};
use super::lore::{self, ReadBook};
use super::skipped::Skipped;
use crate::store::lorebook::LoreFormat;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use msgpackr::Packed;
use serde_json::{Map, Value};
use story::Author;
use story::frame::Note;
use story::import::ImportedStory;

pub fn is_story(file: &Map<String, Value>) -> bool {
    let content = file.get("content").is_some_and(Value::is_object);
    let scenario = file.contains_key("scenarioVersion") && file.contains_key("prompt");
    scenario || (file.contains_key("storyContainerVersion") && content)
}

/// Parses a story or scenario. The returned notices say what was left out.
pub fn parse_story(
    file: &Map<String, Value>,
    name: &str,
) -> Result<(ImportedStory, Vec<String>), ImportError> {
    let content = file
        .get("content")
        .and_then(Value::as_object)
        .unwrap_or(file);
    let mut skipped = Skipped::default();
    let said = match (text(file, "prompt"), content.get("document")) {
        (Some(prompt), _) => vec![(Author::Prompt, prompt)],
        (None, Some(Value::String(document))) if !document.is_empty() => {
            sections(document).ok_or(ImportError::NovelAi)?
        }
        (None, _) => first_editor(content, &mut skipped),
    };
    let mut tale = ImportedStory::default();
    tale.append(said);
    let context = |at: usize| content.get("context")?.get(at)?.as_object();
    tale.memory = context(0)
        .and_then(|it| text(it, "text"))
        .unwrap_or_default();
    tale.note = context(1).and_then(|note| {
        let place = note.get("contextConfig").and_then(Value::as_object);
        let lines = place.and_then(|it| whole(it, "insertionPosition"));
        Some(Note {
            text: text(note, "text")?,
            depth: lines.unwrap_or(-4).unsigned_abs().clamp(1, 100) as usize,
        })
    });
    let mut notices: Vec<String> = skipped.notice("passage").into_iter().collect();
    let book = content.get("lorebook").and_then(|book| book.get("entries"));
    if let Some(book) = book.and_then(|it| lore::parse_list(it, name, LoreFormat::NovelAi)) {
        let ReadBook {
            book, notices: own, ..
        } = book;
        tale.book = Some(book);
        notices.extend(own);
    }
    let document = content.get("document").is_some_and(Value::is_string);
    let none = tale.nodes.is_empty() && tale.book.is_none() && tale.memory.is_empty();
    match document && none {
        true => Err(ImportError::NovelAi),
        false => Ok((tale, notices)),
    }
}

/// The text of a story from NovelAI's first editor: the fragments, or `story.text` if all fragments
/// are blank.
fn first_editor(content: &Map<String, Value>, skipped: &mut Skipped) -> Vec<(Author, String)> {
    let said = fragments(content, skipped);
    if said.iter().any(|(_, text)| !text.trim().is_empty()) {
        return said;
    }
    let story = content.get("story").and_then(Value::as_object);
    let whole = story.and_then(|story| text(story, "text"));
    let whole = whole.filter(|text| !text.trim().is_empty());
    whole.map_or(said, |text| vec![(Author::Prompt, text)])
}

fn fragments(content: &Map<String, Value>, skipped: &mut Skipped) -> Vec<(Author, String)> {
    let fragments = content
        .get("story")
        .and_then(|story| rows(story.get("fragments")?));
    let mut said: Vec<(Author, String)> = Vec::new();
    for (place, fragment) in fragments.unwrap_or_default() {
        let Some(text) = fragment.get("data").and_then(Value::as_str) else {
            skipped.note(place, "has no text");
            continue;
        };
        let author = match fragment.get("origin").and_then(Value::as_str) {
            Some("ai") => Author::Model,
            Some("user" | "edit") => Author::User,
            _ => Author::Prompt,
        };
        said.push((author, words(text)));
    }
    said
}

/// Decodes the paragraphs of a document; None if the document cannot be decoded.
fn sections(document: &str) -> Option<Vec<(Author, String)>> {
    let plain: Vec<u8> = document
        .bytes()
        .filter(|b| !b.is_ascii_whitespace())
        .collect();
    let bytes = BASE64_STANDARD.decode(plain).ok()?;
    let document = msgpackr::decode(&bytes)?;
    let mut order: Vec<Packed> = document.get("order")?.list()?.to_vec();
    let mut sections: Vec<(Packed, String)> = Vec::new();
    for (id, section) in document.get("sections")?.pairs()? {
        sections.push((id.clone(), section_text(section)));
    }
    for (id, change) in document
        .get("dirtySections")
        .and_then(Packed::pairs)
        .unwrap_or_default()
    {
        apply(id, change, &mut order, &mut sections)?;
    }
    let sections: std::collections::HashMap<String, String> = sections
        .into_iter()
        .map(|(id, text)| (format!("{id:?}"), text))
        .collect();
    let text = |id: &Packed| sections.get(&format!("{id:?}"));
    let texts: Vec<&String> = order.iter().filter_map(text).collect();
    let said = texts.iter().enumerate().map(|(at, text)| {
        let end = if at + 1 < texts.len() { "\n" } else { "" };
        (Author::Prompt, format!("{}{end}", words(text)))
    });
    Some(said.collect())
}

fn section_text(section: &Packed) -> String {
    let text = section.get("text").and_then(Packed::text);
    text.unwrap_or_default().to_string()
}

/// The value of `type` in a change that adds a section.
const CREATE: i64 = 0;
/// The value of `type` in a change that modifies a section.
const UPDATE: i64 = 1;
/// The value of `type` in a change that removes a section.
const REMOVE: i64 = 2;

fn apply(
    id: &Packed,
    change: &Packed,
    order: &mut Vec<Packed>,
    sections: &mut Vec<(Packed, String)>,
) -> Option<()> {
    match change.get("type")?.number()? {
        CREATE => {
            let place = match change.get("after") {
                Some(after) if after.number() == Some(0) => 0,
                Some(after) => order
                    .iter()
                    .position(|known| known == after)
                    .map_or(order.len(), |at| at + 1),
                None => order.len(),
            };
            order.insert(place, id.clone());
            sections.push((id.clone(), section_text(change.get("section")?)));
        }
        UPDATE => {
            let diff = change.get("diff")?;
            let parts = diff
                .get("text")
                .unwrap_or(diff)
                .get("parts")
                .and_then(Packed::list);
            let section = sections.iter_mut().find(|(known, _)| known == id)?;
            for part in parts.unwrap_or_default() {
                section.1 = patched(&section.1, part)?;
            }
        }
        REMOVE => order.retain(|known| known != id),
        _ => {}
    }
    Some(())
}

/// Applies `part`, one part of a change, to a text: deletes and inserts text at an offset, which is
/// counted in UTF-16 units.
fn patched(text: &str, part: &Packed) -> Option<String> {
    let units: Vec<u16> = text.encode_utf16().collect();
    let field = |key| part.get(key).and_then(Packed::text).unwrap_or_default();
    let from = usize::try_from(part.get("from")?.number()?).ok()?;
    let to = from + field("delete").encode_utf16().count();
    let (before, after) = (units.get(..from)?, units.get(to..)?);
    let insert = field("insert").encode_utf16().collect::<Vec<u16>>();
    String::from_utf16(&[before, &insert, after].concat()).ok()
}

#[cfg(test)]
mod tests;

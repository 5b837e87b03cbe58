//! Imports other programs' lorebooks as [`Lorebook`].
//!
//! Entries are parsed one by one. An unusable entry is left out and named in a notice, but an
//! export writes the entry back. Fields that [`Lorebook`] lacks are stored in `extra` and exported
//! again. To find these fields, the import exports each entry and compares the result with the
//! file. A field of the file is stored if the result lacks the field or has a different value for
//! it.

mod entries;

use super::fields::{count, flag, line, rows, text};
use super::skipped::Skipped;
use crate::store::lorebook::{self, LoreFormat};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use story::card::Version;
use story::lore::{Key, Lorebook};

/// A parsed lorebook, with notices for the writer.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadBook {
    pub book: Lorebook,
    pub notices: Vec<String>,
    /// The place of the first row that was left out, with the reason.
    pub first_skipped: Option<String>,
}

/// The maximum number of unusable rows that are retained for export.
const MOST_KEPT: usize = 1000;
/// The maximum number of regexes that an import checks.
const MOST_TRIED: usize = 2000;

/// Parses a file as a lorebook; None if the file is not a lorebook.
pub fn parse_lorebook(file: &Map<String, Value>, title: &str) -> Option<ReadBook> {
    if file.get("spec").and_then(Value::as_str) == Some("lorebook_v3") {
        return parse_book(file.get("data")?, title, Some(LoreFormat::V3));
    }
    match file.get("type").and_then(Value::as_str) {
        Some("risu") => return parse_list(file.get("data")?, title, LoreFormat::Risu),
        Some("risuModule") => {
            let module = file
                .get("module")
                .and_then(Value::as_object)
                .unwrap_or(file);
            let name = line(module, "name").filter(|name| !name.is_empty());
            let own = name.unwrap_or_else(|| title.to_string());
            return parse_list(module.get("lorebook")?, &own, LoreFormat::Risu);
        }
        _ => {}
    }
    let form = file
        .contains_key("lorebookVersion")
        .then_some(LoreFormat::NovelAi);
    parse_book(&Value::Object(file.clone()), title, form)
}

/// Parses the lorebook inside a card.
pub fn parse_card_book(value: &Value, name: &str, version: Version) -> Option<ReadBook> {
    let form = match version {
        Version::V3 => LoreFormat::V3,
        Version::V1 | Version::V2 => LoreFormat::V2,
    };
    match value {
        Value::Array(_) => parse_list(value, name, form),
        _ => parse_book(value, name, Some(form)),
    }
}

/// Parses a bare list of lore entries, such as Kobold's `worldinfo` or AI Dungeon's story cards.
pub fn parse_list(entries: &Value, name: &str, form: LoreFormat) -> Option<ReadBook> {
    parse_book(&json!({ "entries": entries }), name, Some(form))
}

/// Whether a list contains at least one usable lore entry with a field for keys.
pub fn is_list_of_lore(list: &[Value]) -> bool {
    let usable = |row: &Value| {
        let fields = row.as_object().filter(|row| {
            ["key", "keys", "keywords", "keysList"]
                .iter()
                .any(|key| row.contains_key(*key))
        });
        let form = fields.map(|row| entries::form_of(row, LoreFormat::Kobold));
        form.is_some_and(|form| entries::read(row, 0, form).is_ok())
    };
    list.iter().any(usable)
}

/// Parses a lorebook. If `form` is None, the lorebook has the format of its first entry.
fn parse_book(value: &Value, name: &str, form: Option<LoreFormat>) -> Option<ReadBook> {
    let file = value.as_object()?;
    let rows = rows(file.get("entries")?)?;
    let objects = || rows.iter().filter_map(|(_, row)| row.as_object());
    let by_key = file.get("entries").is_some_and(Value::is_object);
    let usual = if by_key {
        LoreFormat::Tavern
    } else {
        LoreFormat::V2
    };
    let regexes = objects().any(|row| row.contains_key("use_regex"));
    let form = form.unwrap_or_else(|| match objects().next() {
        Some(row) => match entries::form_of(row, usual) {
            LoreFormat::V2 if regexes => LoreFormat::V3,
            form => form,
        },
        None => usual,
    });
    let of_tavern = form == LoreFormat::Tavern || objects().any(entries::is_of_tavern);
    let own_name = line(file, "name").filter(|name| !name.trim().is_empty());
    let mut book = Lorebook {
        name: own_name.unwrap_or_else(|| name.to_string()),
        description: text(file, "description").unwrap_or_default(),
        // SillyTavern's defaults (`default/content/settings.json`).
        scan_depth: count(file, "scan_depth").or(of_tavern.then_some(2)),
        token_budget: count(file, "token_budget"),
        recursive: flag(file, "recursive_scanning").unwrap_or(of_tavern),
        ..Lorebook::default()
    };
    let (skipped, left_out) = read_entries(&mut book, &rows, form);
    book.extra = unwritten_fields(file, &lorebook::head(&book, form));
    book.extra.remove("entries");
    book.extra
        .insert(lorebook::FORM.to_string(), json!(form.name()));
    if !left_out.is_empty() {
        book.extra
            .insert(lorebook::LEFT_OUT.to_string(), Value::Array(left_out));
    }
    let mut notices: Vec<String> = skipped.notice("lore entry").into_iter().collect();
    notices.extend(remarks(&book));
    Some(ReadBook {
        book,
        notices,
        first_skipped: skipped.first(),
    })
}

/// Adds the usable rows to the lorebook. Returns the unusable rows twice: with reasons for the
/// notices, and as JSON for export.
fn read_entries(
    book: &mut Lorebook,
    rows: &[(String, &Value)],
    form: LoreFormat,
) -> (Skipped, Vec<Value>) {
    let (mut skipped, mut left_out) = (Skipped::default(), Vec::new());
    let mut taken: HashSet<u64> = HashSet::new();
    let mut free = rows.len() as u64;
    for (at, (place, row)) in rows.iter().enumerate() {
        let own = row
            .as_object()
            .map_or(form, |row| entries::form_of(row, form));
        let mut entry = match entries::read(row, at, own) {
            Ok(entry) => entry,
            Err(why) => {
                skipped.note(place, why);
                if left_out.len() < MOST_KEPT {
                    let key = place.trim_matches('"');
                    left_out.push(json!({ "at": at, "key": key, "row": row }));
                }
                continue;
            }
        };
        while !taken.insert(entry.uid) {
            entry.uid = free;
            free += 1;
        }
        if let Some(row) = row.as_object() {
            entry.extra = unwritten_fields(row, &lorebook::entry(&entry, own));
        }
        if own != form {
            entry
                .extra
                .insert(lorebook::FORM.to_string(), json!(own.name()));
        }
        book.entries.push(entry);
    }
    (skipped, left_out)
}

/// Returns the fields of `file` that an export would omit or change. `written` contains the
/// exported fields.
fn unwritten_fields(file: &Map<String, Value>, written: &Map<String, Value>) -> Map<String, Value> {
    let kept = file
        .iter()
        .filter(|(key, value)| written.get(*key) != Some(value));
    kept.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Returns a notice about keys that are invalid or may not match as intended; None if there is no
/// such key.
fn remarks(book: &Lorebook) -> Option<String> {
    let mut found = Vec::new();
    let keys = book.entries.iter().flat_map(|entry| {
        let all = [&entry.keys, &entry.secondary, &entry.never];
        let keys = all.into_iter().flatten();
        keys.map(move |key| (key, entry.use_regex))
    });
    let regexes = keys.filter(|(key, regex)| *regex || key.starts_with('/'));
    for (key, regex) in regexes.take(MOST_TRIED) {
        found.extend(Key::new(key, false, false, regex).err());
        found.extend(Key::remark(key));
    }
    const NAMED: usize = 4;
    let more = found.len().saturating_sub(NAMED);
    found.truncate(NAMED);
    if more > 0 {
        found.push(format!("and {more} more keys like these"));
    }
    Some(found.join(", ")).filter(|said| !said.is_empty())
}

//! Imports other programs' lorebooks as [`Lorebook`].
//!
//! Fields that [`Lorebook`] does not have are stored in `extra` and exported again. To find them, each
//! entry is exported and compared with the file: fields that differ or are missing are stored.

use super::fields::{count, flag, real, text, texts, whole};
use crate::store::lorebook::{self, LoreFormat};
use base::untrusted::clean_line;
use serde_json::{Map, Value, json};
use story::card::Version;
use story::lore::{InsertPosition, KeyLogic, LoreEntry, Lorebook, decorators};

/// Parses a file that is a lorebook.
pub fn parse_lorebook(file: &Map<String, Value>, name: &str) -> Option<Lorebook> {
    if file.get("spec").and_then(Value::as_str) == Some("lorebook_v3") {
        return parse_book(file.get("data")?, name, LoreFormat::V3);
    }
    let entries = file.get("entries")?;
    let whole = Value::Object(file.clone());
    match entries {
        Value::Object(_) => parse_book(&whole, name, LoreFormat::Tavern),
        Value::Array(rows) => {
            let has = |key| rows.iter().any(|row| row.get(key).is_some());
            let form = match (has("entry"), has("use_regex"), has("key")) {
                (true, ..) => LoreFormat::Agnai,
                (_, true, _) => LoreFormat::V3,
                (_, _, true) => LoreFormat::Tavern,
                _ => LoreFormat::V2,
            };
            parse_book(&whole, name, form)
        }
        _ => None,
    }
}

/// The lorebook inside a card.
pub fn parse_card_book(value: &Value, name: &str, version: Version) -> Option<Lorebook> {
    let form = match version {
        Version::V3 => LoreFormat::V3,
        _ => LoreFormat::V2,
    };
    parse_book(value, name, form)
}

/// Kobold's `worldinfo`: a list of rows.
pub fn parse_kobold_rows(rows: &Value, name: &str) -> Option<Lorebook> {
    let rows_are_lore = rows.as_array()?.iter().all(|row| {
        let has = |key| row.get(key).is_some_and(Value::is_string);
        has("key") && has("content")
    });
    if !rows_are_lore {
        return None;
    }
    parse_book(&json!({ "entries": rows }), name, LoreFormat::Kobold)
}

fn parse_book(value: &Value, name: &str, form: LoreFormat) -> Option<Lorebook> {
    let file = value.as_object()?;
    let rows: Vec<&Value> = match file.get("entries")? {
        Value::Object(rows) => rows.values().collect(),
        Value::Array(rows) => rows.iter().collect(),
        _ => return None,
    };
    let mut book = Lorebook {
        name: line_field(file, "name").unwrap_or_else(|| name.to_string()),
        description: text(file, "description").unwrap_or_default(),
        scan_depth: count(file, "scan_depth"),
        token_budget: count(file, "token_budget"),
        recursive: flag(file, "recursive_scanning").unwrap_or(false),
        ..Lorebook::default()
    };
    for (at, row) in rows.into_iter().enumerate() {
        let row = row.as_object()?;
        let mut entry = parse_entry(row, at, form);
        if book.entries.iter().any(|other| other.uid == entry.uid) {
            entry.uid = free_uid(&book);
        }
        entry.extra = unwritten_fields(row, &lorebook::entry(&entry, form));
        book.entries.push(entry);
    }
    book.extra = unwritten_fields(file, &lorebook::head(&book, form));
    book.extra.remove("entries");
    book.extra
        .insert(lorebook::FORM.to_string(), json!(form.name()));
    Some(book)
}

/// The fields of the file that an export would not reproduce.
fn unwritten_fields(file: &Map<String, Value>, written: &Map<String, Value>) -> Map<String, Value> {
    let kept = file
        .iter()
        .filter(|(key, value)| written.get(*key) != Some(value));
    kept.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn free_uid(book: &Lorebook) -> u64 {
    let taken = book.entries.iter().map(|entry| entry.uid);
    taken.max().map_or(0, |uid| uid.saturating_add(1))
}

fn parse_entry(row: &Map<String, Value>, at: usize, form: LoreFormat) -> LoreEntry {
    let mut entry = match form {
        LoreFormat::Tavern => parse_tavern_entry(row),
        LoreFormat::V2 | LoreFormat::V3 => parse_card_entry(row),
        LoreFormat::Kobold => parse_kobold_entry(row, at),
        LoreFormat::Agnai => parse_agnai_entry(row),
    };
    let id = if form == LoreFormat::Tavern {
        "uid"
    } else {
        "id"
    };
    entry.uid = count(row, id).unwrap_or(at as u64);
    decorators::apply_decorators(&mut entry);
    entry
}

/// SillyTavern's World Info.
fn parse_tavern_entry(row: &Map<String, Value>) -> LoreEntry {
    let mut entry = LoreEntry {
        name: line_field(row, "comment").unwrap_or_default(),
        keys: texts(row, "key").unwrap_or_default(),
        secondary: texts(row, "keysecondary").unwrap_or_default(),
        content: text(row, "content").unwrap_or_default(),
        constant: flag(row, "constant").unwrap_or(false),
        selective: flag(row, "selective").unwrap_or(true),
        enabled: !flag(row, "disable").unwrap_or(false),
        order: whole(row, "order").unwrap_or(100),
        ..LoreEntry::default()
    };
    parse_rules(row, &mut entry, TAVERN);
    // An outlet is used only if a template refers to it.
    if whole(row, "position").is_some_and(|position| !(0..=6).contains(&position)) {
        entry.enabled = false;
    }
    entry
}

/// The activation rules of SillyTavern, in its own files and in a card's extensions.
struct RuleFields {
    logic: &'static str,
    exclude: &'static str,
    prevent: &'static str,
    delay_until: &'static str,
    use_probability: &'static str,
    group_override: &'static str,
    group_weight: &'static str,
    scan_depth: &'static str,
    case: &'static str,
    whole: &'static str,
}

const TAVERN: RuleFields = RuleFields {
    logic: "selectiveLogic",
    exclude: "excludeRecursion",
    prevent: "preventRecursion",
    delay_until: "delayUntilRecursion",
    use_probability: "useProbability",
    group_override: "groupOverride",
    group_weight: "groupWeight",
    scan_depth: "scanDepth",
    case: "caseSensitive",
    whole: "matchWholeWords",
};

const EXTENSIONS: RuleFields = RuleFields {
    logic: "selectiveLogic",
    exclude: "exclude_recursion",
    prevent: "prevent_recursion",
    delay_until: "delay_until_recursion",
    use_probability: "useProbability",
    group_override: "group_override",
    group_weight: "group_weight",
    scan_depth: "scan_depth",
    case: "case_sensitive",
    whole: "match_whole_words",
};

fn parse_rules(row: &Map<String, Value>, entry: &mut LoreEntry, names: RuleFields) {
    if let Some(position) = whole(row, "position").and_then(lorebook::position) {
        entry.position = position;
    }
    if let Some(logic) = whole(row, names.logic).and_then(lorebook::logic) {
        entry.logic = logic;
    }
    entry.depth = count(row, "depth").unwrap_or(entry.depth);
    entry.exclude_recursion = flag(row, names.exclude).unwrap_or(false);
    entry.prevent_recursion = flag(row, names.prevent).unwrap_or(false);
    // A recursion level also means a delay.
    let level = whole(row, names.delay_until).is_some_and(|level| level > 0);
    entry.delay_until_recursion = flag(row, names.delay_until).unwrap_or(level);
    entry.probability = real(row, "probability").unwrap_or(100.0).clamp(0.0, 100.0);
    entry.use_probability = flag(row, names.use_probability).unwrap_or(true);
    entry.group = line_field(row, "group").unwrap_or_default();
    entry.group_override = flag(row, names.group_override).unwrap_or(false);
    entry.group_weight = real(row, names.group_weight).unwrap_or(100.0);
    entry.scan_depth = count(row, names.scan_depth);
    entry.case_sensitive = flag(row, names.case).or(entry.case_sensitive);
    entry.whole_words = flag(row, names.whole);
    entry.sticky = positive_field(row, "sticky");
    entry.cooldown = positive_field(row, "cooldown");
    entry.delay = positive_field(row, "delay");
}

/// Parses an entry of a card's lorebook, V2 or V3.
fn parse_card_entry(row: &Map<String, Value>) -> LoreEntry {
    let name = line_field(row, "name").filter(|name| !name.is_empty());
    let mut entry = LoreEntry {
        name: name
            .or_else(|| line_field(row, "comment"))
            .unwrap_or_default(),
        keys: texts(row, "keys").unwrap_or_default(),
        secondary: texts(row, "secondary_keys").unwrap_or_default(),
        content: text(row, "content").unwrap_or_default(),
        enabled: flag(row, "enabled").unwrap_or(true),
        order: whole(row, "insertion_order").unwrap_or(100),
        case_sensitive: flag(row, "case_sensitive"),
        selective: flag(row, "selective").unwrap_or(false),
        constant: flag(row, "constant").unwrap_or(false),
        use_regex: flag(row, "use_regex").unwrap_or(false),
        ..LoreEntry::default()
    };
    if let Some(Value::Object(rules)) = row.get("extensions") {
        parse_rules(rules, &mut entry, EXTENSIONS);
    }
    // The card's own field takes precedence over a program's extension.
    match (row.get("position").and_then(Value::as_str), entry.position) {
        (Some("after_char"), InsertPosition::Before) => entry.position = InsertPosition::After,
        (Some("before_char"), InsertPosition::After) => entry.position = InsertPosition::Before,
        _ => {}
    }
    entry
}

/// Parses one of Kobold's rows: keys are separated by commas, and row order is insertion order.
fn parse_kobold_entry(row: &Map<String, Value>, at: usize) -> LoreEntry {
    let secondary = texts(row, "keysecondary").unwrap_or_default();
    let anti = texts(row, "keyanti").unwrap_or_default();
    let (secondary, logic, never) = match secondary.is_empty() && !anti.is_empty() {
        true => (anti, KeyLogic::NotAny, Vec::new()),
        false => (secondary, KeyLogic::AndAny, anti),
    };
    LoreEntry {
        name: line_field(row, "comment").unwrap_or_default(),
        keys: texts(row, "key").unwrap_or_default(),
        // Kobold uses secondary keys only if `selective`, and excluding keys always.
        selective: logic == KeyLogic::NotAny || flag(row, "selective").unwrap_or(false),
        secondary,
        logic,
        never,
        content: text(row, "content").unwrap_or_default(),
        constant: flag(row, "constant").unwrap_or(false),
        enabled: !flag(row, "widisabled").unwrap_or(false),
        probability: real(row, "probability").unwrap_or(100.0).clamp(0.0, 100.0),
        order: at as i64,
        ..LoreEntry::default()
    }
}

fn parse_agnai_entry(row: &Map<String, Value>) -> LoreEntry {
    LoreEntry {
        name: line_field(row, "name").unwrap_or_default(),
        keys: texts(row, "keywords").unwrap_or_default(),
        content: text(row, "entry").unwrap_or_default(),
        enabled: flag(row, "enabled").unwrap_or(true),
        order: whole(row, "weight").unwrap_or(100),
        ..LoreEntry::default()
    }
}

fn line_field(map: &Map<String, Value>, key: &str) -> Option<String> {
    text(map, key).map(|text| clean_line(&text))
}

/// A number of passages; None for 0, which means off.
fn positive_field(map: &Map<String, Value>, key: &str) -> Option<u32> {
    count(map, key).filter(|count| *count > 0)
}

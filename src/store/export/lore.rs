//! Exports lorebooks in other programs' formats.
//!
//! An entry exported to the format it was imported from keeps all of its original fields; in
//! another format, it keeps those that the format does not define itself.

use crate::story::lore::{Book, Entry, Logic, Position};
use serde_json::{Map, Value, json};

/// The key under which a book stores its original format.
pub const FORM: &str = "illumine_form";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// SillyTavern's World Info.
    Tavern,
    /// `character_book` of a V2 card.
    V2,
    /// `lorebook_v3`, and the book of a V3 card.
    V3,
    Kobold,
    Agnai,
}

impl Form {
    pub fn name(self) -> &'static str {
        match self {
            Form::Tavern => "tavern",
            Form::V2 => "v2",
            Form::V3 => "v3",
            Form::Kobold => "kobold",
            Form::Agnai => "agnai",
        }
    }
}

/// A SillyTavern World Info file.
pub fn tavern(book: &Book) -> Value {
    let rows = rows(book, Form::Tavern);
    let rows: Map<String, Value> = rows
        .into_iter()
        .enumerate()
        // SillyTavern looks entries up by their uid.
        .map(|(at, row)| {
            let uid = row.get("uid").and_then(Value::as_u64).unwrap_or(at as u64);
            (uid.to_string(), Value::Object(row))
        })
        .collect();
    whole(book, Form::Tavern, Value::Object(rows))
}

/// A `lorebook_v3` file.
pub fn v3(book: &Book) -> Value {
    json!({ "spec": "lorebook_v3", "data": of_card(book, Form::V3) })
}

/// The lorebook inside a card.
pub fn of_card(book: &Book, form: Form) -> Value {
    let rows = rows(book, form).into_iter().map(Value::Object).collect();
    whole(book, form, Value::Array(rows))
}

/// Kobold's `worldinfo`.
pub fn kobold(book: &Book) -> Vec<Value> {
    let rows = rows(book, Form::Kobold).into_iter();
    rows.map(Value::Object).collect()
}

fn rows(book: &Book, form: Form) -> Vec<Map<String, Value>> {
    let own = came_as(book, form);
    let row = |entry: &Entry| joined(self::entry(entry, form), &entry.extra, own);
    book.entries.iter().map(row).collect()
}

fn came_as(book: &Book, form: Form) -> bool {
    book.extra.get(FORM).and_then(Value::as_str) == Some(form.name())
}

fn whole(book: &Book, form: Form, entries: Value) -> Value {
    let mut head = joined(head(book, form), &book.extra, came_as(book, form));
    head.remove(FORM);
    head.insert("entries".to_string(), entries);
    Value::Object(head)
}

/// Merges the written fields with the stored ones: in the original format stored fields win, in
/// another format they only fill gaps.
fn joined(
    mut written: Map<String, Value>,
    kept: &Map<String, Value>,
    own: bool,
) -> Map<String, Value> {
    for (key, value) in kept {
        match written.get_mut(key) {
            Some(there) if own => *there = value.clone(),
            Some(Value::Object(there)) => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    there.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            Some(_) => {}
            None => _ = written.insert(key.clone(), value.clone()),
        }
    }
    written
}

/// A format's fields for the book as a whole.
pub fn head(book: &Book, form: Form) -> Map<String, Value> {
    let mut head = Map::new();
    let mut put = |key: &str, value: Value| _ = head.insert(key.to_string(), value);
    match form {
        Form::Tavern | Form::Kobold => {
            // SillyTavern names a book by its file.
        }
        Form::Agnai => {
            put("kind", json!("memory"));
            put("name", json!(book.name));
            put("description", json!(book.description));
        }
        Form::V2 | Form::V3 => {
            put("name", json!(book.name));
            put("description", json!(book.description));
            if let Some(depth) = book.scan_depth {
                put("scan_depth", json!(depth));
            }
            if let Some(budget) = book.token_budget {
                put("token_budget", json!(budget));
            }
            put("recursive_scanning", json!(book.recursive));
            put("extensions", json!({}));
        }
    }
    head
}

/// A format's fields for an entry.
pub fn entry(entry: &Entry, form: Form) -> Map<String, Value> {
    let value = match form {
        Form::Tavern => tavern_entry(entry),
        Form::V2 | Form::V3 => card_entry(entry, form),
        Form::Kobold => kobold_entry(entry),
        Form::Agnai => json!({
            "name": entry.name, "entry": entry.content, "keywords": entry.keys,
            "weight": entry.order, "priority": entry.order, "enabled": entry.enabled,
        }),
    };
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn tavern_entry(entry: &Entry) -> Value {
    json!({
        "uid": entry.uid, "key": slashed(entry), "keysecondary": entry.secondary,
        "comment": entry.name, "content": entry.content, "constant": entry.constant,
        "vectorized": false, "selective": entry.selective,
        "selectiveLogic": logic_number(entry.logic), "addMemo": true, "order": entry.order,
        "position": position_number(entry.position), "disable": !entry.enabled,
        "excludeRecursion": entry.exclude_recursion, "preventRecursion": entry.prevent_recursion,
        "delayUntilRecursion": entry.delay_until_recursion,
        "probability": number(entry.probability), "useProbability": entry.use_probability,
        "depth": entry.depth, "group": entry.group, "groupOverride": entry.group_override,
        "groupWeight": number(entry.group_weight), "scanDepth": entry.scan_depth,
        "caseSensitive": entry.case_sensitive, "matchWholeWords": entry.whole_words,
        "useGroupScoring": null, "automationId": "", "role": 0,
        "sticky": entry.sticky, "cooldown": entry.cooldown, "delay": entry.delay,
        "displayIndex": entry.uid,
    })
}

/// Puts slashes around regexes: V3 has a flag for regexes, SillyTavern uses slashes.
fn slashed(entry: &Entry) -> Vec<String> {
    let flags = if entry.case_sensitive == Some(true) {
        ""
    } else {
        "i"
    };
    let keys = entry.keys.iter();
    keys.map(|key| match entry.use_regex && !key.starts_with('/') {
        true => format!("/{}/{flags}", key.replace('/', "\\/")),
        false => key.clone(),
    })
    .collect()
}

fn card_entry(entry: &Entry, form: Form) -> Value {
    let mut value = json!({
        "keys": entry.keys, "content": entry.content, "extensions": extensions(entry),
        "enabled": entry.enabled, "insertion_order": entry.order, "name": entry.name,
        "id": entry.uid, "comment": entry.name, "selective": entry.selective,
        "secondary_keys": entry.secondary, "constant": entry.constant,
        "position": if entry.position == Position::Before { "before_char" } else { "after_char" },
    });
    if let Some(case) = entry.case_sensitive {
        value["case_sensitive"] = json!(case);
    }
    match form {
        Form::V3 => value["use_regex"] = json!(entry.use_regex),
        _ => value["keys"] = json!(slashed(entry)),
    }
    value
}

/// SillyTavern's extension fields for settings that the card specification lacks; omits defaults.
fn extensions(entry: &Entry) -> Value {
    let plain = Entry {
        position: Position::Before,
        ..Entry::default()
    };
    let mut rules = Map::new();
    let mut put = |key: &str, differs: bool, value: Value| {
        if differs {
            rules.insert(key.to_string(), value);
        }
    };
    let shared = matches!(entry.position, Position::Before | Position::After);
    put("position", !shared, json!(position_number(entry.position)));
    put("depth", entry.depth != plain.depth, json!(entry.depth));
    put(
        "selectiveLogic",
        entry.logic != plain.logic,
        json!(logic_number(entry.logic)),
    );
    put("exclude_recursion", entry.exclude_recursion, json!(true));
    put("prevent_recursion", entry.prevent_recursion, json!(true));
    put(
        "delay_until_recursion",
        entry.delay_until_recursion,
        json!(true),
    );
    let chance = entry.probability != plain.probability;
    put("probability", chance, number(entry.probability));
    put("useProbability", !entry.use_probability, json!(false));
    put("group", !entry.group.is_empty(), json!(entry.group));
    put("group_override", entry.group_override, json!(true));
    let weighs = entry.group_weight != plain.group_weight;
    put("group_weight", weighs, number(entry.group_weight));
    put(
        "scan_depth",
        entry.scan_depth.is_some(),
        json!(entry.scan_depth),
    );
    put(
        "match_whole_words",
        entry.whole_words.is_some(),
        json!(entry.whole_words),
    );
    put("sticky", entry.sticky.is_some(), json!(entry.sticky));
    put("cooldown", entry.cooldown.is_some(), json!(entry.cooldown));
    put("delay", entry.delay.is_some(), json!(entry.delay));
    Value::Object(rules)
}

fn kobold_entry(entry: &Entry) -> Value {
    let second = entry.secondary.join(",");
    let (and, not) = match entry.logic {
        Logic::NotAny | Logic::NotAll => (String::new(), second),
        Logic::AndAny | Logic::AndAll => (second, entry.never.join(",")),
    };
    json!({
        "key": entry.keys.join(","), "keysecondary": and, "keyanti": not,
        "content": entry.content, "comment": entry.name, "folder": null,
        "selective": entry.selective && !and.is_empty(), "constant": entry.constant,
        "probability": number(entry.probability), "wigroup": "", "widisabled": !entry.enabled,
    })
}

/// Formats a number as JavaScript does: integers without a decimal point.
fn number(number: f64) -> Value {
    match number.fract() == 0.0 && number.abs() < 1e15 {
        true => json!(number as i64),
        false => json!(number),
    }
}

const POSITIONS: [Position; 7] = [
    Position::Before,
    Position::After,
    Position::NoteTop,
    Position::NoteBottom,
    Position::AtDepth,
    Position::ExamplesTop,
    Position::ExamplesBottom,
];

const LOGICS: [Logic; 4] = [Logic::AndAny, Logic::NotAll, Logic::NotAny, Logic::AndAll];

pub fn position(number: i64) -> Option<Position> {
    POSITIONS.get(usize::try_from(number).ok()?).copied()
}

pub fn logic(number: i64) -> Option<Logic> {
    LOGICS.get(usize::try_from(number).ok()?).copied()
}

fn position_number(position: Position) -> usize {
    POSITIONS
        .iter()
        .position(|one| *one == position)
        .unwrap_or(0)
}

fn logic_number(logic: Logic) -> usize {
    LOGICS.iter().position(|one| *one == logic).unwrap_or(0)
}

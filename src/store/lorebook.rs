//! Exports lorebooks in other programs' formats.
//!
//! An entry that is exported to its original format retains all of its original fields. An entry
//! that is exported to another format retains the original fields that the other format does not
//! define.

use serde_json::{Map, Value, json};
use story::lore::{InsertPosition, KeyLogic, LoreEntry, Lorebook};

/// The key under which a lorebook stores its original format.
pub const FORM: &str = "illumine_form";

/// The key under which a lorebook stores the unusable rows of its original file.
pub const LEFT_OUT: &str = "illumine_left_out";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoreFormat {
    /// SillyTavern's World Info.
    Tavern,
    /// The field `character_book` of a V2 card.
    V2,
    /// A `lorebook_v3` file, or the lorebook of a V3 card.
    V3,
    Kobold,
    Agnai,
    /// NovelAI's `.lorebook` files, which can only be imported.
    NovelAi,
    /// AI Dungeon's story cards and world info, which can only be imported.
    AiDungeon,
    /// Risu's lorebooks and modules, which can only be imported.
    Risu,
}

impl LoreFormat {
    pub fn name(self) -> &'static str {
        match self {
            LoreFormat::Tavern => "tavern",
            LoreFormat::V2 => "v2",
            LoreFormat::V3 => "v3",
            LoreFormat::Kobold => "kobold",
            LoreFormat::Agnai => "agnai",
            LoreFormat::NovelAi => "novelai",
            LoreFormat::AiDungeon => "ai_dungeon",
            LoreFormat::Risu => "risu",
        }
    }
}

/// Exports a lorebook as a SillyTavern World Info file.
pub fn tavern(book: &Lorebook) -> Value {
    let rows = rows(book, LoreFormat::Tavern);
    let rows: Map<String, Value> = rows
        .into_iter()
        .enumerate()
        // SillyTavern looks entries up by their uid.
        .map(|(at, row)| {
            let uid = row.get("uid").and_then(Value::as_u64).unwrap_or(at as u64);
            (uid.to_string(), Value::Object(row))
        })
        .collect();
    whole(book, LoreFormat::Tavern, Value::Object(rows))
}

/// Exports a lorebook as a `lorebook_v3` file.
pub fn v3(book: &Lorebook) -> Value {
    json!({ "spec": "lorebook_v3", "data": of_card(book, LoreFormat::V3) })
}

/// Exports a lorebook in the form that is stored inside a card.
pub fn of_card(book: &Lorebook, form: LoreFormat) -> Value {
    let rows = rows(book, form).into_iter().map(Value::Object).collect();
    whole(book, form, Value::Array(rows))
}

/// Exports a lorebook as the rows of Kobold's `worldinfo`.
pub fn kobold(book: &Lorebook) -> Vec<Value> {
    let rows = rows(book, LoreFormat::Kobold).into_iter();
    let mut rows: Vec<Value> = rows.map(Value::Object).collect();
    if came_as(book, LoreFormat::Kobold) {
        put_back(book, &mut rows);
    }
    rows
}

/// Inserts the unusable rows of a lorebook's original file into `rows` at their original indices.
fn put_back(book: &Lorebook, rows: &mut Vec<Value>) {
    for (at, _, row) in left_out(book) {
        rows.insert(at.min(rows.len()), row.clone());
    }
}

/// The unusable rows of a lorebook's original file, each with its index and its key in that file.
fn left_out(book: &Lorebook) -> impl Iterator<Item = (usize, &str, &Value)> {
    let rows = book.extra.get(LEFT_OUT).and_then(Value::as_array);
    rows.into_iter().flatten().filter_map(|row| {
        let at = row.get("at")?.as_u64()? as usize;
        Some((at, row.get("key")?.as_str()?, row.get("row")?))
    })
}

fn rows(book: &Lorebook, form: LoreFormat) -> Vec<Map<String, Value>> {
    let own = came_as(book, form);
    let row = |entry: &LoreEntry| {
        let other = entry.extra.get(FORM).and_then(Value::as_str);
        let own = other.map_or(own, |other| is_same_form(other, form));
        let mut row = joined(self::entry(entry, form), &entry.extra, own);
        row.remove(FORM);
        row
    };
    book.entries.iter().map(row).collect()
}

fn came_as(book: &Lorebook, form: LoreFormat) -> bool {
    let own = book.extra.get(FORM).and_then(Value::as_str);
    own.is_some_and(|own| is_same_form(own, form))
}

/// Whether two formats have the same field names, as the formats of V2 and V3 cards do.
fn is_same_form(own: &str, form: LoreFormat) -> bool {
    let card = |name: &str| {
        [LoreFormat::V2, LoreFormat::V3]
            .iter()
            .any(|it| it.name() == name)
    };
    own == form.name() || (card(own) && card(form.name()))
}

fn whole(book: &Lorebook, form: LoreFormat, entries: Value) -> Value {
    let mut head = joined(head(book, form), &book.extra, came_as(book, form));
    head.remove(FORM);
    head.remove(LEFT_OUT);
    let entries = match entries {
        Value::Array(mut rows) if came_as(book, form) => {
            put_back(book, &mut rows);
            Value::Array(rows)
        }
        Value::Object(mut rows) if came_as(book, form) => {
            for (_, key, row) in left_out(book) {
                rows.entry(key).or_insert_with(|| row.clone());
            }
            Value::Object(rows)
        }
        entries => entries,
    };
    head.insert("entries".to_string(), entries);
    Value::Object(head)
}

/// Merges `written`, the exported fields, with `kept`, the fields stored at import. If `own` is
/// true, the export has the original format, and stored fields replace exported fields. Otherwise,
/// stored fields are only added.
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

/// The fields of the lorebook as a whole, as exported in the given format.
pub fn head(book: &Lorebook, form: LoreFormat) -> Map<String, Value> {
    let mut head = Map::new();
    let mut put = |key: &str, value: Value| _ = head.insert(key.to_string(), value);
    match form {
        LoreFormat::Tavern | LoreFormat::Kobold => {
            // SillyTavern names a lorebook after its file.
        }
        LoreFormat::NovelAi | LoreFormat::AiDungeon | LoreFormat::Risu => {}
        LoreFormat::Agnai => {
            put("kind", json!("memory"));
            put("name", json!(book.name));
            put("description", json!(book.description));
        }
        LoreFormat::V2 | LoreFormat::V3 => {
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

/// The fields of one entry, as exported in the given format.
pub fn entry(entry: &LoreEntry, form: LoreFormat) -> Map<String, Value> {
    let value = match form {
        LoreFormat::Tavern => tavern_entry(entry),
        LoreFormat::V2 | LoreFormat::V3 => card_entry(entry, form),
        LoreFormat::Kobold => kobold_entry(entry),
        LoreFormat::Agnai => json!({
            "name": entry.name, "entry": entry.content, "keywords": entry.keys,
            "weight": entry.order, "priority": entry.order, "enabled": entry.enabled,
        }),
        LoreFormat::NovelAi => json!({
            "displayName": entry.name, "text": entry.content, "keys": entry.keys,
            "enabled": entry.enabled, "forceActivation": entry.constant,
        }),
        LoreFormat::AiDungeon => json!({
            "title": entry.name, "value": entry.content, "keys": entry.keys.join(","),
        }),
        LoreFormat::Risu => json!({
            "key": entry.keys.join(", "), "secondkey": entry.secondary.join(", "),
            "comment": entry.name, "content": entry.content, "alwaysActive": entry.constant,
            "selective": entry.selective, "insertorder": entry.order, "useRegex": entry.use_regex,
        }),
    };
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn tavern_entry(entry: &LoreEntry) -> Value {
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

/// The keys of an entry, with slashes around regexes. This is SillyTavern's notation; a V3 card has
/// a flag instead.
fn slashed(entry: &LoreEntry) -> Vec<String> {
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

fn card_entry(entry: &LoreEntry, form: LoreFormat) -> Value {
    let mut value = json!({
        "keys": entry.keys, "content": entry.content, "extensions": extensions(entry),
        "enabled": entry.enabled, "insertion_order": entry.order, "name": entry.name,
        "id": entry.uid, "comment": entry.name, "selective": entry.selective,
        "secondary_keys": entry.secondary, "constant": entry.constant,
        "position": if entry.position == InsertPosition::Before { "before_char" } else { "after_char" },
    });
    if let Some(case) = entry.case_sensitive {
        value["case_sensitive"] = json!(case);
    }
    match form {
        LoreFormat::V3 => value["use_regex"] = json!(entry.use_regex),
        _ => value["keys"] = json!(slashed(entry)),
    }
    value
}

/// The extension fields in which SillyTavern stores settings that the card specification lacks.
/// Fields with default values are omitted.
fn extensions(entry: &LoreEntry) -> Value {
    let plain = LoreEntry {
        position: InsertPosition::Before,
        ..LoreEntry::default()
    };
    let mut rules = Map::new();
    let mut put = |key: &str, differs: bool, value: Value| {
        if differs {
            rules.insert(key.to_string(), value);
        }
    };
    let shared = matches!(
        entry.position,
        InsertPosition::Before | InsertPosition::After
    );
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

fn kobold_entry(entry: &LoreEntry) -> Value {
    let second = entry.secondary.join(",");
    let (and, not) = match entry.logic {
        KeyLogic::NotAny | KeyLogic::NotAll => (String::new(), second),
        KeyLogic::AndAny | KeyLogic::AndAll => (second, entry.never.join(",")),
    };
    json!({
        "key": entry.keys.join(","), "keysecondary": and, "keyanti": not,
        "content": entry.content, "comment": entry.name, "folder": null,
        "selective": entry.selective && !and.is_empty(), "constant": entry.constant,
        "probability": number(entry.probability), "wigroup": "", "widisabled": !entry.enabled,
    })
}

/// Converts a number to JSON in the form that JavaScript writes: integers have no decimal point.
fn number(number: f64) -> Value {
    match number.fract() == 0.0 && number.abs() < 1e15 {
        true => json!(number as i64),
        false => json!(number),
    }
}

const POSITIONS: [InsertPosition; 7] = [
    InsertPosition::Before,
    InsertPosition::After,
    InsertPosition::NoteTop,
    InsertPosition::NoteBottom,
    InsertPosition::AtDepth,
    InsertPosition::ExamplesTop,
    InsertPosition::ExamplesBottom,
];

const LOGICS: [KeyLogic; 4] = [
    KeyLogic::AndAny,
    KeyLogic::NotAll,
    KeyLogic::NotAny,
    KeyLogic::AndAll,
];

pub fn position(number: i64) -> Option<InsertPosition> {
    POSITIONS.get(usize::try_from(number).ok()?).copied()
}

pub fn logic(number: i64) -> Option<KeyLogic> {
    LOGICS.get(usize::try_from(number).ok()?).copied()
}

fn position_number(position: InsertPosition) -> usize {
    POSITIONS
        .iter()
        .position(|one| *one == position)
        .unwrap_or(0)
}

fn logic_number(logic: KeyLogic) -> usize {
    LOGICS.iter().position(|one| *one == logic).unwrap_or(0)
}

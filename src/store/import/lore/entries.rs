//! Parses one entry of a lorebook, in each program's format.
//!
//! NovelAI's format is that of its `.lorebook` files, versions 3 to 6. AI Dungeon's format is that
//! of its exported story cards (before 2024: world info). Risu's format is that of its lorebook
//! files and module files.

use super::super::fields::{count, first_text, flag, line, real, text, texts, whole};
use crate::store::lorebook::{self, LoreFormat};
use serde_json::{Map, Value};
use story::lore::{InsertPosition, KeyLogic, LoreEntry, decorators};

/// Determines the format of a row. `book` is the format of the whole lorebook. Each row is checked,
/// since a lorebook assembled by hand can contain several formats.
pub fn form_of(row: &Map<String, Value>, book: LoreFormat) -> LoreFormat {
    let has = |key: &str| row.contains_key(key);
    let is_card = matches!(book, LoreFormat::V2 | LoreFormat::V3);
    match () {
        // A row with these fields has this format; its other fields came from other formats.
        () if has("uid") && has("key") && has("content") => LoreFormat::Tavern,
        () if has("keys") && has("content") && has("insertion_order") => match book {
            LoreFormat::V2 | LoreFormat::V3 => book,
            _ if has("use_regex") => LoreFormat::V3,
            _ => LoreFormat::V2,
        },
        () if has("keywords") => LoreFormat::Agnai,
        () if has("insertorder") || has("secondkey") || has("alwaysActive") => LoreFormat::Risu,
        () if has("keysList") || (has("keys") && (has("value") || has("entry"))) => {
            LoreFormat::AiDungeon
        }
        () if has("entry") => LoreFormat::Agnai,
        () if has("text") && !has("content") => LoreFormat::NovelAi,
        () if has("key") && book == LoreFormat::Kobold => LoreFormat::Kobold,
        () if has("key") => LoreFormat::Tavern,
        () if has("keys") && has("use_regex") && !is_card => LoreFormat::V3,
        () if has("keys") && !is_card => LoreFormat::V2,
        () => book,
    }
}

/// Parses a row, or returns the reason why it cannot be used.
pub fn read(row: &Value, at: usize, form: LoreFormat) -> Result<LoreEntry, &'static str> {
    let row = match row {
        Value::Object(row) => row,
        Value::Null => return Err("is null"),
        _ => return Err("is not an entry"),
    };
    if line(row, "mode").is_some_and(|mode| mode == "folder") && form == LoreFormat::Risu {
        return Err("is a folder");
    }
    let mut entry = match form {
        LoreFormat::Tavern => parse_tavern_entry(row),
        LoreFormat::V2 | LoreFormat::V3 => parse_card_entry(row),
        LoreFormat::Kobold => parse_kobold_entry(row, at),
        LoreFormat::Agnai => parse_agnai_entry(row),
        LoreFormat::NovelAi => parse_novelai_entry(row),
        LoreFormat::AiDungeon => parse_ai_dungeon_entry(row),
        LoreFormat::Risu => parse_risu_entry(row),
    };
    let content = content_fields(form)
        .iter()
        .find_map(|key| row.get(*key)?.as_str());
    match (content, entry.keys.is_empty() && entry.name.is_empty()) {
        (None, _) => return Err("has no text"),
        (Some(content), true) if content.trim().is_empty() => {
            return Err("has neither keys nor text");
        }
        (Some(_), _) => {}
    }
    let id = match form {
        LoreFormat::Tavern => "uid",
        _ => "id",
    };
    entry.uid = count(row, id).unwrap_or(at as u64);
    decorators::apply_decorators(&mut entry);
    Ok(entry)
}

fn content_fields(form: LoreFormat) -> &'static [&'static str] {
    match form {
        LoreFormat::Tavern | LoreFormat::V2 | LoreFormat::V3 => &["content"],
        LoreFormat::Kobold | LoreFormat::Risu => &["content"],
        LoreFormat::Agnai => &["entry"],
        LoreFormat::NovelAi => &["text"],
        LoreFormat::AiDungeon => &["value", "entry"],
    }
}

/// Whether a row of a card's lorebook has SillyTavern's field `match_whole_words`.
pub fn is_of_tavern(row: &Map<String, Value>) -> bool {
    let rules = row.get("extensions");
    rules.is_some_and(|rules| rules.get("match_whole_words").is_some())
}

/// Whether SillyTavern wrote this row of a card's lorebook. SillyTavern writes all of its rules
/// into every row. It also sets `use_regex` in every row, although it treats only keys between
/// slashes as regexes (see its `src/endpoints/characters.js`).
fn is_written_by_tavern(row: &Map<String, Value>) -> bool {
    let always = ["display_index", "exclude_recursion", "useProbability"];
    let rules = row.get("extensions");
    rules.is_some_and(|rules| always.iter().all(|key| rules.get(*key).is_some()))
}

fn parse_novelai_entry(row: &Map<String, Value>) -> LoreEntry {
    let context = row.get("contextConfig").and_then(Value::as_object);
    LoreEntry {
        name: line(row, "displayName").unwrap_or_default(),
        keys: texts(row, "keys").unwrap_or_default(),
        content: text(row, "text").unwrap_or_default(),
        enabled: flag(row, "enabled").unwrap_or(true),
        constant: flag(row, "forceActivation").unwrap_or(false),
        order: context
            .and_then(|it| whole(it, "budgetPriority"))
            .unwrap_or(400),
        ..LoreEntry::default()
    }
}

fn parse_ai_dungeon_entry(row: &Map<String, Value>) -> LoreEntry {
    let keys = texts(row, "keys").filter(|keys| !keys.is_empty());
    LoreEntry {
        name: first_text(row, &["title", "name"]).unwrap_or_default(),
        keys: keys.or_else(|| texts(row, "keysList")).unwrap_or_default(),
        content: first_text(row, &["value", "entry"]).unwrap_or_default(),
        ..LoreEntry::default()
    }
}

fn parse_risu_entry(row: &Map<String, Value>) -> LoreEntry {
    let use_regex = flag(row, "useRegex").unwrap_or(false);
    let keys = match (use_regex, text(row, "key")) {
        (true, Some(pattern)) if !pattern.is_empty() => vec![pattern],
        _ => texts(row, "key").unwrap_or_default(),
    };
    let secondary = texts(row, "secondkey").unwrap_or_default();
    LoreEntry {
        name: line(row, "comment").unwrap_or_default(),
        keys,
        selective: flag(row, "selective").unwrap_or(!secondary.is_empty()),
        secondary,
        content: text(row, "content").unwrap_or_default(),
        constant: flag(row, "alwaysActive").unwrap_or(false),
        order: whole(row, "insertorder").unwrap_or(100),
        probability: real(row, "activationPercent")
            .unwrap_or(100.0)
            .clamp(0.0, 100.0),
        use_regex,
        ..LoreEntry::default()
    }
}

/// Parses an entry of SillyTavern's World Info. If the entry leaves a value to SillyTavern's
/// settings, the entry gets SillyTavern's default value (from its `default/content/settings.json`).
fn parse_tavern_entry(row: &Map<String, Value>) -> LoreEntry {
    let mut entry = LoreEntry {
        name: line(row, "comment").unwrap_or_default(),
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
    entry.whole_words = entry.whole_words.or(Some(true));
    // An outlet is read only if a template inserts it, so the entry is turned off.
    if whole(row, "position").is_some_and(|position| !(0..=6).contains(&position)) {
        entry.enabled = false;
    }
    entry
}

/// The field names of SillyTavern's activation rules. They differ between SillyTavern's own files
/// and the extensions of a card.
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
    // A recursion level is also a delay.
    let level = whole(row, names.delay_until).is_some_and(|level| level > 0);
    entry.delay_until_recursion = flag(row, names.delay_until).unwrap_or(level);
    entry.probability = real(row, "probability").unwrap_or(100.0).clamp(0.0, 100.0);
    entry.use_probability = flag(row, names.use_probability).unwrap_or(true);
    entry.group = line(row, "group").unwrap_or_default();
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
    let name = line(row, "name").filter(|name| !name.is_empty());
    let mut entry = LoreEntry {
        name: name.or_else(|| line(row, "comment")).unwrap_or_default(),
        keys: texts(row, "keys").unwrap_or_default(),
        secondary: texts(row, "secondary_keys").unwrap_or_default(),
        content: text(row, "content").unwrap_or_default(),
        enabled: flag(row, "enabled").unwrap_or(true),
        order: whole(row, "insertion_order").unwrap_or(100),
        case_sensitive: flag(row, "case_sensitive"),
        selective: flag(row, "selective").unwrap_or(false),
        constant: flag(row, "constant").unwrap_or(false),
        use_regex: flag(row, "use_regex").unwrap_or(false) && !is_written_by_tavern(row),
        ..LoreEntry::default()
    };
    if let Some(Value::Object(rules)) = row.get("extensions") {
        parse_rules(rules, &mut entry, EXTENSIONS);
        if is_of_tavern(row) {
            entry.whole_words = entry.whole_words.or(Some(true));
        }
    }
    // The card's own fields take precedence over those that a program added.
    match (row.get("position").and_then(Value::as_str), entry.position) {
        (Some("after_char"), InsertPosition::Before) => entry.position = InsertPosition::After,
        (Some("before_char"), InsertPosition::After) => entry.position = InsertPosition::Before,
        _ => {}
    }
    entry
}

/// Parses a row of Kobold's lorebook. Commas separate the keys. `at`, the index of the row, becomes
/// the order of the entry.
fn parse_kobold_entry(row: &Map<String, Value>, at: usize) -> LoreEntry {
    let secondary = texts(row, "keysecondary").unwrap_or_default();
    let anti = texts(row, "keyanti").unwrap_or_default();
    let (secondary, logic, never) = match secondary.is_empty() && !anti.is_empty() {
        true => (anti, KeyLogic::NotAny, Vec::new()),
        false => (secondary, KeyLogic::AndAny, anti),
    };
    LoreEntry {
        name: line(row, "comment").unwrap_or_default(),
        keys: texts(row, "key").unwrap_or_default(),
        // Kobold checks secondary keys only if `selective` is set, but always checks keys to
        // exclude.
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
        name: line(row, "name").unwrap_or_default(),
        keys: texts(row, "keywords").unwrap_or_default(),
        content: text(row, "entry").unwrap_or_default(),
        enabled: flag(row, "enabled").unwrap_or(true),
        order: whole(row, "weight").unwrap_or(100),
        ..LoreEntry::default()
    }
}

/// The number in a field; None if the field is missing or if the number is 0, which means off.
fn positive_field(map: &Map<String, Value>, key: &str) -> Option<u32> {
    count(map, key).filter(|count| *count > 0)
}

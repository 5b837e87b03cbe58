//! Character cards.
//!
//! A card is stored field by field as in its file, so that an export loses nothing. The fields are
//! cleaned when they are used. V1 cards have six top-level fields; V2 and V3 cards have their
//! fields under `data` (chara_card_v2, chara_card_v3). This module does not handle files or
//! pictures.

mod macros;

pub use macros::Macros;

use base::decode::unix_lines;
use base::untrusted::{clean, clean_line, is_visible};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A character card, with the name of its lorebook.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Card {
    pub version: Version,
    /// The character's fields as in the file, except the lorebook.
    pub data: Map<String, Value>,
    /// The file's fields outside `data`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub beside: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub book: Option<String>,
    /// The name of the card's file, which is used as the character's name if the card has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file_name: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Version {
    V1,
    #[default]
    V2,
    V3,
}

/// The character of a session: its card, and the user's name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Character {
    pub card: Card,
    pub user: String,
    /// The name of the card's original file in the session's folder; None if that file was plain
    /// JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// The default name of the user.
pub const USER: &str = "User";

/// The names of a card's text fields, in the order of the specification. The first six are those of
/// V1.
const TEXTS: [&str; 11] = [
    "name",
    "description",
    "personality",
    "scenario",
    "first_mes",
    "mes_example",
    "creator_notes",
    "system_prompt",
    "post_history_instructions",
    "creator",
    "character_version",
];
const V1: usize = 6;

impl Card {
    /// Parses the JSON of a card. Returns the card and its lorebook separately; None if the JSON is
    /// not a card.
    pub fn from_json(mut file: Map<String, Value>) -> Option<(Card, Option<Value>)> {
        let spec = file.get("spec").and_then(Value::as_str);
        let spec = spec.unwrap_or_default().to_string();
        let version = match spec.as_str() {
            "chara_card_v3" => Version::V3,
            _ if file.get("data").is_some_and(Value::is_object) => Version::V2,
            "chara_card_v2" => return None,
            _ => Version::V1,
        };
        let mut data = match version {
            Version::V1 => std::mem::take(&mut file),
            _ => match file.remove("data") {
                Some(Value::Object(data)) => data,
                _ => return None,
            },
        };
        let has = |key: &&&str| data.get(**key).is_some_and(Value::is_string);
        let speaks = ["description", "personality", "first_mes", "scenario"];
        let described = speaks.iter().filter(has).count();
        let named = has(&&"name");
        // A name is often missing; other kinds of JSON may also have a name and a description.
        let is_card = match (spec.starts_with("chara_card"), named) {
            (true, _) => named || described > 0,
            (false, true) => described > 0,
            (false, false) => described > 1,
        };
        if !is_card {
            return None;
        }
        let is_book = |book: &Value| book.is_object() || book.is_array();
        let book = match data.get("character_book").is_some_and(is_book) {
            true => data.remove("character_book"),
            false => None,
        };
        let card = Card {
            version,
            data,
            beside: file,
            ..Card::default()
        };
        Some((card, book))
    }

    /// Creates a card with a name, a description and greetings.
    pub fn new(name: &str, description: &str, greetings: &[String]) -> Card {
        let (first, others) = match greetings.split_first() {
            Some((first, others)) => (first.as_str(), others),
            None => ("", &[][..]),
        };
        let mut data = Map::new();
        for key in TEXTS {
            data.insert(key.to_string(), json!(""));
        }
        data.insert("name".to_string(), json!(name));
        data.insert("description".to_string(), json!(description));
        data.insert("first_mes".to_string(), json!(first));
        data.insert("alternate_greetings".to_string(), json!(others));
        Card {
            data,
            ..Card::default()
        }
    }

    /// Returns the card's JSON in the given version of the format. `book` is the card's lorebook,
    /// in the format of that version.
    pub fn to_json(&self, version: Version, book: Option<Value>) -> Value {
        let mut data = self.data.clone();
        let texts = match version {
            Version::V1 => &TEXTS[..V1],
            _ => &TEXTS[..],
        };
        for key in texts {
            data.entry(*key).or_insert_with(|| json!(""));
        }
        if version == Version::V1 {
            return Value::Object(data);
        }
        for key in ["alternate_greetings", "tags"] {
            data.entry(key).or_insert_with(|| json!([]));
        }
        data.entry("extensions").or_insert_with(|| json!({}));
        if version == Version::V3 {
            data.entry("group_only_greetings")
                .or_insert_with(|| json!([]));
        }
        if let Some(book) = book {
            data.insert("character_book".to_string(), book);
        }
        let (spec, number) = match version {
            Version::V3 => ("chara_card_v3", "3.0"),
            _ => ("chara_card_v2", "2.0"),
        };
        let mut file = self.beside.clone();
        file.insert("spec".to_string(), json!(spec));
        // A later 3.x version number stays unchanged.
        let kept = file.get("spec_version").and_then(Value::as_str);
        if self.version != version || !kept.is_some_and(|kept| kept.starts_with(&number[..1])) {
            file.insert("spec_version".to_string(), json!(number));
        }
        file.insert("data".to_string(), Value::Object(data));
        Value::Object(file)
    }

    /// The character's name as used by macros: the nickname if there is one, otherwise the name.
    pub fn name(&self) -> String {
        let nickname = self.line("nickname");
        match is_visible(&nickname) {
            true => nickname,
            false => self.own_name(),
        }
    }

    /// Whether the card has a field with the character's name.
    pub fn has_name(&self) -> bool {
        is_visible(&self.line("name"))
    }

    /// Whether the card has no name, description, personality or greeting.
    pub fn is_blank(&self) -> bool {
        let describes = ["description", "personality"].map(|key| self.text(key));
        let described = describes.iter().any(|text| is_visible(text));
        !self.has_name() && !described && self.greetings().is_empty()
    }

    /// The character's name, ignoring the nickname. It is never empty.
    pub fn own_name(&self) -> String {
        let names = [self.line("name"), clean_line(&self.file_name)];
        let named = names.into_iter().find(|name| is_visible(name));
        named.unwrap_or_else(|| "Character".to_string())
    }

    /// The text of the field `key`, cleaned.
    pub fn text(&self, key: &str) -> String {
        let text = self.data.get(key).and_then(Value::as_str);
        tidy(text.unwrap_or_default())
    }

    pub fn line(&self, key: &str) -> String {
        clean_line(&self.text(key)).trim().to_string()
    }

    /// The text that SillyTavern inserts for this character at a depth (`extensions.depth_prompt`),
    /// and the depth.
    pub fn depth_prompt(&self) -> (String, usize) {
        let prompt = self
            .data
            .get("extensions")
            .and_then(|it| it.get("depth_prompt"));
        let text = prompt
            .and_then(|it| it.get("prompt"))
            .and_then(Value::as_str);
        let depth = prompt
            .and_then(|it| it.get("depth"))
            .and_then(Value::as_u64);
        let text = base::untrusted::clean(text.unwrap_or_default()).into_owned();
        (text, depth.unwrap_or(4).clamp(1, 100) as usize)
    }

    /// The first message and the alternative greetings, without empty ones.
    pub fn greetings(&self) -> Vec<String> {
        let others = self.data.get("alternate_greetings");
        let others = others.and_then(Value::as_array).into_iter().flatten();
        let others = others.filter_map(Value::as_str);
        let others = others.map(tidy);
        std::iter::once(self.text("first_mes"))
            .chain(others)
            .filter(|text| !text.is_empty())
            .collect()
    }

    /// Returns the part of the card that is placed before the story. Fields meant for people
    /// (`creator_notes`, `tags`, `creator`, `character_version`) are left out.
    pub fn memory(&self) -> String {
        let name = self.name();
        let labelled = |label: &str, key: &str| {
            let text = self.text(key);
            (!text.is_empty()).then(|| format!("{label}{text}"))
        };
        let parts = [
            labelled("", "description"),
            labelled(&format!("{name}'s personality: "), "personality"),
            labelled("Scenario: ", "scenario"),
            labelled("", "mes_example").map(|text| text.replace("<START>", "***")),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("\n\n")
    }
}

fn tidy(text: &str) -> String {
    clean(&unix_lines(text)).trim().to_string()
}

impl Character {
    /// Returns the values of macros for this character. `seed` is the seed of random macros.
    pub fn macros(&self, seed: u64) -> Macros {
        Macros {
            char: self.card.name(),
            user: self.user.clone(),
            seed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    #[test]
    fn each_version_is_read_and_comes_out_as_it_went_in() {
        let v1 = json!({"name": "Mara", "description": "A keeper.", "personality": "", "scenario": "",
            "first_mes": "Hello.", "mes_example": "", "fav": true});
        let v2 = json!({"spec": "chara_card_v2", "spec_version": "2.0", "fav": 1, "data": {
            "name": "Mara", "description": "A keeper.\r\nOld.", "personality": "", "scenario": "",
            "first_mes": "Hello.", "mes_example": "", "creator_notes": "", "system_prompt": "",
            "post_history_instructions": "", "alternate_greetings": ["Hi."], "tags": ["x"],
            "creator": "", "character_version": "1", "extensions": {"other": {"deep": [1, null]}},
            "from_the_future": 2}});
        for (file, version) in [(v1, Version::V1), (v2, Version::V2)] {
            let (card, book) = Card::from_json(map(file.clone())).unwrap();
            assert_eq!((card.version, book), (version, None));
            assert_eq!(card.to_json(version, None), file);
        }
    }

    #[test]
    fn a_card_of_an_older_version_gains_what_the_newer_demands() {
        let v1 = json!({"name": "Mara", "description": "d", "fav": true});
        let (card, _) = Card::from_json(map(v1)).unwrap();
        let v3 = card.to_json(Version::V3, Some(json!({"entries": []})));
        assert_eq!(v3["spec"], "chara_card_v3");
        assert_eq!(v3["data"]["group_only_greetings"], json!([]));
        assert_eq!(v3["data"]["character_book"]["entries"], json!([]));
        assert_eq!(v3["data"]["fav"], true);
        let (again, book) = Card::from_json(map(v3)).unwrap();
        assert_eq!(again.version, Version::V3);
        assert!(book.is_some() && !again.data.contains_key("character_book"));
    }

    #[test]
    fn what_is_for_people_is_not_for_the_model() {
        let card = json!({"name": "Mara", "nickname": "M", "description": "{{char}} waits.",
            "personality": "calm", "creator_notes": "SECRET", "tags": ["SECRET"],
            "creator": "SECRET", "character_version": "SECRET", "scenario": "A tower."});
        let (card, _) =
            Card::from_json(map(json!({"spec": "chara_card_v3", "data": card}))).unwrap();
        let memory = card.memory();
        assert_eq!(
            memory,
            "{{char}} waits.\n\nM's personality: calm\n\nScenario: A tower."
        );
        assert!(!memory.contains("SECRET"));
    }

    #[test]
    fn a_card_without_a_name_has_that_of_its_file() {
        for name in [
            json!(""),
            json!(" "),
            json!(null),
            json!("\u{200b}\u{feff}"),
            json!(7),
        ] {
            let file = json!({"spec": "chara_card_v2",
                "data": {"name": name, "description": "Keeps bees.", "first_mes": "Hm."}});
            let (mut card, _) = Card::from_json(map(file)).unwrap();
            assert_eq!(card.name(), "Character");
            card.file_name = "Beekeeper".to_string();
            assert_eq!(card.name(), "Beekeeper");
            assert_eq!(card.to_json(Version::V2, None)["data"]["name"], name);
        }
        let bare = json!({"description": "Keeps bees.", "first_mes": "Hm."});
        assert!(Card::from_json(map(bare)).is_some());
    }

    #[test]
    fn a_card_without_name_words_or_greeting_is_blank() {
        let blank = |data: Value| {
            let file = map(json!({"spec": "chara_card_v2", "data": data}));
            Card::from_json(file).unwrap().0.is_blank()
        };
        assert!(blank(
            json!({"name": "\u{200b}", "description": " ", "scenario": "A quay."})
        ));
        assert!(!blank(
            json!({"name": "", "alternate_greetings": ["Ahoy."]})
        ));
        assert!(!blank(json!({"name": "Ida"})) && !blank(json!({"personality": "wry"})));
    }

    #[test]
    fn other_json_is_no_card() {
        for value in [
            json!({}),
            json!({"name": "x"}),
            json!({"data": {"name": 3}}),
            json!({"data": []}),
            json!({"description": "A game.", "version": 3}),
        ] {
            assert_eq!(Card::from_json(map(value)), None);
        }
    }
}

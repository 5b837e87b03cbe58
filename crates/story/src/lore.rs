//! Lorebooks: facts that are added to the context when the story mentions them.
//!
//! The fields and their meaning are those of SillyTavern's World Info, which is the most general
//! format. Lorebooks in other formats are converted to it. [`scan`] decides which entries are
//! active. This module does not access files.

pub mod decorators;
mod haystack;
mod javascript;
mod key;
mod matching;
mod scan;

pub use key::{Key, Occurs};
pub use scan::{Activation, ActiveEntry, EntryId, ScanInput, ScanResult, SkippedEntry, scan};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A lorebook of a session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lorebook {
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The number of passages that are searched for keys; [`SCAN_DEPTH`] if None.
    pub scan_depth: Option<usize>,
    /// The maximum number of tokens in the inserted entries; a quarter of the context if None.
    pub token_budget: Option<usize>,
    /// Whether active entries can activate other entries.
    pub recursive: bool,
    pub entries: Vec<LoreEntry>,
    /// The fields of the imported file that illumine does not use. They are written back on export.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// The default number of passages that are searched for keys.
pub const SCAN_DEPTH: usize = 4;

/// An entry of a lorebook: one fact, and the rules for inserting it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoreEntry {
    pub uid: u64,
    /// The entry's name, for display.
    pub name: String,
    pub keys: Vec<String>,
    pub secondary: Vec<String>,
    /// Whether the keys in `secondary` are used.
    pub selective: bool,
    pub logic: KeyLogic,
    /// Keys that keep the entry inactive if one of them occurs (KoboldAI Lite's `keyanti`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub never: Vec<String>,
    pub content: String,
    pub enabled: bool,
    /// Whether the entry is always active.
    pub constant: bool,
    /// The order of the entry. Entries with a higher order are placed nearer to the story's end and
    /// are dropped later.
    pub order: i64,
    pub position: InsertPosition,
    /// For [`InsertPosition::AtDepth`]: the number of paragraphs, or of turns in a chat, between
    /// the entry and the story's end.
    pub depth: usize,
    /// The probability, in percent, that the entry becomes active when its keys match.
    pub probability: f64,
    pub use_probability: bool,
    pub scan_depth: Option<usize>,
    pub case_sensitive: Option<bool>,
    pub whole_words: Option<bool>,
    /// Whether keys are regexes even if they are not between slashes, as in V3.
    pub use_regex: bool,
    /// Whether the entry's content cannot activate other entries.
    pub prevent_recursion: bool,
    /// Whether the content of other entries cannot activate this entry.
    pub exclude_recursion: bool,
    /// Whether only the content of other entries can activate this entry.
    pub delay_until_recursion: bool,
    /// The groups to which the entry belongs. Only one active entry of each group is inserted.
    pub group: String,
    pub group_override: bool,
    pub group_weight: f64,
    /// The number of passages for which the entry stays active.
    pub sticky: Option<u32>,
    /// The number of passages for which the entry cannot become active again after it has stopped
    /// being active.
    pub cooldown: Option<u32>,
    /// The number of passages that the story must have before the entry can become active.
    pub delay: Option<u32>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

impl Default for LoreEntry {
    fn default() -> LoreEntry {
        LoreEntry {
            uid: 0,
            name: String::new(),
            keys: Vec::new(),
            secondary: Vec::new(),
            selective: true,
            logic: KeyLogic::AndAny,
            never: Vec::new(),
            content: String::new(),
            enabled: true,
            constant: false,
            order: 100,
            position: InsertPosition::Before,
            depth: 4,
            probability: 100.0,
            use_probability: true,
            scan_depth: None,
            case_sensitive: None,
            whole_words: None,
            use_regex: false,
            prevent_recursion: false,
            exclude_recursion: false,
            delay_until_recursion: false,
            group: String::new(),
            group_override: false,
            group_weight: 100.0,
            sticky: None,
            cooldown: None,
            delay: None,
            extra: Map::new(),
        }
    }
}

impl LoreEntry {
    /// The entry's title in lists: its name, or its first key if it has no name.
    pub fn title(&self) -> &str {
        match (self.name.as_str(), self.keys.first()) {
            ("", Some(key)) => key,
            ("", None) => "(without a name)",
            (name, _) => name,
        }
    }
}

/// The condition on the secondary keys that must hold once a primary key has matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyLogic {
    /// At least one secondary key must match.
    #[default]
    AndAny,
    /// At least one secondary key must not match.
    NotAll,
    /// No secondary key may match.
    NotAny,
    /// All secondary keys must match.
    AndAll,
}

/// The position at which an entry is inserted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InsertPosition {
    /// Before the character's description. In illumine, this is before the memory.
    #[default]
    Before,
    After,
    NoteTop,
    NoteBottom,
    AtDepth,
    ExamplesTop,
    ExamplesBottom,
}

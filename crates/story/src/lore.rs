//! Lorebooks: facts that are added to the context when the story mentions them.
//!
//! The fields and their meaning are those of SillyTavern's World Info, the most general format;
//! other formats are converted to it. [`scan`] decides which entries are active. This module does
//! not access files.

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
    /// The number of passages to search for keys; None for [`SCAN_DEPTH`].
    pub scan_depth: Option<usize>,
    /// The token budget; None for a quarter of the context.
    pub token_budget: Option<usize>,
    /// Whether active entries can activate other entries.
    pub recursive: bool,
    pub entries: Vec<LoreEntry>,
    /// Fields of the imported file that illumine does not use; they are written back on export.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// The default number of passages to search for keys.
pub const SCAN_DEPTH: usize = 4;

/// One fact, and the rules for inserting it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoreEntry {
    pub uid: u64,
    /// The entry's name, for display.
    pub name: String,
    pub keys: Vec<String>,
    pub secondary: Vec<String>,
    /// Whether `secondary` is used.
    pub selective: bool,
    pub logic: KeyLogic,
    /// Keys that keep the entry inactive (KoboldAI Lite's `keyanti`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub never: Vec<String>,
    pub content: String,
    pub enabled: bool,
    /// Whether the entry is always active.
    pub constant: bool,
    /// Entries with a higher order are placed nearer to the story's end and are dropped last.
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
    /// Whether keys are regexes even without slashes, as in V3.
    pub use_regex: bool,
    /// Whether the entry's content cannot activate other entries.
    pub prevent_recursion: bool,
    /// Whether the entry cannot be activated by other entries' content.
    pub exclude_recursion: bool,
    /// Whether the entry can be activated only by other entries' content.
    pub delay_until_recursion: bool,
    /// The entry's group; only one active entry of each group is inserted.
    pub group: String,
    pub group_override: bool,
    pub group_weight: f64,
    /// The number of passages for which the entry stays active.
    pub sticky: Option<u32>,
    /// How many passages must pass after the entry stops being active before it can become active
    /// again.
    pub cooldown: Option<u32>,
    /// How many passages the story must have before the entry can become active.
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
    /// The title in a list: its name, or its first key.
    pub fn title(&self) -> &str {
        match (self.name.as_str(), self.keys.first()) {
            ("", Some(key)) => key,
            ("", None) => "(without a name)",
            (name, _) => name,
        }
    }
}

/// What must hold for the secondary keys once a primary key has matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyLogic {
    /// At least one must match.
    #[default]
    AndAny,
    /// At least one must not match.
    NotAll,
    /// None may match.
    NotAny,
    /// All must match.
    AndAll,
}

/// Where an entry is inserted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InsertPosition {
    /// Before the character's description; in illumine, before the memory.
    #[default]
    Before,
    After,
    NoteTop,
    NoteBottom,
    AtDepth,
    ExamplesTop,
    ExamplesBottom,
}

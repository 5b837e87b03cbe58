//! Lorebooks: facts of a world that are read when the story speaks of them.
//!
//! The fields and their meaning are SillyTavern's World Info, the widest of the formats that
//! writers have; the others are read into it. What fires and why is [`scan`]'s; files are not
//! known here.

pub mod decorators;
mod key;
mod scan;

pub use key::Key;
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
    /// How many passages back keys are looked for; none for [`SCAN_DEPTH`].
    pub scan_depth: Option<usize>,
    /// At most so many tokens of it; none for a quarter of the context.
    pub token_budget: Option<usize>,
    /// Whether what fired may make more fire.
    pub recursive: bool,
    pub entries: Vec<LoreEntry>,
    /// Fields of the imported file that are unused here and written back on export.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// Passages that are looked through where a book does not say.
pub const SCAN_DEPTH: usize = 4;

/// One fact, and the rules for inserting it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoreEntry {
    pub uid: u64,
    /// The entry's name, for people.
    pub name: String,
    pub keys: Vec<String>,
    pub secondary: Vec<String>,
    /// Whether `secondary` has a say.
    pub selective: bool,
    pub logic: KeyLogic,
    /// Where one of these is there too, it is not read (KoboldAI Lite's `keyanti`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub never: Vec<String>,
    pub content: String,
    pub enabled: bool,
    /// Always read.
    pub constant: bool,
    /// Higher stands later, nearer to the story's end, and is the last to be left out.
    pub order: i64,
    pub position: InsertPosition,
    /// For [`InsertPosition::AtDepth`]: paragraphs, or turns of a chat, before the end.
    pub depth: usize,
    /// In percent.
    pub probability: f64,
    pub use_probability: bool,
    pub scan_depth: Option<usize>,
    pub case_sensitive: Option<bool>,
    pub whole_words: Option<bool>,
    /// Keys are regular expressions even without slashes, as V3 has it.
    pub use_regex: bool,
    /// Its content makes nothing else fire.
    pub prevent_recursion: bool,
    /// Nothing else's content makes it fire.
    pub exclude_recursion: bool,
    /// Only another's content makes it fire.
    pub delay_until_recursion: bool,
    /// Of the active entries of one group, only one is inserted.
    pub group: String,
    pub group_override: bool,
    pub group_weight: f64,
    /// Read for so many passages after it fired.
    pub sticky: Option<u32>,
    /// Cannot fire again for so many passages.
    pub cooldown: Option<u32>,
    /// Cannot fire before there are so many passages.
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
    /// What to call it in a list: its name, or its first key.
    pub fn title(&self) -> &str {
        match (self.name.as_str(), self.keys.first()) {
            ("", Some(key)) => key,
            ("", None) => "(without a name)",
            (name, _) => name,
        }
    }
}

/// How secondary keys decide once a first key is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyLogic {
    /// One of them must be there.
    #[default]
    AndAny,
    /// They must not all be there.
    NotAll,
    /// None may be there.
    NotAny,
    /// All must be there.
    AndAll,
}

/// Where an entry is inserted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InsertPosition {
    /// Before the character's description; here before the memory.
    #[default]
    Before,
    After,
    NoteTop,
    NoteBottom,
    AtDepth,
    ExamplesTop,
    ExamplesBottom,
}

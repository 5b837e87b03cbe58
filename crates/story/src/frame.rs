//! The texts that the model reads alongside the story: voice, memory, author's note, lorebooks, and
//! a summary of passages that no longer fit. This module contains plain data; [`super::context`]
//! decides where each text is placed.

use super::card::Character;
use super::lore::{LoreEntry, Lorebook};
use super::node::NodeId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    pub memory: String,
    pub note: Note,
    pub voice: Option<Voice>,
    /// The passage that contains the summary. It summarizes the story up to that passage's parent.
    pub summary: Option<NodeId>,
    /// The session's character, which comes from a character card.
    pub character: Option<Box<Character>>,
    /// The fields of imported files that illumine does not use, by format. They are written back on
    /// export.
    pub kept: BTreeMap<String, Map<String, Value>>,
    books: BTreeMap<String, ShelvedBook>,
    off: BTreeSet<(String, u64)>,
}

/// The author's note: a reminder placed near the end of the story.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub text: String,
    /// The number of paragraphs (turns, in chat) between the note and the story's end.
    pub depth: usize,
}

/// The voice: the text of the file `prompts/<name>.md`, with its variables replaced by their
/// values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voice {
    pub name: String,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq)]
struct ShelvedBook {
    book: Arc<Lorebook>,
    on: bool,
}

/// A change of one part of the frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "part", rename_all = "snake_case")]
pub enum FrameChange {
    Memory {
        text: String,
    },
    Note {
        note: Note,
    },
    Voice {
        voice: Option<Voice>,
    },
    Summary {
        node: Option<NodeId>,
    },
    Character {
        character: Option<Box<Character>>,
    },
    Kept {
        format: String,
        fields: Map<String, Value>,
    },
    Book {
        name: String,
        on: bool,
    },
    Entry {
        book: String,
        uid: u64,
        on: bool,
    },
}

impl Frame {
    /// All lorebooks, each with a bool that says whether it is turned on.
    pub fn books(&self) -> impl Iterator<Item = (&Lorebook, bool)> {
        self.books
            .values()
            .map(|shelved| (&*shelved.book, shelved.on))
    }

    pub fn book(&self, name: &str) -> Option<&Lorebook> {
        self.books.get(name).map(|shelved| &*shelved.book)
    }

    /// The lorebooks that are turned on.
    pub fn enabled_books(&self) -> Vec<&Lorebook> {
        self.books()
            .filter(|(_, on)| *on)
            .map(|(book, _)| book)
            .collect()
    }

    pub fn is_entry_disabled(&self, book: &Lorebook, entry: &LoreEntry) -> bool {
        self.off.contains(&(book.name.clone(), entry.uid))
    }

    /// Adds a lorebook. A lorebook with the same name is replaced, and the new one is turned on if
    /// the old one was.
    pub(super) fn add_book(&mut self, book: Lorebook) {
        let on = self.books.get(&book.name).is_some_and(|shelved| shelved.on);
        let name = book.name.clone();
        let book = Arc::new(book);
        self.books.insert(name, ShelvedBook { book, on });
    }

    /// Applies a change, and returns the change that reverts it.
    pub(super) fn apply(&mut self, change: &FrameChange) -> FrameChange {
        use std::mem::replace;
        match change {
            FrameChange::Memory { text } => FrameChange::Memory {
                text: replace(&mut self.memory, text.clone()),
            },
            FrameChange::Note { note } => FrameChange::Note {
                note: replace(&mut self.note, note.clone()),
            },
            FrameChange::Voice { voice } => FrameChange::Voice {
                voice: replace(&mut self.voice, voice.clone()),
            },
            FrameChange::Summary { node } => FrameChange::Summary {
                node: replace(&mut self.summary, *node),
            },
            FrameChange::Character { character } => FrameChange::Character {
                character: replace(&mut self.character, character.clone()),
            },
            FrameChange::Kept { format, fields } => {
                let was = match fields.is_empty() {
                    true => self.kept.remove(format),
                    false => self.kept.insert(format.clone(), fields.clone()),
                };
                FrameChange::Kept {
                    format: format.clone(),
                    fields: was.unwrap_or_default(),
                }
            }
            FrameChange::Book { name, on } => {
                let shelved = self.books.get_mut(name);
                let was = shelved.is_some_and(|shelved| replace(&mut shelved.on, *on));
                let name = name.clone();
                FrameChange::Book { name, on: was }
            }
            FrameChange::Entry { book, uid, on } => {
                let entry = (book.clone(), *uid);
                let was_on = match on {
                    true => !self.off.remove(&entry),
                    false => self.off.insert(entry),
                };
                FrameChange::Entry {
                    book: book.clone(),
                    uid: *uid,
                    on: was_on,
                }
            }
        }
    }
}

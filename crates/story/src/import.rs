//! Turns an imported file into records of a session: passages, memory, author's note, lore and a
//! character. The functions are pure. An import is a single step, so one undo reverts it.

use super::card::{Card, Character, USER};
use super::frame::{FrameChange, Note, Voice};
use super::lore::Lorebook;
use super::record::{Change, Record, Step, StepKind};
use super::sentence::{count_noun, excerpt};
use super::{Author, Mode, Node, NodeId, Story};
use base::untrusted::clean_line;
use serde_json::{Map, Value};

/// The content of an imported file.
#[derive(Clone, Debug, PartialEq)]
pub enum Import {
    Card {
        card: Box<Card>,
        book: Option<Lorebook>,
        /// The extension and the bytes of the original file; None if that file was plain JSON.
        file: Option<(&'static str, Vec<u8>)>,
    },
    Book(Lorebook),
    Story(Box<ImportedStory>),
    /// Plain text.
    Text(String),
}

/// An imported file, with notices for the writer.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedFile {
    pub content: Import,
    /// Notices about parts of the file that were left out or changed. They do not end with a full
    /// stop.
    pub notices: Vec<String>,
}

impl From<Import> for ImportedFile {
    fn from(content: Import) -> ImportedFile {
        ImportedFile {
            content,
            notices: Vec::new(),
        }
    }
}

/// A story from another program. The passages have ids from 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportedStory {
    pub nodes: Vec<Node>,
    pub head: Option<NodeId>,
    pub marks: Vec<(String, NodeId)>,
    pub mode: Mode,
    pub memory: String,
    pub note: Option<Note>,
    pub book: Option<Lorebook>,
    /// The name of the file's format, and the fields that illumine does not use.
    pub kept: Option<(&'static str, Map<String, Value>)>,
}

impl ImportedStory {
    /// Adds a passage with the next free id, which replaces the `id` of `node`. Returns the new id.
    pub fn push(&mut self, node: Node) -> NodeId {
        let id = self.nodes.len() as NodeId;
        self.nodes.push(Node { id, ..node });
        id
    }

    /// Appends the texts to the story, each as a passage. Empty texts are skipped.
    pub fn append(&mut self, texts: Vec<(Author, String)>) {
        for (author, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            let passage = Node {
                parent: self.head,
                author,
                text,
                ..Node::default()
            };
            self.head = Some(self.push(passage));
        }
    }
}

/// The result of an import: the records to add to the session, and a message for the writer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportResult {
    pub records: Vec<Record>,
    pub said: String,
    /// The mode to which the session switches, if it does.
    pub mode: Option<Mode>,
}

/// The reason why a file cannot be imported into this session, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ImportRefused(pub String);

/// The session into which a file is imported.
pub struct ImportTarget<'a> {
    pub story: &'a Story,
    pub mode: Mode,
    /// The name that replaces `{{user}}` in the text of a card.
    pub user: Option<&'a str>,
    /// The name of the file in the session's folder that contains the original card.
    pub file: Option<String>,
}

/// Creates the records of an import.
pub fn import_records(
    file: impl Into<ImportedFile>,
    session: ImportTarget,
) -> Result<ImportResult, ImportRefused> {
    let ImportedFile { content, notices } = file.into();
    let mut made = content_records(content, session)?;
    for notice in notices {
        made.said += &format!("; {}", clean_line(&notice));
    }
    Ok(made)
}

fn content_records(content: Import, session: ImportTarget) -> Result<ImportResult, ImportRefused> {
    match content {
        Import::Card { card, book, .. } => Ok(import_character(*card, book, session)),
        Import::Book(book) => {
            let said = format!(
                "Added the lorebook {} and turned it on",
                describe_lorebook(&book)
            );
            let mut changes = Vec::new();
            let records = add_lorebook(Some(book), &mut changes);
            Ok(ImportResult {
                records: with_step(records, changes),
                said,
                mode: None,
            })
        }
        Import::Story(tale) => import_story(*tale, session.story),
        Import::Text(text) => Ok(import_text(text, session)),
    }
}

/// Imports a character. The description becomes the memory, and the greetings become versions of
/// the first passage.
fn import_character(mut card: Card, book: Option<Lorebook>, session: ImportTarget) -> ImportResult {
    let frame = session.story.frame();
    let user = session.user.map_or(USER.to_string(), clean_line);
    card.book = book.as_ref().map(|book| book.name.clone());
    let character = Character {
        card,
        user,
        file: session.file,
    };
    let macros = character.macros(0);
    let card = &character.card;
    let name = card.name();
    let mut said = vec![format!("Imported {name}")];
    let mut changes = Vec::new();
    let text = macros.expand(&card.memory());
    if !text.is_empty() {
        changes.push(FrameChange::Memory { text });
    }
    // As the specification requires, the card's text replaces the writer's own.
    let before = frame.voice.as_ref().map_or("", |voice| &voice.text);
    let text = card
        .text("system_prompt")
        .replace("{{original}}", before.trim());
    if !text.is_empty() {
        let voice = Voice {
            name: name.clone(),
            text: macros.expand(text.trim()),
        };
        changes.push(FrameChange::Voice { voice: Some(voice) });
    }
    let text = card.text("post_history_instructions");
    let text = text.replace("{{original}}", frame.note.text.trim());
    let (deep, depth) = card.depth_prompt();
    let notes: Vec<String> = [text, deep]
        .iter()
        .map(|text| macros.expand(text.trim()))
        .filter(|text| !text.is_empty())
        .collect();
    if !notes.is_empty() {
        // Post-history instructions come last; a depth prompt then goes there too.
        let depth = if card.text("post_history_instructions").is_empty() {
            depth
        } else {
            1
        };
        let text = notes.join("\n");
        changes.push(FrameChange::Note {
            note: Note { text, depth },
        });
    }
    let greetings = card.greetings();
    let begins = session.story.nodes().is_empty();
    let mut records = Vec::new();
    for text in greetings.iter().filter(|_| begins) {
        records.push(Record::Node(Node {
            id: records.len() as NodeId,
            author: Author::Model,
            turn: session.mode == Mode::Chat,
            text: macros.expand(text),
            ..Node::default()
        }));
    }
    match (greetings.len(), begins) {
        (0, _) => {}
        (_, false) => said.push(
            "its first message was left out, since the story has already started".to_string(),
        ),
        (1, true) => said.push("the story starts with its first message".to_string()),
        (n, true) => said.push(format!("switch between its {n} first messages with /swipe")),
    }
    if let Some(book) = &book {
        said.push(format!(
            "its lorebook has {}",
            count_noun(book.entries.len(), "entry")
        ));
    }
    let notes = card.line("creator_notes");
    if !notes.is_empty() {
        let notes = excerpt(&notes, 200);
        said.push(format!("its author's notes: {notes}"));
    }
    let character = Some(Box::new(character));
    changes.push(FrameChange::Character { character });
    let mut changes = frame_changes(changes);
    if begins && !greetings.is_empty() {
        changes.insert(0, Change::Head { to: Some(0) });
    }
    records.extend(add_lorebook(book, &mut changes));
    ImportResult {
        records: with_step(records, changes),
        said: said.join("; "),
        mode: None,
    }
}

fn import_story(tale: ImportedStory, story: &Story) -> Result<ImportResult, ImportRefused> {
    if !story.nodes().is_empty() {
        let why =
            "This session already has a story; start a new one with /new and import the file there";
        return Err(ImportRefused(why.to_string()));
    }
    let said = describe_story(&tale)?;
    let mut changes = vec![Change::Head { to: tale.head }];
    let mut frame = Vec::new();
    if !tale.memory.is_empty() {
        frame.push(FrameChange::Memory { text: tale.memory });
    }
    if let Some(note) = tale.note.filter(|note| !note.text.is_empty()) {
        frame.push(FrameChange::Note { note });
    }
    if let Some((format, fields)) = tale.kept.filter(|(_, fields)| !fields.is_empty()) {
        let format = format.to_string();
        frame.push(FrameChange::Kept { format, fields });
    }
    changes.extend(frame_changes(frame));
    changes.extend(tale.marks.into_iter().map(|(name, node)| Change::Mark {
        name,
        node: Some(node),
    }));
    let book = tale.book.filter(|book| !book.entries.is_empty());
    let mut records: Vec<Record> = tale.nodes.into_iter().map(Record::Node).collect();
    records.extend(add_lorebook(book, &mut changes));
    Ok(ImportResult {
        records: with_step(records, changes),
        said,
        mode: Some(tale.mode),
    })
}

/// Returns a description of an imported story for the writer, or an error if the story is empty.
fn describe_story(tale: &ImportedStory) -> Result<String, ImportRefused> {
    let mut brought = Vec::new();
    if !tale.memory.trim().is_empty() {
        brought.push("its memory".to_string());
    }
    let note = tale.note.as_ref();
    if note.is_some_and(|note| !note.text.trim().is_empty()) {
        brought.push("its author's note".to_string());
    }
    let entries = tale.book.as_ref().map_or(0, |book| book.entries.len());
    if entries > 0 {
        let entries = count_noun(entries, "entry");
        brought.push(format!("a lorebook with {entries}"));
    }
    let has_text = tale.nodes.iter().any(|node| !node.text.trim().is_empty());
    if !has_text && tale.nodes.is_empty() && brought.is_empty() {
        let why = "The file contains no story text; export it again, or as plain text";
        return Err(ImportRefused(why.to_string()));
    }
    let story = match has_text {
        true => format!(
            "Imported the story: {}; /tree shows them",
            count_noun(tale.nodes.len(), "passage")
        ),
        false => "The file contains no story text".to_string(),
    };
    Ok(match brought.is_empty() {
        true => story,
        false => format!("{story}; it came with {}", brought.join(", ")),
    })
}

/// Splits a long text into passages of a few paragraphs, so that each passage can be edited and
/// found. A passage ends with a line break; a blank line belongs to the preceding paragraph.
fn split_passages(text: &str) -> Vec<&str> {
    const LONG: usize = 1200;
    let mut found = Vec::new();
    let (mut from, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        let blank = line.trim().is_empty();
        // The next paragraph starts a new passage if the current one is long enough.
        if !blank && at - from >= LONG && text[..at].ends_with('\n') {
            found.push(&text[from..at]);
            from = at;
        }
        at += line.len();
    }
    found.push(&text[from..]);
    found
}

/// Appends the text of a file to the story.
fn import_text(text: String, session: ImportTarget) -> ImportResult {
    let gap = super::context::separator_before(session.story, &text);
    let turn = session.mode == Mode::Chat;
    let count = text.chars().count();
    let text = format!("{gap}{text}");
    let pieces = if turn {
        vec![text.as_str()]
    } else {
        split_passages(&text)
    };
    let mut parent = session.story.head();
    let mut records = Vec::new();
    for piece in &pieces {
        let id = session.story.next_id() + records.len() as NodeId;
        records.push(Record::Node(Node {
            id,
            parent,
            author: Author::Prompt,
            turn,
            text: piece.to_string(),
            ..Node::default()
        }));
        parent = Some(id);
    }
    let said = match pieces.len() {
        1 => format!("Added {count} characters to the story"),
        passages => format!("Added {count} characters to the story, in {passages} passages"),
    };
    ImportResult {
        records: with_step(records, vec![Change::Head { to: parent }]),
        said,
        mode: None,
    }
}

/// Adds a lorebook and turns it on.
fn add_lorebook(book: Option<Lorebook>, changes: &mut Vec<Change>) -> Vec<Record> {
    let Some(book) = book else {
        return Vec::new();
    };
    let name = book.name.clone();
    let set = FrameChange::Book { name, on: true };
    changes.push(Change::Frame { set });
    vec![Record::Book(book)]
}

fn describe_lorebook(book: &Lorebook) -> String {
    format!(
        "{} ({})",
        clean_line(&book.name),
        count_noun(book.entries.len(), "entry")
    )
}

fn frame_changes(changes: Vec<FrameChange>) -> Vec<Change> {
    let frame = changes.into_iter();
    frame.map(|set| Change::Frame { set }).collect()
}

fn with_step(mut records: Vec<Record>, changes: Vec<Change>) -> Vec<Record> {
    let why = StepKind::Import;
    records.push(Record::Step(Step { why, changes }));
    records
}

#[cfg(test)]
mod tests;

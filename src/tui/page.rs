//! The story as rows: which are on the screen, and where the reader stands.
//!
//! Only what changed is laid out again: a passage that grows re-wraps the last rows of its own
//! paragraph, and paragraphs off the screen are not wrapped before somebody scrolls there. Knows
//! no colours and draws nothing.

use super::paragraph::Paragraph;
use crate::story::{Author, NodeId, Passage, Status, Story};
use std::ops::Range;

/// What a stretch of text is, which decides how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    Prompt,
    User,
    Model,
    /// A person's words inside another's passage.
    Edited,
    /// Who speaks, in a chat.
    Label,
    /// A remark of the program's own.
    Mark,
}

/// A passage and a byte of it: where the model begins to read, when not at the story's beginning.
pub type Begins = Option<(NodeId, usize)>;

/// Stands where the model begins to read.
const FROM_HERE: &str = "\n─ ─ ─ the model reads from here ─ ─ ─\n";

#[derive(Debug, Default)]
pub struct Page {
    width: usize,
    height: usize,
    parts: Vec<Part>,
    paragraphs: Vec<Paragraph>,
    /// The first row on the screen; None while the page follows the story's end.
    top: Option<Place>,
    /// What is on the screen: a paragraph and a row of it.
    visible: Vec<(usize, usize)>,
    more: bool,
    /// How many bytes were ever wrapped, for the test that counts the work.
    #[cfg(test)]
    wrapped: usize,
}

/// One passage of the path, as it was laid out.
#[derive(Debug, PartialEq)]
struct Part {
    key: Key,
    /// Where it begins: how many paragraphs stood, and how long the last of them was.
    paragraphs: usize,
    bytes: usize,
}

/// What a passage's look depends on.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    id: NodeId,
    bytes: usize,
    mark: String,
    /// Where in it the model begins to read.
    begins: Option<usize>,
}

/// A row: a paragraph and a byte in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    paragraph: usize,
    byte: usize,
}

impl Page {
    /// Takes the story as it stands now.
    pub fn show(&mut self, story: &Story, begins: Begins) {
        let path = story.path();
        let keys: Vec<Key> = path.iter().map(|node| key(story, node, begins)).collect();
        let same = self
            .parts
            .iter()
            .zip(&keys)
            .take_while(|(part, key)| part.key == **key)
            .count();
        if same == self.parts.len() && same == keys.len() {
            return;
        }
        if !self.grow(same, &path, &keys) {
            self.cut(same);
            for (at, key) in keys.into_iter().enumerate().skip(same) {
                self.add(&path[at], at.checked_sub(1).map(|at| &path[at]), key);
            }
        }
        self.top = self.top.filter(|top| top.paragraph < self.paragraphs.len());
    }

    /// Forgets everything: another story stands here now.
    pub fn forget(&mut self) {
        let (width, height) = (self.width, self.height);
        *self = Page {
            width,
            height,
            ..Page::default()
        };
    }

    /// Takes the size of the pane, and finds what is to be seen in it.
    pub fn fit(&mut self, width: usize, height: usize) {
        if width != self.width {
            for paragraph in &mut self.paragraphs {
                paragraph.loosen(0);
            }
        }
        (self.width, self.height) = (width.max(1), height);
        self.look();
    }

    pub fn is_empty(&self) -> bool {
        self.paragraphs.is_empty()
    }

    pub fn follows(&self) -> bool {
        self.top.is_none()
    }

    pub fn follow(&mut self) {
        self.top = None;
    }

    pub fn rewind(&mut self) {
        let first = Place {
            paragraph: 0,
            byte: 0,
        };
        if self.first_visible().is_some_and(|top| top > first) {
            self.top = Some(first);
        }
    }

    pub fn height(&self) -> usize {
        self.height
    }

    /// Moves by rows; at the end the page follows it again.
    pub fn scroll(&mut self, rows: isize) {
        let Some(top) = self.first_visible() else {
            return;
        };
        let moved = self.moved(top, rows);
        self.top = match self.last_top() {
            Some(last) if moved >= last => None,
            _ => Some(moved),
        };
    }

    /// The rows on the screen: stretches of text and what they are.
    pub fn rows(&self) -> impl Iterator<Item = Vec<(&str, Ink)>> {
        self.visible
            .iter()
            .map(|(at, row)| self.paragraphs[*at].stretches(*row))
    }

    /// Whether the story goes on below the screen.
    pub fn more(&self) -> bool {
        self.more
    }

    #[cfg(test)]
    pub fn wrapped(&self) -> usize {
        self.wrapped
    }

    fn look(&mut self) {
        self.visible.clear();
        let mut at = self.first_visible();
        while let Some(place) = at.filter(|_| self.visible.len() < self.height) {
            let row = self.row_at(place);
            self.visible.push((place.paragraph, row));
            at = self.below(place.paragraph, row);
        }
        self.more = at.is_some();
    }

    fn first_visible(&mut self) -> Option<Place> {
        let last = self.last_top()?;
        Some(self.top.map_or(last, |top| top.min(last)))
    }

    /// The highest row from which the story's end is on the screen.
    fn last_top(&mut self) -> Option<Place> {
        let paragraph = self.paragraphs.len().checked_sub(1)?;
        let byte = self.laid(paragraph).last()?.start;
        let up = self.height.saturating_sub(1) as isize;
        Some(self.moved(Place { paragraph, byte }, -up))
    }

    fn moved(&mut self, from: Place, rows: isize) -> Place {
        let (mut paragraph, mut row) = (from.paragraph, self.row_at(from));
        for _ in 0..rows.unsigned_abs() {
            if rows < 0 {
                match (row.checked_sub(1), paragraph.checked_sub(1)) {
                    (Some(up), _) => row = up,
                    (None, Some(up)) => {
                        paragraph = up;
                        row = self.laid(up).len() - 1;
                    }
                    (None, None) => break,
                }
            } else {
                let Some(next) = self.below(paragraph, row) else {
                    break;
                };
                (paragraph, row) = (next.paragraph, self.row_at(next));
            }
        }
        let byte = self.laid(paragraph)[row].start;
        Place { paragraph, byte }
    }

    fn below(&mut self, paragraph: usize, row: usize) -> Option<Place> {
        if let Some(next) = self.laid(paragraph).get(row + 1) {
            let byte = next.start;
            return Some(Place { paragraph, byte });
        }
        let paragraph = paragraph + 1;
        (paragraph < self.paragraphs.len()).then_some(Place { paragraph, byte: 0 })
    }

    fn row_at(&mut self, place: Place) -> usize {
        let rows = self.laid(place.paragraph);
        rows.partition_point(|row| row.start <= place.byte)
            .saturating_sub(1)
    }

    fn laid(&mut self, paragraph: usize) -> &[Range<usize>] {
        #[cfg(test)]
        {
            self.wrapped += self.paragraphs[paragraph].loose();
        }
        let width = self.width;
        self.paragraphs[paragraph].laid(width)
    }

    /// Adds to the last passage, when it is still being written and only grew.
    fn grow(&mut self, at: usize, path: &[Passage], keys: &[Key]) -> bool {
        let last = self.parts.len() == at + 1 && keys.len() == at + 1;
        let Some((part, node)) = self.parts.get_mut(at).zip(path.get(at)).filter(|_| last) else {
            return false;
        };
        let (old, new) = (&part.key, &keys[at]);
        let marks = old.mark == new.mark && old.begins == new.begins;
        let same = old.id == new.id && marks && new.mark.is_empty();
        let begun = node
            .text
            .get(..old.bytes)
            .map(|text| text.trim_start_matches('\n'));
        let Some(more) = node
            .text
            .get(old.bytes..)
            .filter(|_| same && begun != Some(""))
        else {
            return false;
        };
        part.key = new.clone();
        for (at, line) in more.split('\n').enumerate() {
            if at > 0 {
                self.paragraphs.push(Paragraph::default());
            }
            if let Some(last) = self.paragraphs.last_mut().filter(|_| !line.is_empty()) {
                last.grow(line, ink(node));
            }
        }
        true
    }

    /// Takes back all but the first passages.
    fn cut(&mut self, passages: usize) {
        let Some(part) = self.parts.get(passages) else {
            return;
        };
        self.paragraphs.truncate(part.paragraphs);
        if let Some(last) = self.paragraphs.last_mut() {
            last.cut(part.bytes);
        }
        self.parts.truncate(passages);
    }

    fn add(&mut self, node: &Passage, before: Option<&Passage>, key: Key) {
        let bytes = self.paragraphs.last().map_or(0, |last| last.text.len());
        self.parts.push(Part {
            bytes,
            paragraphs: self.paragraphs.len(),
            key,
        });
        let apart = |before: &Passage| before.turn && before.author != node.author;
        let turn = node.turn || before.is_some_and(apart);
        if turn && before.is_some() {
            self.paragraphs.push(Paragraph::default());
        }
        if node.turn {
            self.paragraphs.push(Paragraph::default());
            self.push(speaker(node.author), Ink::Label);
        }
        if turn || self.paragraphs.is_empty() {
            self.paragraphs.push(Paragraph::default());
        }
        let text = match node.turn {
            true => node.text.trim_start_matches('\n'),
            false => node.text,
        };
        let skipped = node.text.len() - text.len();
        let begins = self.parts.last().and_then(|part| part.key.begins);
        let begins = begins.map(|byte| byte.saturating_sub(skipped));
        match begins.and_then(|byte| text.split_at_checked(byte)) {
            Some((unread, read)) => {
                self.push(unread, ink(node));
                self.push(FROM_HERE, Ink::Mark);
                self.push(read, ink(node));
            }
            None => self.push(text, ink(node)),
        }
        let mark = self
            .parts
            .last()
            .map(|part| part.key.mark.clone())
            .unwrap_or_default();
        let alone = self
            .paragraphs
            .last()
            .is_none_or(|last| last.text.is_empty());
        self.push(if alone { mark.trim_start() } else { &mark }, Ink::Mark);
    }

    fn push(&mut self, text: &str, ink: Ink) {
        for (at, line) in text.split('\n').enumerate() {
            if at > 0 {
                self.paragraphs.push(Paragraph::default());
            }
            if let Some(last) = self.paragraphs.last_mut().filter(|_| !line.is_empty()) {
                last.push(line, ink);
            }
        }
    }
}

fn key(story: &Story, node: &Passage, begins: Begins) -> Key {
    Key {
        id: node.id,
        bytes: node.text.len(),
        mark: mark(story, node),
        begins: begins.and_then(|(id, byte)| (id == node.id).then_some(byte)),
    }
}

/// The remark after a passage: how it ended, when not as a passage does, and at the head which of
/// its versions this is.
fn mark(story: &Story, node: &Passage) -> String {
    let head = story.head() == Some(node.id);
    let ended = match node.status {
        // Once the story has gone on, how a passage ended is no longer news.
        _ if !head => "",
        Status::Stopped => " [stopped]",
        Status::Failed => " [failed]",
        Status::Interrupted => " [interrupted]",
        Status::ContextFull => " [context full]",
        Status::Length => " […]",
        _ => "",
    };
    let versions = match head {
        true => story.versions(node.id),
        false => Vec::new(),
    };
    let at = versions
        .iter()
        .position(|id| *id == node.id)
        .filter(|_| head && versions.len() > 1);
    let which = at.map(|at| format!(" ‹{}/{}›", at + 1, versions.len()));
    format!("{ended}{}", which.unwrap_or_default())
}

fn speaker(author: Author) -> &'static str {
    match author {
        Author::Prompt => "Prompt",
        Author::User => "You",
        Author::Model => "Model",
    }
}

fn ink(node: &Passage) -> Ink {
    match node.author {
        _ if node.edited => Ink::Edited,
        Author::Prompt => Ink::Prompt,
        Author::User => Ink::User,
        Author::Model => Ink::Model,
    }
}

//! The story as rows: which are on the screen, and where the reader stands.
//!
//! Only what changed is laid out again: a passage that grows re-wraps the last rows of its own
//! paragraph, and paragraphs off the screen are not wrapped before somebody scrolls there. Knows
//! no colours and draws nothing.

use super::items::{Item, Key, ink, items, speaker};
use super::paragraph::{Block, Paragraph};
use crate::story::{NodeId, Passage, Story};
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
    /// Pictures are words alone.
    bare: bool,
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

/// A row: a paragraph and a byte in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    paragraph: usize,
    byte: usize,
}

impl Page {
    /// Takes the story as it stands now.
    pub fn show(&mut self, story: &Story, begins: Begins) {
        let items = items(story, begins);
        let same = self
            .parts
            .iter()
            .zip(&items)
            .take_while(|(part, item)| part.key == item.key)
            .count();
        if same == self.parts.len() && same == items.len() {
            return;
        }
        if !self.grow(same, &items) {
            self.cut(same);
            for (at, item) in items.iter().enumerate().skip(same) {
                match &item.passage {
                    None => self.add_picture(item.key.clone()),
                    Some(passage) => {
                        let before = items[..at].iter().rev().find_map(|it| it.passage.as_ref());
                        self.add(passage, before, item.key.clone());
                    }
                }
            }
        }
        self.top = self.top.filter(|top| top.paragraph < self.paragraphs.len());
    }

    /// Whether there is a way to show pictures.
    pub fn show_pictures(&mut self, shown: bool) {
        if self.bare == shown {
            self.bare = !shown;
            self.cut(0);
        }
    }

    /// Forgets everything: another story stands here now.
    pub fn forget(&mut self) {
        *self = Page {
            width: self.width,
            height: self.height,
            bare: self.bare,
            ..Page::default()
        };
    }

    /// Takes the size of the pane, and finds what is to be seen in it.
    pub fn fit(&mut self, width: usize, height: usize) {
        let width = width.max(1);
        if (width, height) != (self.width, self.height) {
            let other_width = width != self.width;
            let stale = |it: &&mut Paragraph| other_width || it.block.is_some();
            let paragraphs = self.paragraphs.iter_mut().filter(stale);
            paragraphs.for_each(|paragraph| paragraph.resize(width, height));
        }
        (self.width, self.height) = (width, height);
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

    /// The pictures on the screen, each with the row of the pane on which its own first row would
    /// be: above the pane for one that is seen in part.
    pub fn pictures(&self) -> Vec<(i32, Block)> {
        let mut found: Vec<(i32, Block)> = Vec::new();
        let mut last = None;
        for (y, (at, row)) in self.visible.iter().enumerate() {
            let block = self.paragraphs[*at].block.filter(|_| last != Some(*at));
            last = Some(*at);
            found.extend(block.map(|block| (y as i32 - *row as i32, block)));
        }
        found
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
    fn grow(&mut self, at: usize, items: &[Item]) -> bool {
        let last = self.parts.len() == at + 1 && items.len() == at + 1;
        let item = items.get(at).filter(|_| last);
        let node = item.and_then(|item| item.passage.as_ref());
        let Some(((part, node), item)) = self.parts.get_mut(at).zip(node).zip(item) else {
            return false;
        };
        let (old, new) = (&part.key, &item.key);
        let marks = old.mark == new.mark && old.begins == new.begins;
        let same = old.id == new.id && marks && new.mark.is_empty();
        let begun = node.text.get(..old.bytes).map(str::trim_start);
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

    fn add_picture(&mut self, key: Key) {
        let (node, size) = (key.id, key.picture.unwrap_or((1, 1)));
        let caption = key.mark.clone();
        self.begin(key);
        if self.bare {
            self.paragraphs.push(Paragraph::default());
            return self.push(&format!("[picture {caption}]"), Ink::Mark);
        }
        let mut picture = Paragraph::picture(Block::new(node, size));
        picture.resize(self.width, self.height);
        let alone = self.paragraphs.is_empty();
        self.paragraphs.extend((!alone).then(Paragraph::default));
        self.paragraphs.push(picture);
        self.paragraphs.push(Paragraph::default());
        self.push(&caption, Ink::Mark);
    }

    /// A part begins where the page now ends.
    fn begin(&mut self, key: Key) {
        let bytes = self.paragraphs.last().map_or(0, |last| last.text.len());
        self.parts.push(Part {
            bytes,
            paragraphs: self.paragraphs.len(),
            key,
        });
    }

    fn add(&mut self, node: &Passage, before: Option<&Passage>, key: Key) {
        let after_picture = self.parts.last().is_some_and(|it| it.key.picture.is_some());
        self.begin(key);
        if after_picture {
            self.paragraphs.push(Paragraph::default());
            if !node.turn {
                self.paragraphs.push(Paragraph::default());
            }
        }
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
        let text = match (node.turn, after_picture) {
            (_, true) => node.text.trim_start_matches(['\n', ' ']),
            (true, _) => node.text.trim_start_matches('\n'),
            (false, _) => node.text,
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

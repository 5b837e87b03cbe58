//! The story laid out as rows, the scroll position, and the rows on the screen.
//!
//! Only changes are laid out again: a growing passage re-wraps the last rows of its paragraph, and
//! a paragraph off the screen is wrapped only when it is scrolled into view. This module uses no
//! colours and draws nothing.

use super::items::{ContextStart, ItemKey, PageItem, items, speaker, text_role};
use super::paragraph::{Paragraph, PictureBlock};
use super::spans::TextRole;
use std::ops::Range;
use story::{Passage, Story};

/// The text that marks the start of the context on the page.
const FROM_HERE: &str = "\n─ ─ ─ the context starts here ─ ─ ─\n";

#[derive(Debug, Default)]
pub struct Page {
    width: usize,
    height: usize,
    parts: Vec<PagePassage>,
    paragraphs: Vec<Paragraph>,
    /// The first row on the screen; None while the page follows the end of the story.
    top: Option<RowPosition>,
    /// The rows on the screen, each as the index of a paragraph and the index of a row in this
    /// paragraph.
    visible: Vec<(usize, usize)>,
    more: bool,
    /// Whether each picture is shown as a line of text.
    bare: bool,
    /// The number of bytes wrapped so far, for a test that checks how much is re-wrapped.
    #[cfg(test)]
    wrapped: usize,
}

/// A passage or a picture that has been laid out on the page.
#[derive(Debug, PartialEq)]
struct PagePassage {
    key: ItemKey,
    /// The number of paragraphs on the page before the passage.
    paragraphs: usize,
    /// The length in bytes of the last paragraph before the passage. It is stored because the
    /// passage may add text to that paragraph.
    bytes: usize,
}

/// The position of a row: the index of its paragraph, and the byte offset in the paragraph at which
/// the row starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RowPosition {
    paragraph: usize,
    byte: usize,
}

impl Page {
    /// Updates the page to match the current story. `begins` is where the context starts.
    pub fn show(&mut self, story: &Story, begins: ContextStart) {
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
                        self.add_passage(passage, before, item.key.clone());
                    }
                }
            }
        }
        self.top = self.top.filter(|top| top.paragraph < self.paragraphs.len());
    }

    /// Sets whether the page shows pictures (true) or a line of text for each picture (false).
    pub fn show_pictures(&mut self, shown: bool) {
        if self.bare == shown {
            self.bare = !shown;
            self.cut(0);
        }
    }

    /// Clears the page, so that it can show another story.
    pub fn forget(&mut self) {
        *self = Page {
            width: self.width,
            height: self.height,
            bare: self.bare,
            ..Page::default()
        };
    }

    /// Lays out the page for a width and height in cells, and finds the visible rows.
    pub fn fit(&mut self, width: usize, height: usize) {
        let width = width.max(1);
        if (width, height) != (self.width, self.height) {
            let other_width = width != self.width;
            let stale = |it: &&mut Paragraph| other_width || it.block.is_some();
            let paragraphs = self.paragraphs.iter_mut().filter(stale);
            paragraphs.for_each(|paragraph| paragraph.resize(width, height));
        }
        (self.width, self.height) = (width, height);
        self.find_visible();
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
        let first = RowPosition {
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

    /// Scrolls down by `rows` rows (up if `rows` is negative). If the end of the story becomes
    /// visible, the page follows the story again.
    pub fn scroll(&mut self, rows: isize) {
        let Some(top) = self.first_visible() else {
            return;
        };
        let moved = self.scrolled(top, rows);
        self.top = match self.last_top() {
            Some(last) if moved >= last => None,
            _ => Some(moved),
        };
    }

    /// The rows on the screen, each as a list of spans of text and their kinds.
    pub fn rows(&self) -> impl Iterator<Item = Vec<(&str, TextRole)>> {
        self.visible
            .iter()
            .map(|(at, row)| self.paragraphs[*at].stretches(*row))
    }

    /// The pictures on the screen, each with the row of its top edge. The row is negative if the
    /// top of the picture is above the screen.
    pub fn pictures(&self) -> Vec<(i32, PictureBlock)> {
        let mut found: Vec<(i32, PictureBlock)> = Vec::new();
        let mut last = None;
        for (y, (at, row)) in self.visible.iter().enumerate() {
            let block = self.paragraphs[*at].block.filter(|_| last != Some(*at));
            last = Some(*at);
            found.extend(block.map(|block| (y as i32 - *row as i32, block)));
        }
        found
    }

    /// Whether the story continues below the screen.
    pub fn more(&self) -> bool {
        self.more
    }

    #[cfg(test)]
    pub fn wrapped(&self) -> usize {
        self.wrapped
    }

    fn find_visible(&mut self) {
        self.visible.clear();
        let mut at = self.first_visible();
        while let Some(place) = at.filter(|_| self.visible.len() < self.height) {
            let row = self.row_at(place);
            self.visible.push((place.paragraph, row));
            at = self.row_after(place.paragraph, row);
        }
        self.more = at.is_some();
    }

    fn first_visible(&mut self) -> Option<RowPosition> {
        let last = self.last_top()?;
        Some(self.top.map_or(last, |top| top.min(last)))
    }

    /// The scroll position closest to the top at which the end of the story is visible.
    fn last_top(&mut self) -> Option<RowPosition> {
        let paragraph = self.paragraphs.len().checked_sub(1)?;
        let byte = self.layout_rows(paragraph).last()?.start;
        let up = self.height.saturating_sub(1) as isize;
        Some(self.scrolled(RowPosition { paragraph, byte }, -up))
    }

    fn scrolled(&mut self, from: RowPosition, rows: isize) -> RowPosition {
        let (mut paragraph, mut row) = (from.paragraph, self.row_at(from));
        for _ in 0..rows.unsigned_abs() {
            if rows < 0 {
                match (row.checked_sub(1), paragraph.checked_sub(1)) {
                    (Some(up), _) => row = up,
                    (None, Some(up)) => {
                        paragraph = up;
                        row = self.layout_rows(up).len() - 1;
                    }
                    (None, None) => break,
                }
            } else {
                let Some(next) = self.row_after(paragraph, row) else {
                    break;
                };
                (paragraph, row) = (next.paragraph, self.row_at(next));
            }
        }
        let byte = self.layout_rows(paragraph)[row].start;
        RowPosition { paragraph, byte }
    }

    fn row_after(&mut self, paragraph: usize, row: usize) -> Option<RowPosition> {
        if let Some(next) = self.layout_rows(paragraph).get(row + 1) {
            let byte = next.start;
            return Some(RowPosition { paragraph, byte });
        }
        let paragraph = paragraph + 1;
        (paragraph < self.paragraphs.len()).then_some(RowPosition { paragraph, byte: 0 })
    }

    fn row_at(&mut self, place: RowPosition) -> usize {
        let rows = self.layout_rows(place.paragraph);
        rows.partition_point(|row| row.start <= place.byte)
            .saturating_sub(1)
    }

    fn layout_rows(&mut self, paragraph: usize) -> &[Range<usize>] {
        #[cfg(test)]
        {
            self.wrapped += self.paragraphs[paragraph].loose();
        }
        let width = self.width;
        self.paragraphs[paragraph].layout_rows(width)
    }

    /// Adds new text of the last passage to the page. Returns false and changes nothing if the
    /// story has changed in any other way.
    fn grow(&mut self, at: usize, items: &[PageItem]) -> bool {
        let last = self.parts.len() == at + 1 && items.len() == at + 1;
        let item = items.get(at).filter(|_| last);
        let node = item.and_then(|item| item.passage.as_ref());
        let Some(((part, node), item)) = self.parts.get_mut(at).zip(node).zip(item) else {
            return false;
        };
        let (old, new) = (&part.key, &item.key);
        let marks = old.mark == new.mark && old.begins == new.begins && old.thought == new.thought;
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
                last.grow(line, text_role(node));
            }
        }
        true
    }

    /// Removes all passages from the page except the first `passages` ones.
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

    fn add_picture(&mut self, key: ItemKey) {
        let (node, size) = (key.id, key.picture.unwrap_or((1, 1)));
        let caption = key.mark.clone();
        self.begin_passage(key);
        if self.bare {
            self.paragraphs.push(Paragraph::default());
            return self.push(&format!("[picture {caption}]"), TextRole::Mark);
        }
        let mut picture = Paragraph::picture(PictureBlock::new(node, size));
        picture.resize(self.width, self.height);
        let alone = self.paragraphs.is_empty();
        self.paragraphs.extend((!alone).then(Paragraph::default));
        self.paragraphs.push(picture);
        self.paragraphs.push(Paragraph::default());
        self.push(&caption, TextRole::Mark);
    }

    /// Adds an entry for a passage that starts at the end of the page.
    fn begin_passage(&mut self, key: ItemKey) {
        let bytes = self.paragraphs.last().map_or(0, |last| last.text.len());
        self.parts.push(PagePassage {
            bytes,
            paragraphs: self.paragraphs.len(),
            key,
        });
    }

    fn add_passage(&mut self, node: &Passage, before: Option<&Passage>, key: ItemKey) {
        let after_picture = self.parts.last().is_some_and(|it| it.key.picture.is_some());
        self.begin_passage(key);
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
            self.push(speaker(node.author), TextRole::Label);
            if let Some(remark) = node.thought_remark() {
                self.paragraphs.push(Paragraph::default());
                self.push(&remark, TextRole::Mark);
            }
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
                self.push(unread, text_role(node));
                self.push(FROM_HERE, TextRole::Mark);
                self.push(read, text_role(node));
            }
            None => self.push(text, text_role(node)),
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
        self.push(
            if alone { mark.trim_start() } else { &mark },
            TextRole::Mark,
        );
    }

    fn push(&mut self, text: &str, role: TextRole) {
        for (at, line) in text.split('\n').enumerate() {
            if at > 0 {
                self.paragraphs.push(Paragraph::default());
            }
            if let Some(last) = self.paragraphs.last_mut().filter(|_| !line.is_empty()) {
                last.push(line, role);
            }
        }
    }
}

//! The input line: its text, a cursor that moves by graphemes and words, and the wrapped rows.
//!
//! This module does not depend on keys or on the screen; it only needs the width at which to wrap.

use super::wrap::{cells, wrap};
use std::ops::Range;
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

#[derive(Debug, Default)]
pub struct Input {
    text: String,
    cursor: usize,
    /// The column in which Up and Down place the cursor if the row is long enough.
    goal: Option<usize>,
    width: usize,
    rows: Vec<Range<usize>>,
    /// The index of the first visible row.
    top: usize,
}

/// An edit of the text or a movement of the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    Up,
    Down,
    Backspace,
    Delete,
    DeleteWord,
    DeleteWordRight,
    DeleteToHome,
    DeleteToEnd,
}

impl Input {
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub fn before_cursor(&self) -> &str {
        &self.text[..self.cursor]
    }

    pub fn at_end(&self) -> bool {
        self.cursor == self.text.len()
    }

    pub fn set(&mut self, text: &str) {
        self.text = text.to_string();
        self.cursor = self.text.len();
        self.changed();
    }

    /// Replaces the text between the byte offset `from` and the cursor with `text`.
    pub fn replace_from(&mut self, from: usize, text: &str) {
        self.text.replace_range(from..self.cursor, text);
        self.cursor = from + text.len();
        self.snap();
        self.changed();
    }

    /// Removes a final backslash, which stands for a line break, and the spaces before the
    /// backslash.
    pub fn drop_backslash(&mut self) {
        let own = self.text.strip_suffix('\\').unwrap_or(&self.text);
        let kept = own.trim_end_matches(' ').len();
        self.delete(kept..self.text.len());
    }

    pub fn insert(&mut self, text: &str) {
        self.replace_from(self.cursor, text);
    }

    pub fn take(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        self.cursor = 0;
        self.changed();
        text
    }

    /// Performs an edit. Returns true if the edit moved the cursor.
    pub fn edit(&mut self, edit: Edit) -> bool {
        let cursor = self.cursor;
        match edit {
            Edit::Up | Edit::Down => return self.vertical(edit == Edit::Up),
            Edit::Left => self.cursor = self.left(),
            Edit::Right => self.cursor = self.right(),
            Edit::WordLeft => self.cursor = self.word_left(),
            Edit::WordRight => self.cursor = self.word_right(),
            Edit::Home => self.cursor = self.line().start,
            Edit::End => self.cursor = self.line().end,
            Edit::Backspace => self.delete(self.left()..cursor),
            Edit::Delete => self.delete(cursor..self.right()),
            Edit::DeleteWord => self.delete(self.word_left()..cursor),
            Edit::DeleteWordRight => self.delete(cursor..self.word_right()),
            Edit::DeleteToHome => self.delete(self.line().start..cursor),
            Edit::DeleteToEnd => self.delete(cursor..self.line().end),
        }
        self.snap();
        self.goal = None;
        self.cursor != cursor
    }

    /// If the cursor is inside a grapheme, moves the cursor to the grapheme's end. This can happen
    /// because an edit can join the characters around the cursor.
    fn snap(&mut self) {
        let mut at = GraphemeCursor::new(self.cursor, self.text.len(), true);
        if !at.is_boundary(&self.text, 0).unwrap_or(true) {
            self.cursor = self.right();
        }
    }

    /// Wraps the text at `width` cells, and returns the byte range of each row.
    pub fn fit(&mut self, width: usize) -> &[Range<usize>] {
        let width = width.max(1);
        if self.rows.is_empty() || self.width != width {
            self.width = width;
            self.rows.clear();
            let mut from = 0;
            for line in self.text.split('\n') {
                let rows = wrap(line, width, 0).into_iter();
                self.rows
                    .extend(rows.map(|row| from + row.start..from + row.end));
                from += line.len() + 1;
            }
        }
        &self.rows
    }

    pub fn rows(&self) -> &[Range<usize>] {
        &self.rows
    }

    /// Scrolls as little as possible so that the cursor is in one of the `height` visible rows.
    pub fn show(&mut self, height: usize) {
        let (row, _) = self.place();
        let last = self.rows.len().saturating_sub(height);
        self.top = self
            .top
            .clamp((row + 1).saturating_sub(height), row)
            .min(last);
    }

    pub fn top(&self) -> usize {
        self.top
    }

    /// The cursor's row and column. The column is at most the width, even if spaces before the
    /// cursor extend beyond the right edge.
    pub fn place(&self) -> (usize, usize) {
        let row = self
            .rows
            .partition_point(|row| row.start <= self.cursor)
            .saturating_sub(1);
        let start = self.rows.get(row).map_or(0, |row| row.start);
        (row, cells(&self.text[start..self.cursor]).min(self.width))
    }

    fn vertical(&mut self, up: bool) -> bool {
        // Several keys can arrive between two frames.
        self.fit(if self.width == 0 {
            usize::MAX
        } else {
            self.width
        });
        let (row, column) = self.place();
        let to = if up {
            row.checked_sub(1)
        } else {
            Some(row + 1)
        };
        let Some(range) = to.and_then(|to| self.rows.get(to)).cloned() else {
            return false;
        };
        let goal = *self.goal.get_or_insert(column);
        self.cursor = range.start + super::wrap::fitting_prefix(&self.text[range], goal).len();
        true
    }

    fn delete(&mut self, range: Range<usize>) {
        self.cursor = range.start;
        self.text.replace_range(range, "");
        self.changed();
    }

    fn changed(&mut self) {
        self.rows.clear();
        self.goal = None;
    }

    fn left(&self) -> usize {
        let mut at = GraphemeCursor::new(self.cursor, self.text.len(), true);
        at.prev_boundary(&self.text, 0).ok().flatten().unwrap_or(0)
    }

    fn right(&self) -> usize {
        let mut at = GraphemeCursor::new(self.cursor, self.text.len(), true);
        at.next_boundary(&self.text, 0)
            .ok()
            .flatten()
            .unwrap_or(self.text.len())
    }

    fn word_left(&self) -> usize {
        let mut words = self.before_cursor().unicode_word_indices();
        words.next_back().map_or(0, |(at, _)| at)
    }

    fn word_right(&self) -> usize {
        let after = self.text[self.cursor..].unicode_word_indices().next();
        after.map_or(self.text.len(), |(at, word)| self.cursor + at + word.len())
    }

    /// The byte range of the line that contains the cursor. Only line breaks separate lines;
    /// wrapping does not.
    fn line(&self) -> Range<usize> {
        let start = self.before_cursor().rfind('\n').map_or(0, |at| at + 1);
        let end = self.text[self.cursor..]
            .find('\n')
            .map_or(self.text.len(), |at| self.cursor + at);
        start..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn typed(text: &str) -> Input {
        let mut input = Input::default();
        input.insert(text);
        input.fit(20);
        input
    }

    #[test]
    fn the_cursor_steps_over_whole_graphemes() {
        let mut input = typed("né👩‍🚀");
        input.edit(Edit::Backspace);
        assert_eq!(input.text(), "né");
        input.edit(Edit::Left);
        assert_eq!(input.before_cursor(), "n");
        input.edit(Edit::Delete);
        assert_eq!(input.text(), "n");
    }

    #[test]
    fn words_are_stepped_over_and_deleted() {
        let mut input = typed("the grey, cold sea");
        input.edit(Edit::WordLeft);
        input.edit(Edit::WordLeft);
        assert_eq!(input.before_cursor(), "the grey, ");
        input.edit(Edit::WordRight);
        assert_eq!(input.before_cursor(), "the grey, cold");
        input.edit(Edit::DeleteWord);
        assert_eq!(input.text(), "the grey,  sea");
        input.edit(Edit::DeleteToEnd);
        assert_eq!(input.text(), "the grey, ");
        input.edit(Edit::DeleteToHome);
        assert_eq!(input.text(), "");
    }

    #[test]
    fn home_and_end_stay_on_the_line() {
        let mut input = typed("one\ntwo");
        input.edit(Edit::Home);
        assert_eq!(input.before_cursor(), "one\n");
        assert!(input.edit(Edit::Up));
        assert!(!input.edit(Edit::Up));
        input.edit(Edit::End);
        assert_eq!(input.before_cursor(), "one");
        assert!(input.edit(Edit::Down));
        assert!(!input.edit(Edit::Down));
    }

    #[test]
    fn up_and_down_remember_the_column() {
        let mut input = typed("a long line\nno\nanother one");
        input.edit(Edit::Up);
        assert_eq!(input.place(), (1, 2));
        input.edit(Edit::Up);
        assert_eq!(input.place(), (0, 11));
    }

    #[test]
    fn the_cursor_has_a_place_after_hanging_spaces() {
        let mut input = typed("four    ");
        input.fit(4);
        assert_eq!(input.place(), (0, 4));
    }

    proptest! {
        #[test]
        fn no_edit_leaves_the_cursor_inside_a_grapheme(
            text in "[a-zé日👩‍🚀 \n]{0,30}",
            edits in prop::collection::vec(0usize..14, 0..40),
            width in 1usize..9,
        ) {
            use Edit::*;
            let all = [Left, Right, WordLeft, WordRight, Home, End, Up, Down, Backspace, Delete,
                DeleteWord, DeleteWordRight, DeleteToHome, DeleteToEnd];
            let mut input = typed(&text);
            for edit in edits {
                input.fit(width);
                input.edit(all[edit]);
                let cursor = input.before_cursor().len();
                let mut ends = input.text().grapheme_indices(true).map(|(at, _)| at);
                prop_assert!(cursor == input.text().len() || ends.any(|at| at == cursor));
                input.fit(width);
                prop_assert!(input.place().0 < input.rows().len());
            }
        }
    }
}

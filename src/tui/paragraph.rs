//! One paragraph of the story: its text, who wrote which stretch, and its rows so far.

use super::page::Ink;
use super::wrap::wrap;
use std::ops::Range;

#[derive(Debug, Default)]
pub struct Paragraph {
    pub text: String,
    /// Where each stretch ends, and what it is.
    inks: Vec<(usize, Ink)>,
    rows: Vec<Range<usize>>,
    /// Where the row after those begins, unless they are all there are.
    next: usize,
    whole: bool,
}

impl Paragraph {
    pub fn push(&mut self, text: &str, ink: Ink) {
        self.loosen(self.text.len());
        for bit in text.split_inclusive('\t') {
            match bit.strip_suffix('\t') {
                Some(bit) => self.text.extend([bit, "    "]),
                None => self.text.push_str(bit),
            }
        }
        self.inks.push((self.text.len(), ink));
    }

    /// Adds to what was pushed last, so that a grapheme that comes in pieces stays one.
    pub fn grow(&mut self, text: &str, ink: Ink) {
        let before = self.inks.len();
        self.push(text, ink);
        if before > 0 && self.inks[before - 1].1 == ink {
            self.inks.remove(before - 1);
        }
    }

    pub fn cut(&mut self, bytes: usize) {
        self.loosen(bytes);
        self.text.truncate(bytes);
        self.inks.retain(|(end, _)| *end <= bytes);
    }

    /// Drops the rows that text after `at` can have a say in: those that begin there, the one that
    /// runs into it, and the one before that, which may have broken because of its word.
    pub fn loosen(&mut self, at: usize) {
        let sure = self
            .rows
            .partition_point(|row| row.start < at)
            .saturating_sub(2);
        if let Some(row) = self.rows.get(sure) {
            self.next = row.start;
        }
        self.rows.truncate(sure);
        self.whole = false;
    }

    /// How many bytes are to be wrapped.
    #[cfg(test)]
    pub fn loose(&self) -> usize {
        if self.whole {
            0
        } else {
            self.text.len() - self.next
        }
    }

    pub fn laid(&mut self, width: usize) -> &[Range<usize>] {
        if !self.whole {
            self.rows.extend(wrap(&self.text, width, self.next));
            self.whole = true;
        }
        &self.rows
    }

    pub fn stretches(&self, row: usize) -> Vec<(&str, Ink)> {
        let Some(row) = self.rows.get(row) else {
            return Vec::new();
        };
        let mut from = row.start;
        let first = self.inks.partition_point(|(end, _)| *end <= from);
        let mut stretches = Vec::new();
        for (end, ink) in &self.inks[first..] {
            let to = row.end.min(*end);
            if from < to {
                stretches.push((&self.text[from..to], *ink));
            }
            from = to.max(from);
        }
        stretches
    }
}

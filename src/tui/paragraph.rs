//! One paragraph of the story: its text, who wrote which stretch, and its rows so far.

use super::page::Ink;
use super::wrap::wrap;
use crate::story::NodeId;
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
    /// It is a picture: its rows hold nothing, and the picture is laid over them.
    pub block: Option<Block>,
}

/// A picture among the paragraphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub node: NodeId,
    /// Pixels.
    pub size: (u32, u32),
    /// Cells.
    pub width: u16,
    pub height: u16,
}

/// Columns of a picture at most; a wide one has as many more as it is wider.
const WIDEST: u32 = 40;

impl Block {
    pub fn new(node: NodeId, size: (u32, u32)) -> Block {
        let (width, height) = (1, 1);
        Block {
            node,
            size,
            width,
            height,
        }
    }

    /// A picture in a pane that is its own.
    pub fn fitted(node: NodeId, size: (u32, u32), width: u16, height: u16) -> Block {
        let mut block = Block::new(node, size);
        // Two thirds of it are what it takes of a page.
        block.fit(width.into(), usize::from(height) * 3 / 2);
        block
    }

    /// The largest that a pane of this size takes, and leaves room for words beside it. A cell is
    /// taken to be twice as high as wide.
    fn fit(&mut self, width: usize, height: usize) {
        let (wide, high) = (self.size.0.clamp(1, 1 << 14), self.size.1.clamp(1, 1 << 14));
        let pane = |cells: usize| u32::try_from(cells).unwrap_or(1).clamp(1, 1000);
        let rows_of = |columns: u32| (columns * high).div_ceil(2 * wide).max(1);
        let most = pane(height) * 2 / 3;
        let mut columns = (WIDEST * wide / high).clamp(1, 2 * WIDEST).min(pane(width));
        if rows_of(columns) > most {
            columns = (2 * most.max(1) * wide / high).clamp(1, columns);
        }
        (self.width, self.height) = (columns as u16, rows_of(columns).min(most.max(1)) as u16);
    }
}

impl Paragraph {
    pub fn picture(block: Block) -> Paragraph {
        Paragraph {
            block: Some(block),
            ..Paragraph::default()
        }
    }

    /// Another size of the pane.
    pub fn resize(&mut self, width: usize, height: usize) {
        self.loosen(0);
        if let Some(block) = &mut self.block {
            block.fit(width, height);
            // A byte for each row, so that each has a place of its own.
            self.text = " ".repeat(block.height.into());
        }
    }

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
        if self.block.is_some() {
            self.rows = (0..self.text.len().max(1)).map(|at| at..at + 1).collect();
        } else if !self.whole {
            self.rows.extend(wrap(&self.text, width, self.next));
            self.whole = true;
        }
        &self.rows
    }

    pub fn stretches(&self, row: usize) -> Vec<(&str, Ink)> {
        let Some(row) = self.rows.get(row).filter(|_| self.block.is_none()) else {
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

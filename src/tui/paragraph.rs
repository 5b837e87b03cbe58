//! One paragraph of the story: its text, the kind of each span of the text, and the rows that have
//! been wrapped so far.

use super::spans::TextRole;
use super::wrap::wrap;
use std::ops::Range;
use story::NodeId;

#[derive(Debug, Default)]
pub struct Paragraph {
    pub text: String,
    /// For each span, the byte offset at which the span ends, and the kind of the span.
    roles: Vec<(usize, TextRole)>,
    rows: Vec<Range<usize>>,
    /// The byte offset at which the next row to be wrapped starts. Unused when all rows are
    /// wrapped.
    next: usize,
    whole: bool,
    /// The picture, if the paragraph stands for a picture. The rows of the paragraph are then
    /// blank, and the picture is drawn over them.
    pub block: Option<PictureBlock>,
}

/// A picture on the page, with its size in pixels and in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureBlock {
    pub node: NodeId,
    /// The width and height in pixels.
    pub size: (u32, u32),
    /// The width in cells.
    pub width: u16,
    pub height: u16,
}

/// The maximum width in cells of a square picture. The maximum is proportionally larger for
/// pictures that are wider than high.
const WIDEST: u32 = 40;

impl PictureBlock {
    pub fn new(node: NodeId, size: (u32, u32)) -> PictureBlock {
        let (width, height) = (1, 1);
        PictureBlock {
            node,
            size,
            width,
            height,
        }
    }

    /// Creates a block for a picture that fills a pane of its own. `width` and `height` are the
    /// size of the pane in cells.
    pub fn fitted(node: NodeId, size: (u32, u32), width: u16, height: u16) -> PictureBlock {
        let mut block = PictureBlock::new(node, size);
        // `fit` uses two thirds of a page, so this fills the pane.
        block.fit(width.into(), usize::from(height) * 3 / 2);
        block
    }

    /// Sets the size of the picture to the largest that fits the pane and leaves room for text. A
    /// cell is assumed to be twice as high as wide.
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
    pub fn picture(block: PictureBlock) -> Paragraph {
        Paragraph {
            block: Some(block),
            ..Paragraph::default()
        }
    }

    /// Adapts the paragraph to a new width and height of the pane in cells.
    pub fn resize(&mut self, width: usize, height: usize) {
        self.invalidate_from(0);
        if let Some(block) = &mut self.block {
            block.fit(width, height);
            // One byte per row, so that each row has its own position.
            self.text = " ".repeat(block.height.into());
        }
    }

    pub fn push(&mut self, text: &str, role: TextRole) {
        self.invalidate_from(self.text.len());
        for bit in text.split_inclusive('\t') {
            match bit.strip_suffix('\t') {
                Some(bit) => self.text.extend([bit, "    "]),
                None => self.text.push_str(bit),
            }
        }
        self.roles.push((self.text.len(), role));
    }

    /// Adds text to the end. Text of the same kind as the last span extends that span, so that a
    /// grapheme that arrives in pieces stays whole.
    pub fn grow(&mut self, text: &str, role: TextRole) {
        let before = self.roles.len();
        self.push(text, role);
        if before > 0 && self.roles[before - 1].1 == role {
            self.roles.remove(before - 1);
        }
    }

    pub fn cut(&mut self, bytes: usize) {
        self.invalidate_from(bytes);
        self.text.truncate(bytes);
        self.roles.retain(|(end, _)| *end <= bytes);
    }

    /// Drops the rows that a change after the byte offset `at` can affect: the row that contains
    /// `at`, all later rows, and the row before. That earlier row may end at a different word if
    /// the first word of the next row changes.
    pub fn invalidate_from(&mut self, at: usize) {
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

    /// The number of bytes that are not wrapped yet.
    #[cfg(test)]
    pub fn loose(&self) -> usize {
        if self.whole {
            0
        } else {
            self.text.len() - self.next
        }
    }

    pub fn layout_rows(&mut self, width: usize) -> &[Range<usize>] {
        if self.block.is_some() {
            self.rows = (0..self.text.len().max(1)).map(|at| at..at + 1).collect();
        } else if !self.whole {
            self.rows.extend(wrap(&self.text, width, self.next));
            self.whole = true;
        }
        &self.rows
    }

    pub fn stretches(&self, row: usize) -> Vec<(&str, TextRole)> {
        let Some(row) = self.rows.get(row).filter(|_| self.block.is_none()) else {
            return Vec::new();
        };
        let mut from = row.start;
        let first = self.roles.partition_point(|(end, _)| *end <= from);
        let mut stretches = Vec::new();
        for (end, role) in &self.roles[first..] {
            let to = row.end.min(*end);
            if from < to {
                stretches.push((&self.text[from..to], *role));
            }
            from = to.max(from);
        }
        stretches
    }
}

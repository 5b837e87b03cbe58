//! Lays out texts side by side, each wrapped in its own column.

use super::spans::{OverlayRow, SpanStyle};
use super::wrap::{cells, wrap};

/// A column: a text with a title, and the style of each span of the text.
#[derive(Clone, Debug, Default)]
pub struct Column {
    title: String,
    text: String,
    /// The style of each span of the text, and the byte offset at which the span ends.
    styles: Vec<(usize, SpanStyle)>,
}

/// The separator between two columns.
const GAP: &str = " │ ";
/// The minimum width of a column in cells. Columns that would be narrower are placed one below the
/// other.
const NARROWEST: usize = 10;

impl Column {
    pub fn new(title: &str) -> Column {
        Column {
            title: title.to_string(),
            ..Column::default()
        }
    }

    pub fn push(&mut self, text: &str, style: SpanStyle) {
        self.text.push_str(&text.replace('\t', "    "));
        self.styles.push((self.text.len(), style));
    }

    /// Wraps the column's text at `width` cells. Returns the spans of each row.
    fn rows(&self, width: usize) -> Vec<Vec<(String, SpanStyle)>> {
        let (mut rows, mut start) = (Vec::new(), 0);
        for line in self.text.split('\n') {
            for row in wrap(line, width.max(1), 0) {
                rows.push(self.spans(start + row.start, start + row.end));
            }
            start += line.len() + 1;
        }
        rows
    }

    fn spans(&self, mut from: usize, to: usize) -> Vec<(String, SpanStyle)> {
        let mut spans = Vec::new();
        for (end, style) in &self.styles {
            let cut = (*end).min(to);
            if cut > from {
                spans.push((self.text[from..cut].to_string(), *style));
                from = cut;
            }
        }
        spans
    }
}

/// Lays out columns side by side in `width` cells, or one below the other if there is too little
/// room. The title of the column with the index `chosen` is highlighted.
pub fn side_by_side(columns: &[Column], width: usize, chosen: Option<usize>) -> Vec<OverlayRow> {
    let count = columns.len().max(1);
    let each = (width + cells(GAP)) / count;
    let each = each.saturating_sub(cells(GAP));
    if each < NARROWEST {
        return stacked(columns, width, chosen);
    }
    let texts: Vec<_> = columns.iter().map(|column| column.rows(each)).collect();
    let height = texts.iter().map(Vec::len).max().unwrap_or(0);
    let mut rows = vec![join(
        columns
            .iter()
            .enumerate()
            .map(|(at, column)| vec![(column.title.clone(), title_style(at, chosen))]),
        each,
    )];
    for y in 0..height {
        let cells = texts
            .iter()
            .map(|text| text.get(y).cloned().unwrap_or_default());
        rows.push(join(cells, each));
    }
    rows
}

/// Lays out columns one below the other.
pub fn stacked(columns: &[Column], width: usize, chosen: Option<usize>) -> Vec<OverlayRow> {
    let mut rows = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        let item = chosen.map(|_| at);
        let spans = vec![(column.title.clone(), title_style(at, chosen))];
        rows.push(OverlayRow { spans, item });
        rows.extend(
            column
                .rows(width)
                .into_iter()
                .map(|spans| OverlayRow { spans, item }),
        );
    }
    rows
}

fn title_style(at: usize, chosen: Option<usize>) -> SpanStyle {
    match chosen {
        Some(chosen) if chosen == at => SpanStyle::Strong,
        _ => SpanStyle::Quiet,
    }
}

fn join(cells_of_row: impl Iterator<Item = Vec<(String, SpanStyle)>>, each: usize) -> OverlayRow {
    let mut spans = Vec::new();
    for (at, cell) in cells_of_row.enumerate() {
        if at > 0 {
            spans.push((GAP.to_string(), SpanStyle::Quiet));
        }
        let taken: usize = cell.iter().map(|(text, _)| cells(text)).sum();
        spans.extend(cell);
        spans.push((" ".repeat(each.saturating_sub(taken)), SpanStyle::Plain));
    }
    OverlayRow { spans, item: None }
}

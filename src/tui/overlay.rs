//! An overlay, which shows help, a list to pick from, or texts side by side.

use super::columns::{Column, side_by_side};
use super::keys::Scroll;
use super::spans::{OverlayRow, SpanStyle};
use super::wrap::wrap;
use base::untrusted::clean;
use story::NodeId;
use story::command;
use story::diff::DiffSpan;
use story::message::ContextReport;

#[derive(Debug, Default)]
pub struct Overlay {
    content: Content,
    rows: Vec<OverlayRow>,
    width: usize,
    height: usize,
    top: usize,
    /// The index of the selected item, if any.
    chosen: Option<usize>,
    /// The picture of each item; None for an item without a picture.
    pictures: Vec<Option<NodeId>>,
}

#[derive(Debug)]
enum Content {
    Text(Vec<String>),
    /// A title and a list of items to pick from.
    List(String, Vec<String>),
    /// Texts side by side. If `pick` is true, the writer can pick one of the texts.
    Columns {
        columns: Vec<Column>,
        pick: bool,
    },
}

impl Default for Content {
    fn default() -> Content {
        Content::Text(Vec::new())
    }
}

impl Overlay {
    pub fn new(text: &str) -> Overlay {
        let lines = clean(text)
            .split('\n')
            .map(|line| line.replace('\t', "    "))
            .collect();
        Overlay {
            content: Content::Text(lines),
            ..Overlay::default()
        }
    }

    /// Creates a list. The arrow keys select an item, and Enter picks the selected item.
    pub fn list(title: &str, labels: Vec<String>) -> Overlay {
        // The current place in the tree.
        let here = labels.iter().position(|label| label.contains('◆'));
        let labels = labels
            .iter()
            .map(|label| clean(label).replace('\t', "    "));
        Overlay {
            content: Content::List(title.to_string(), labels.collect()),
            chosen: here.or(Some(0)),
            ..Overlay::default()
        }
    }

    /// Sets the pictures of the items. There is one entry for each item, which is None for an item
    /// without a picture.
    pub fn with_pictures(self, pictures: Vec<Option<NodeId>>) -> Overlay {
        Overlay { pictures, ..self }
    }

    /// The picture of the selected item, if any.
    pub fn picture(&self) -> Option<NodeId> {
        self.pictures.get(self.chosen?).copied().flatten()
    }

    /// Creates an overlay of candidates that are being generated side by side.
    pub fn candidates(texts: &[&str]) -> Overlay {
        let mut overlay = Overlay {
            chosen: Some(0),
            ..Overlay::default()
        };
        overlay.update(texts);
        overlay
    }

    /// Creates an overlay that shows two texts side by side, with their differences marked.
    pub fn diff(stretches: &[DiffSpan]) -> Overlay {
        let mut columns = vec![Column::new("A"), Column::new("B")];
        for stretch in stretches {
            match stretch {
                DiffSpan::Both(text) => columns
                    .iter_mut()
                    .for_each(|c| c.push(text, SpanStyle::Plain)),
                DiffSpan::Left(text) => columns[0].push(text, SpanStyle::Left),
                DiffSpan::Right(text) => columns[1].push(text, SpanStyle::Right),
            }
        }
        Overlay {
            content: Content::Columns {
                columns,
                pick: false,
            },
            ..Overlay::default()
        }
    }

    /// Creates an overlay that shows the context: a line for each part, then the text exactly as it
    /// is sent to the model.
    pub fn context(explained: &ContextReport) -> Overlay {
        let mut column = Column::new("Context");
        column.push(&explained.to_string(), SpanStyle::Plain);
        column.push("\nAs sent:\n", SpanStyle::Quiet);
        for segment in &explained.segments {
            let look = match segment.label.split([':', ' ']).next() {
                Some("story" | "joint" | "user" | "assistant") => SpanStyle::Plain,
                Some("lore") => SpanStyle::Lore,
                Some("note" | "instruction") => SpanStyle::Note,
                _ => SpanStyle::Beside,
            };
            column.push(&clean(&segment.text), look);
        }
        Overlay {
            content: Content::Columns {
                columns: vec![column],
                pick: false,
            },
            ..Overlay::default()
        }
    }

    /// Creates the help overlay, which lists the commands and the keys.
    pub fn help(keys: &[String]) -> Overlay {
        let commands = command::help(None).unwrap_or_default();
        Overlay::new(&format!("{commands}\n\nKeys\n{}", keys.join("\n")))
    }

    /// Replaces the texts of the candidates while they are generated. Returns false if the overlay
    /// does not show candidates.
    pub fn update(&mut self, texts: &[&str]) -> bool {
        if self.chosen.is_none() {
            return false;
        }
        let column = |(at, text): (usize, &&str)| {
            let mut column = Column::new(&(at + 1).to_string());
            column.push(text.trim_start(), SpanStyle::Plain);
            column
        };
        let columns = texts.iter().enumerate().map(column).collect();
        self.content = Content::Columns {
            columns,
            pick: true,
        };
        self.rows.clear();
        true
    }

    pub fn shows_candidates(&self) -> bool {
        matches!(self.content, Content::Columns { pick: true, .. })
    }

    /// The index of the selected item, if any.
    pub fn chosen(&self) -> Option<usize> {
        self.chosen
    }

    /// The number of items to pick from.
    pub fn items(&self) -> usize {
        match &self.content {
            Content::Text(_) | Content::Columns { pick: false, .. } => 0,
            Content::List(_, labels) => labels.len(),
            Content::Columns { columns, .. } => columns.len(),
        }
    }

    /// Moves the selection by `by` items. Returns false if there is nothing to select.
    pub fn choose(&mut self, by: isize) -> bool {
        let (Some(at), items) = (self.chosen, self.items()) else {
            return false;
        };
        if items == 0 {
            return false;
        }
        let at = at.saturating_add_signed(by).min(items - 1);
        self.chosen = Some(at);
        self.rows.clear();
        self.show_chosen();
        true
    }

    /// Lays out the overlay for a screen with this width and height in cells.
    pub fn fit(&mut self, width: usize, height: usize) {
        if self.width != width || self.rows.is_empty() {
            self.rows = self.layout_rows(width.max(1));
        }
        let fresh = self.height != height;
        (self.width, self.height) = (width, height);
        if fresh {
            self.show_chosen();
            self.show_difference();
        }
        self.top = self.top.min(self.last());
    }

    fn layout_rows(&self, width: usize) -> Vec<OverlayRow> {
        let plain = |text: String| OverlayRow {
            spans: vec![(text, SpanStyle::Plain)],
            item: None,
        };
        match &self.content {
            Content::Text(lines) => {
                let rows = lines.iter().flat_map(|line| wrap_line(line, width));
                rows.map(plain).collect()
            }
            Content::List(title, labels) => {
                let mut rows = vec![OverlayRow {
                    spans: vec![(title.clone(), SpanStyle::Quiet)],
                    item: None,
                }];
                for (at, label) in labels.iter().enumerate() {
                    let line = format!("{:>3}  {label}", at + 1);
                    rows.extend(wrap_line(&line, width).into_iter().map(|text| OverlayRow {
                        item: Some(at),
                        ..plain(text)
                    }));
                }
                rows
            }
            Content::Columns { columns, .. } => side_by_side(columns, width, self.chosen),
        }
    }

    /// The rows of the overlay that are visible on the screen.
    pub fn rows(&self) -> &[OverlayRow] {
        let end = (self.top + self.height).min(self.rows.len());
        &self.rows[self.top.min(end)..end]
    }

    /// Whether the overlay has more rows than fit on the screen.
    pub fn scrolls(&self) -> bool {
        self.last() > 0
    }

    pub fn scroll(&mut self, scroll: Scroll) {
        let page = self.height.saturating_sub(1).max(1);
        self.top = match scroll {
            Scroll::PageUp => self.top.saturating_sub(page),
            Scroll::PageDown => self.top + page,
            Scroll::LineUp => self.top.saturating_sub(1),
            Scroll::LineDown => self.top + 1,
            Scroll::Top => 0,
            Scroll::Bottom => self.last(),
        };
        self.top = self.top.min(self.last());
    }

    /// Scrolls as little as possible to show the selected item.
    fn show_chosen(&mut self) {
        if self.rows.is_empty() && self.width > 0 {
            self.rows = self.layout_rows(self.width);
        }
        let of = |row: &OverlayRow| row.item.is_some() && row.item == self.chosen;
        let (Some(first), Some(last)) = (
            self.rows.iter().position(of),
            self.rows.iter().rposition(of),
        ) else {
            return;
        };
        if first < self.top {
            self.top = first;
        } else if last >= self.top + self.height {
            self.top = (last + 1).saturating_sub(self.height.max(1));
        }
    }

    /// Scrolls to the first difference between the two texts of a comparison.
    fn show_difference(&mut self) {
        let differs = |row: &OverlayRow| {
            let mut looks = row.spans.iter().map(|(_, look)| *look);
            looks.any(|look| matches!(look, SpanStyle::Left | SpanStyle::Right))
        };
        if let Some(first) = self.rows.iter().position(differs) {
            self.top = first.saturating_sub(self.height / 2);
        }
    }

    fn last(&self) -> usize {
        self.rows.len().saturating_sub(self.height)
    }
}

/// Wraps a line. If the line is a row of a table and there is room, the last column is wrapped
/// within its own width.
fn wrap_line(line: &str, width: usize) -> Vec<String> {
    let indent = line.len() - line.trim_start().len();
    let column = line[indent..]
        .rfind("  ")
        .map_or(indent, |at| indent + at + 2);
    let hang = if column * 5 < width * 3 && column < 40 {
        column
    } else {
        indent.min(width / 4)
    };
    let head = wrap(line, width, 0).remove(0);
    if head.end == line.len() {
        return vec![line.to_string()];
    }
    let rest = &line[head.end..];
    let from = head.end + rest.len() - rest.trim_start().len();
    let pad = " ".repeat(hang);
    let rest = wrap(&line[from..], (width - hang).max(1), 0).into_iter();
    let rest = rest.map(|row| format!("{pad}{}", &line[from..][row]));
    std::iter::once(line[head].to_string())
        .chain(rest)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(overlay: &Overlay) -> Vec<String> {
        let text = |row: &OverlayRow| row.spans.iter().map(|(text, _)| text.as_str()).collect();
        overlay.rows().iter().map(text).collect()
    }

    #[test]
    fn a_list_scrolls_to_what_is_chosen() {
        let labels = (1..9).map(|n| format!("row {n}")).collect();
        let mut overlay = Overlay::list("Rows", labels);
        overlay.fit(20, 3);
        assert_eq!(texts(&overlay), ["Rows", "  1  row 1", "  2  row 2"]);
        overlay.choose(4);
        assert_eq!(
            (overlay.chosen(), texts(&overlay)[2].as_str()),
            (Some(4), "  5  row 5")
        );
        overlay.choose(-9);
        assert_eq!(texts(&overlay)[0], "  1  row 1");
    }

    #[test]
    fn two_texts_stand_side_by_side() {
        use story::diff::diff_words;
        let mut overlay = Overlay::diff(&diff_words("one red lamp", "one blue lamp"));
        overlay.fit(27, 5);
        assert_eq!(texts(&overlay)[1], "one red lamp │ one blue    ");
    }

    #[test]
    fn a_table_keeps_its_column() {
        assert_eq!(
            wrap_line("  /undo  go back one step or more", 22),
            ["  /undo  go back one", "         step or more"]
        );
        assert_eq!(wrap_line("short", 22), ["short"]);
    }

    #[test]
    fn scrolling_stops_at_both_ends() {
        let mut overlay = Overlay::new("1\n2\n3\n4\n5");
        overlay.fit(10, 2);
        overlay.scroll(Scroll::LineUp);
        assert_eq!(texts(&overlay), ["1", "2"]);
        overlay.scroll(Scroll::Bottom);
        overlay.scroll(Scroll::PageDown);
        assert_eq!(texts(&overlay), ["4", "5"]);
    }
}

//! A pane over the story: help, lists, settings.

use super::keys::{self, Scroll};
use super::wrap::wrap;
use crate::story::command;
use crate::story::untrusted::clean;

#[derive(Debug, Default)]
pub struct Overlay {
    lines: Vec<String>,
    rows: Vec<String>,
    width: usize,
    height: usize,
    top: usize,
}

impl Overlay {
    pub fn new(text: &str) -> Overlay {
        let lines = clean(text)
            .split('\n')
            .map(|line| line.replace('\t', "    "))
            .collect();
        Overlay {
            lines,
            ..Overlay::default()
        }
    }

    /// The keys and the commands.
    pub fn help() -> Overlay {
        let commands = command::help(None).unwrap_or_default();
        Overlay::new(&format!("{commands}\n\nKeys\n{}", keys::help().join("\n")))
    }

    /// Takes the pane's size; rows that break are indented like their line.
    pub fn fit(&mut self, width: usize, height: usize) {
        if self.width != width || self.rows.is_empty() {
            self.rows = self
                .lines
                .iter()
                .flat_map(|line| broken(line, width.max(1)))
                .collect();
        }
        (self.width, self.height) = (width, height);
        self.top = self.top.min(self.last());
    }

    pub fn rows(&self) -> &[String] {
        let end = (self.top + self.height).min(self.rows.len());
        &self.rows[self.top.min(end)..end]
    }

    /// Whether there is more above or below.
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

    fn last(&self) -> usize {
        self.rows.len().saturating_sub(self.height)
    }
}

/// A line's rows. The second column of a table stays a column where there is room for it.
fn broken(line: &str, width: usize) -> Vec<String> {
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

    #[test]
    fn a_table_keeps_its_column() {
        assert_eq!(
            broken("  /undo  go back one step or more", 22),
            ["  /undo  go back one", "         step or more"]
        );
        assert_eq!(broken("short", 22), ["short"]);
    }

    #[test]
    fn scrolling_stops_at_both_ends() {
        let mut overlay = Overlay::new("1\n2\n3\n4\n5");
        overlay.fit(10, 2);
        overlay.scroll(Scroll::LineUp);
        assert_eq!(overlay.rows(), ["1", "2"]);
        overlay.scroll(Scroll::Bottom);
        overlay.scroll(Scroll::PageDown);
        assert_eq!(overlay.rows(), ["4", "5"]);
    }
}

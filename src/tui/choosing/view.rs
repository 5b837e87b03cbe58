//! The state of the screen on which a person chooses between two texts, and how to draw it.

use super::super::columns::{Column, side_by_side, stacked};
use super::super::spans::{OverlayRow, SpanStyle};
use super::super::theme;
use super::super::wrap::wrap;
use super::{Candidates, Choosing};
use base::untrusted::{clean, clean_line};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use story::diff::{DiffSpan, diff_words};

/// The left margin in columns, as in the story.
const LEFT: u16 = 3;
/// The minimum width, in columns, at which the texts are shown side by side.
const WIDE: usize = 72;
/// How many rows of the prompt are shown unless the person asks for all of them.
const PROMPT: usize = 4;
/// The keys, each with its purpose.
const KEYS: [&str; 9] = [
    "← left is better",
    "→ right is better",
    "t tie",
    "b both bad",
    "s skip",
    "Backspace undo",
    "d differences",
    "p whole prompt",
    "q quit",
];
/// The keys after the last case.
const LAST_KEYS: [&str; 2] = ["Enter shows the result", "Backspace undo"];

/// The state of the screen.
pub(super) struct View {
    colour: bool,
    /// None if a choice was made for every case.
    shown: Option<Candidates>,
    place: (usize, usize),
    /// Whether to mark the words that differ.
    differences: bool,
    whole_prompt: bool,
    /// The number of rows above the visible ones.
    top: usize,
    /// The number of visible rows (`height`) and of all rows (`rows`) when the screen was last
    /// drawn.
    height: usize,
    rows: usize,
    message: String,
}

impl View {
    pub(super) fn new(colour: bool) -> View {
        View {
            colour,
            shown: None,
            place: (0, 0),
            differences: false,
            whole_prompt: false,
            top: 0,
            height: 1,
            rows: 0,
            message: String::new(),
        }
    }

    /// Updates the state to the current case.
    pub(super) fn show(&mut self, source: &dyn Choosing) {
        let now = source.current();
        if now != self.shown {
            (self.top, self.whole_prompt) = (0, false);
        }
        (self.shown, self.place) = (now, source.place());
    }

    pub(super) fn is_finished(&self) -> bool {
        self.shown.is_none()
    }

    /// Shows a message until the next choice.
    pub(super) fn said(&mut self, message: String) {
        self.message = message;
    }

    pub(super) fn toggle_differences(&mut self) {
        self.differences = !self.differences;
    }

    pub(super) fn toggle_prompt(&mut self) {
        (self.whole_prompt, self.top) = (!self.whole_prompt, 0);
    }

    pub(super) fn scroll(&mut self, rows: isize) {
        let last = self.rows.saturating_sub(self.height);
        self.top = self.top.saturating_add_signed(rows).min(last);
    }

    pub(super) fn scroll_page(&mut self, pages: isize) {
        let page = self.height.saturating_sub(1).max(1);
        self.scroll(pages.saturating_mul(page as isize));
    }

    pub(super) fn draw(&mut self, frame: &mut Frame) {
        let area = frame.area();
        let inner = Rect {
            x: LEFT.min(area.width),
            width: area.width.saturating_sub(2 * LEFT),
            ..area
        };
        let buffer = frame.buffer_mut();
        let help = self.help(usize::from(inner.width));
        let foot = help.len() + 1;
        self.height = usize::from(inner.height).saturating_sub(3 + foot);
        let rows = self.content(usize::from(inner.width));
        self.rows = rows.len();
        self.scroll(0);
        let line = |buffer: &mut Buffer, y: usize, text: &str, style: Style| {
            if y < usize::from(inner.height) {
                let y = inner.y + y as u16;
                buffer.set_stringn(inner.x, y, text, usize::from(inner.width), style);
            }
        };
        line(buffer, 1, &self.heading(), theme::strong());
        for (y, row) in rows.iter().skip(self.top).take(self.height).enumerate() {
            let mut x = inner.x;
            for (text, style) in &row.spans {
                let style = theme::span_style(*style, self.colour);
                let width = usize::from(inner.right().saturating_sub(x));
                x = buffer
                    .set_stringn(x, inner.y + 3 + y as u16, text, width, style)
                    .0;
            }
        }
        let top = usize::from(inner.height).saturating_sub(foot);
        let left = self.rows.saturating_sub(self.top + self.height);
        let message = match (self.message.is_empty(), left) {
            (false, _) => clean_line(&self.message),
            (true, 0) => String::new(),
            (true, _) => "↓ more".to_string(),
        };
        line(buffer, top, &message, theme::strong());
        for (at, text) in help.iter().enumerate() {
            line(buffer, top + 1 + at, text, theme::quiet());
        }
    }

    fn heading(&self) -> String {
        let (number, all) = self.place;
        match &self.shown {
            Some(shown) => format!("Which text is better? {number} of {all} · {}", shown.case),
            None => "No case is left to decide.".to_string(),
        }
    }

    /// Formats the keys in as few lines as possible.
    fn help(&self, width: usize) -> Vec<String> {
        let keys = match self.is_finished() {
            true => &LAST_KEYS[..],
            false => &KEYS[..],
        };
        let mut lines = vec![String::new()];
        for key in keys {
            let last = lines.last().map_or(0, |line| line.chars().count());
            if last > 0 && last + 3 + key.chars().count() > width {
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                if !line.is_empty() {
                    *line += " · ";
                }
                *line += key;
            }
        }
        lines
    }

    /// Lays out the prompt and the texts.
    fn content(&self, width: usize) -> Vec<OverlayRow> {
        let Some(shown) = &self.shown else {
            return Vec::new();
        };
        let mut rows = self.prompt_rows(&clean(&shown.prompt), width);
        let columns = self.columns(shown);
        rows.extend(match width >= WIDE {
            true => side_by_side(&columns, width, None),
            false => {
                let [left, right] = columns.map(|column| stacked(&[column], width, None));
                let gap = std::iter::once(OverlayRow::default());
                left.into_iter().chain(gap).chain(right).collect()
            }
        });
        rows
    }

    /// Lays out the end of the prompt or, if the person asked for it, the whole prompt.
    fn prompt_rows(&self, prompt: &str, width: usize) -> Vec<OverlayRow> {
        let quiet = |text: &str| OverlayRow {
            spans: vec![(text.to_string(), SpanStyle::Quiet)],
            item: None,
        };
        let mut rows: Vec<OverlayRow> = Vec::new();
        for line in prompt.trim_end().split('\n') {
            let line = line.replace('\t', "    ");
            let wrapped = wrap(&line, width.max(1), 0);
            rows.extend(
                wrapped
                    .into_iter()
                    .map(|row| quiet(&line[row.start..row.end])),
            );
        }
        if !self.whole_prompt && rows.len() > PROMPT {
            rows.drain(..=rows.len() - PROMPT);
            rows.insert(0, quiet("…"));
        }
        rows.push(OverlayRow::default());
        rows
    }

    fn columns(&self, shown: &Candidates) -> [Column; 2] {
        let texts = [&shown.left, &shown.right];
        let mut columns = texts.map(|it| Column::new(&clean_line(&it.title)));
        let [left, right] = texts.map(|it| clean(it.text.trim()));
        if !self.differences {
            columns[0].push(&left, SpanStyle::Plain);
            columns[1].push(&right, SpanStyle::Plain);
            return columns;
        }
        for span in diff_words(&left, &right) {
            match span {
                DiffSpan::Both(text) => {
                    columns[0].push(&text, SpanStyle::Plain);
                    columns[1].push(&text, SpanStyle::Plain);
                }
                DiffSpan::Left(text) => columns[0].push(&text, SpanStyle::Left),
                DiffSpan::Right(text) => columns[1].push(&text, SpanStyle::Right),
            }
        }
        columns
    }
}

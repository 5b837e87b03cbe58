//! Computes the layout of the screen for any size, down to a single cell.

use super::app::App;
use super::half_blocks::PictureSlot;
use super::overlay::Overlay;
use super::paragraph::PictureBlock;
use super::wrap::wrap;
use crate::studio::Work;
use ratatui::layout::Rect;

/// The maximum width in cells of the column of text, chosen so that lines are easy to read.
const WIDEST: u16 = 88;
/// The maximum height of the input area in rows; longer input scrolls.
const INPUT_ROWS: u16 = 8;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Areas {
    pub story: Rect,
    pub message: Rect,
    pub rule: Rect,
    pub prompt: Rect,
    pub input: Rect,
    pub status: Rect,
}

/// Divides `area` into the areas of the screen, and wraps the texts to the widths of their areas.
pub fn layout(app: &mut App, area: Rect) -> Areas {
    let column = column(area);
    let mark = if column.width >= 12 { 2 } else { 0 };
    let input_width = column.width.saturating_sub(mark + 1);
    let most = INPUT_ROWS.min((area.height / 2).max(1));
    let input_rows = (app.input.fit(input_width.into()).len() as u16).clamp(1, most);
    let said = message(app, column.width.into()).len() as u16;
    let blank = u16::from(area.height >= 8);
    let mut below = BottomUpRows {
        column,
        bottom: area.bottom(),
    };
    let status = below.take(u16::from(area.height >= 3));
    let line = below.take(input_rows);
    let rule = below.take(u16::from(area.height >= 10));
    let message = below.take(said.max(blank).min(area.height / 3));
    let air = u16::from(area.height >= 16);
    let story = below.take(below.bottom - area.y - air);
    let areas = Areas {
        story,
        message,
        rule,
        prompt: Rect {
            width: mark.min(line.width),
            ..line
        },
        input: Rect {
            x: line.x + mark,
            width: line.width.saturating_sub(mark),
            ..line
        },
        status,
    };
    app.input.show(input_rows.into());
    let begins = app.studio.context_start();
    app.page.show_pictures(app.gallery.shows());
    app.page.show(app.studio.story(), begins);
    app.page.fit(story.width.into(), story.height.into());
    let preview = preview(app, story);
    if let Some(overlay) = &mut app.overlay {
        let width = story.width - preview.map_or(0, |(area, _)| area.width + 2);
        overlay.fit(width.into(), story.height.saturating_sub(2).into());
    }
    let frames = match (preview, &app.overlay) {
        (Some((_, frame)), _) => vec![frame],
        (None, Some(_)) => Vec::new(),
        (None, None) => frames(app).map(|(_, frame)| frame).collect(),
    };
    for frame in frames {
        app.gallery.request(frame, app.studio.picture(frame.node));
    }
    areas
}

/// The pictures that are visible on the page, each with the row of its top edge.
pub fn frames(app: &App) -> impl Iterator<Item = (i32, PictureSlot)> {
    let frame = |(top, block): (i32, PictureBlock)| {
        let frame = PictureSlot {
            node: block.node,
            width: block.width,
            height: block.height,
        };
        (top, frame)
    };
    app.page.pictures().into_iter().map(frame)
}

/// Returns the picture that is selected in a list, and the area for its preview at the right edge
/// of the screen. Returns None if no picture is selected or there is no room.
pub fn preview(app: &App, area: Rect) -> Option<(Rect, PictureSlot)> {
    let node = app.overlay.as_ref().and_then(Overlay::picture)?;
    let size = app.studio.story().picture(node)?;
    let room = (area.width / 2).min(40);
    if !app.gallery.shows() || room < 8 || area.height < 6 {
        return None;
    }
    let block = PictureBlock::fitted(node, (size.width, size.height), room, area.height - 2);
    let frame = PictureSlot {
        node,
        width: block.width,
        height: block.height,
    };
    let place = Rect {
        x: area.right() - frame.width,
        y: area.y + 1,
        width: frame.width,
        height: frame.height.min(area.height - 1),
    };
    Some((place, frame))
}

/// Returns the rows of text between the story and the input: the current message, and the progress
/// of loading a model.
pub fn message(app: &App, width: usize) -> Vec<String> {
    let mut rows = Vec::new();
    if let Some(message) = &app.message {
        for line in message.text.replace('\t', "    ").split('\n') {
            let ranges = wrap(line, width.max(1), 0).into_iter();
            rows.extend(ranges.map(|row| line[row].to_string()));
        }
    }
    if matches!(app.studio.work(), Work::Loading { .. }) {
        rows.push(app.meter.loading().to_string());
    }
    rows
}

/// The part of the screen in which text is shown: a column in the middle of a wide screen, or
/// almost the full width of a narrow screen.
fn column(area: Rect) -> Rect {
    let margin = match area.width {
        0..30 => 0,
        30..60 => 1,
        _ => 3,
    };
    let width = (area.width - 2 * margin).min(WIDEST);
    let x = area.x + (area.width - width) / 2;
    Rect { x, width, ..area }
}

/// Allocates the rows of the screen from the bottom up.
struct BottomUpRows {
    column: Rect,
    bottom: u16,
}

impl BottomUpRows {
    fn take(&mut self, rows: u16) -> Rect {
        let height = rows.min(self.bottom - self.column.y);
        self.bottom -= height;
        Rect {
            y: self.bottom,
            height,
            ..self.column
        }
    }
}

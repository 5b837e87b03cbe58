//! Draws the state of the app into a frame, and changes nothing else.

use super::app::App;
use super::areas::{self, Areas, message};
use super::complete::{Hints, ghost};
use super::gallery::PictureState;
use super::half_blocks::PictureSlot;
use super::message::Tone;
use super::overlay::Overlay;
use super::status::{self, StatusSegment};
use super::theme;
use super::wrap::{cells, shorten};
use crate::studio::Work;
use crate::studio::complete::Candidate;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// The maximum number of completion candidates on the screen.
const HINTS: usize = 7;

pub fn draw(frame: &mut ratatui::Frame, app: &App, areas: &Areas) {
    let buffer = frame.buffer_mut();
    match &app.overlay {
        Some(overlay) => {
            draw_overlay(buffer, areas.story, overlay, app.colour);
            if let Some((area, frame)) = areas::preview(app, areas.story) {
                draw_picture(buffer, area, app, 0, frame);
            }
        }
        None if app.page.is_empty() => draw_welcome(buffer, areas.story, app),
        None => draw_story(buffer, areas.story, app),
    }
    if let Some(hints) = app.hints.as_ref().filter(|_| app.overlay.is_none()) {
        draw_hints(buffer, areas.story, hints);
    }
    draw_message(buffer, areas.message, app);
    draw_rule(buffer, areas, app);
    draw_input(buffer, areas, app);
    draw_status(buffer, areas.status, app);
    let (row, column) = app.input.place();
    let shown = row.saturating_sub(app.input.top()) as u16;
    if areas.input.width > 0 && areas.input.height > 0 {
        let x = areas.input.x + (column as u16).min(areas.input.width - 1);
        frame.set_cursor_position((x, areas.input.y + shown.min(areas.input.height - 1)));
    }
}

fn draw_story(buffer: &mut Buffer, area: Rect, app: &App) {
    for (y, row) in app.page.rows().enumerate() {
        let mut x = 0;
        for (text, ink) in row {
            x = draw_text(
                buffer,
                area,
                (x, y),
                text,
                theme::text_style(ink, app.colour),
            );
        }
    }
    for (top, frame) in areas::frames(app) {
        draw_picture(buffer, area, app, top, frame);
    }
}

fn draw_picture(buffer: &mut Buffer, area: Rect, app: &App, top: i32, frame: PictureSlot) {
    let said = match app.gallery.draw(frame, area, top, buffer) {
        PictureState::Drawn => return,
        PictureState::Missing => "(this picture's file is missing)",
        // The picture appears soon.
        PictureState::Pending => "…",
    };
    if let Ok(y) = usize::try_from(top) {
        draw_text(buffer, area, (0, y), said, theme::quiet());
    }
}

fn draw_welcome(buffer: &mut Buffer, area: Rect, app: &App) {
    let lines = match app.studio.story().nodes() {
        [] => [
            "Write the first line of a story and press Enter:",
            "the model continues it. F1 shows help.",
        ],
        _ => [
            "You are before the first line. Use /redo,",
            "or write another first line.",
        ],
    };
    let y = if area.height < 9 {
        0
    } else {
        usize::from(area.height / 3)
    };
    draw_text(buffer, area, (0, y), "illumine", theme::strong());
    for (line, text) in lines.iter().enumerate() {
        let text = shorten(text, area.width.into());
        draw_text(buffer, area, (0, y + 2 + line), &text, theme::quiet());
    }
}

fn draw_overlay(buffer: &mut Buffer, area: Rect, overlay: &Overlay, colour: bool) {
    for (y, row) in overlay.rows().iter().enumerate() {
        let chosen = row.item.is_some() && row.item == overlay.chosen();
        let mut x = 0;
        for (text, look) in &row.spans {
            let style = match chosen {
                true => theme::chosen(),
                false => theme::span_style(*look, colour),
            };
            x = draw_text(buffer, area, (x, y), text, style);
        }
    }
    let picks = overlay.items() > 0;
    let hint = match (picks, overlay.shows_candidates(), overlay.scrolls()) {
        (_, true, _) => "← → or a number selects · Enter picks · Esc closes",
        (true, ..) => "↑ ↓ or a number selects · Enter picks · Esc closes",
        (false, _, true) => "Esc closes · ↑ ↓ PgUp PgDn scroll",
        (false, _, false) => "Esc closes",
    };
    let y = usize::from(area.height.max(1)) - 1;
    draw_text(buffer, area, (0, y), hint, theme::quiet());
}

fn draw_hints(buffer: &mut Buffer, area: Rect, hints: &Hints) {
    let found = &hints.candidates.found;
    let room = HINTS.min(usize::from(area.height).saturating_sub(1));
    let count = room.min(found.len());
    let chosen = hints.chosen.unwrap_or(0);
    let first = (chosen + 1).saturating_sub(count);
    let top = usize::from(area.height) - count;
    if let Some(above) = top.checked_sub(1).filter(|_| count > 0) {
        fill_row(buffer, area, above, "─", theme::quiet());
    }
    for (y, candidate) in found.iter().enumerate().skip(first).take(count) {
        let style = match hints.chosen == Some(y) {
            true => theme::chosen(),
            false => theme::quiet(),
        };
        let y = top + y - first;
        fill_row(buffer, area, y, " ", Style::new());
        let text = shorten(&hint_line(candidate), area.width.into());
        draw_text(buffer, area, (0, y), &text, style);
    }
}

fn hint_line(candidate: &Candidate) -> String {
    let (left, right) = match candidate.note.split_once('\t') {
        Some((usage, help)) => (usage, help),
        None => (candidate.word.as_str(), candidate.note.as_str()),
    };
    let pad = " ".repeat(24usize.saturating_sub(cells(left)));
    format!("{left}{pad}  {right}").trim_end().to_string()
}

fn draw_message(buffer: &mut Buffer, area: Rect, app: &App) {
    let rows = message(app, area.width.into());
    let tone = app
        .message
        .as_ref()
        .map_or(Tone::Info, |message| message.tone);
    let loading = matches!(app.studio.work(), Work::Loading { .. });
    let said = rows.len() - usize::from(loading);
    // If there is not enough room, the end matters more than the beginning.
    let skipped = rows.len().saturating_sub(area.height.into());
    for (y, row) in rows.iter().enumerate().skip(skipped) {
        let style = if y < said {
            theme::tone(tone, app.colour)
        } else {
            theme::quiet()
        };
        draw_text(
            buffer,
            area,
            (0, y - skipped),
            &shorten(row, area.width.into()),
            style,
        );
    }
    if loading && area.height > 0 {
        draw_gauge(buffer, area, app, rows.last().map_or(0, |row| cells(row)));
    }
}

/// While a model is loading, draws a progress bar in the last row of `area`, to the right of the
/// first `taken` cells.
fn draw_gauge(buffer: &mut Buffer, area: Rect, app: &App, taken: usize) {
    let Work::Loading {
        done,
        total: Some(total),
        ..
    } = app.studio.work()
    else {
        return;
    };
    let room = usize::from(area.width).saturating_sub(taken + 2);
    if room < 8 || *total == 0 {
        return;
    }
    let full = (room as u64 * done.min(total) / total) as usize;
    let y = usize::from(area.height) - 1;
    let x = draw_text(
        buffer,
        area,
        (taken + 2, y),
        &"━".repeat(full),
        Style::new(),
    );
    draw_text(
        buffer,
        area,
        (x, y),
        &"─".repeat(room - full),
        theme::quiet(),
    );
}

fn draw_rule(buffer: &mut Buffer, areas: &Areas, app: &App) {
    fill_row(buffer, areas.rule, 0, "─", theme::quiet());
    let rows = app.input.rows().len();
    let label = if let Some(node) = app.editing {
        format!(" editing #{node}: Enter saves, Esc cancels ")
    } else if app.overlay.is_none() && app.page.more() && !app.page.follows() {
        " ↓ more, End jumps to it ".to_string()
    } else if rows > usize::from(areas.input.height) {
        format!(" row {} of {rows} ", app.input.place().0 + 1)
    } else {
        return;
    };
    let area = if areas.rule.height > 0 {
        areas.rule
    } else {
        areas.story
    };
    let Some(x) = usize::from(area.width).checked_sub(cells(&label) + 2) else {
        return;
    };
    draw_text(
        buffer,
        area,
        (x, usize::from(area.height.max(1)) - 1),
        &label,
        theme::strong(),
    );
}

fn draw_input(buffer: &mut Buffer, areas: &Areas, app: &App) {
    draw_text(buffer, areas.prompt, (0, 0), "›", theme::strong());
    let input = &app.input;
    let width: usize = areas.input.width.into();
    for (y, row) in input.rows().iter().skip(input.top()).enumerate() {
        let text = input.text()[row.clone()].replace('\t', " ");
        draw_text(buffer, areas.input, (0, y), &text, Style::new());
    }
    let hint = match input.text() {
        "" if app.studio.writing() => Some("(Esc stops)".to_string()),
        "" if !app.page.is_empty() => Some("(Enter continues)".to_string()),
        _ if input.at_end() => ghost(input.text()),
        _ => None,
    };
    let (row, column) = input.place();
    if let Some(hint) = hint.filter(|_| row >= input.top()) {
        let text = shorten(&hint, width.saturating_sub(column));
        draw_text(
            buffer,
            areas.input,
            (column, row - input.top()),
            &text,
            theme::quiet(),
        );
    }
}

fn draw_status(buffer: &mut Buffer, area: Rect, app: &App) {
    let (left, right) = status::status_line(app, area.width.into());
    draw_parts(buffer, area, 0, &left, app.colour);
    let x = usize::from(area.width).saturating_sub(status::segments_width(&right));
    draw_parts(buffer, area, x, &right, app.colour);
}

fn draw_parts(
    buffer: &mut Buffer,
    area: Rect,
    mut x: usize,
    parts: &[StatusSegment],
    colour: bool,
) {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            x = draw_text(buffer, area, (x, 0), " · ", theme::quiet());
        }
        let style = theme::tone(part.tone, colour);
        x = draw_text(buffer, area, (x, 0), &part.text, style);
    }
}

/// Writes text into an area, clipped at the area's edges. Returns the column at which the text
/// ends.
fn draw_text(
    buffer: &mut Buffer,
    area: Rect,
    (x, y): (usize, usize),
    text: &str,
    style: Style,
) -> usize {
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    if x >= width || y >= height {
        return x;
    }
    let (left, top) = (area.x + x as u16, area.y + y as u16);
    let (end, _) = buffer.set_stringn(left, top, text, width - x, style);
    usize::from(end - area.x)
}

fn fill_row(buffer: &mut Buffer, area: Rect, y: usize, symbol: &str, style: Style) {
    draw_text(
        buffer,
        area,
        (0, y),
        &symbol.repeat(area.width.into()),
        style,
    );
}

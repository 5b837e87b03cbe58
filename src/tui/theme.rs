//! Styles: the terminal's sixteen colours, as the user configured them, or none with NO_COLOR.

use super::message::Tone;
use super::spans::{SpanStyle, TextRole};
use ratatui::style::{Color, Modifier, Style};

/// The style of a kind of text.
pub fn text_style(role: TextRole, colour: bool) -> Style {
    let plain = Style::new();
    match (role, colour) {
        (TextRole::Model, _) => plain,
        // Of the sixteen, the most readable one on both white and black.
        (TextRole::User, true) => plain.fg(Color::Magenta),
        (TextRole::Edited, true) => plain.fg(Color::Cyan),
        (TextRole::Edited, false) => plain.add_modifier(Modifier::UNDERLINED),
        (TextRole::User, false) => plain.add_modifier(Modifier::BOLD),
        (TextRole::Prompt | TextRole::Mark, _) => quiet(),
        (TextRole::Label, _) => quiet().add_modifier(Modifier::ITALIC),
    }
}

/// The style of a span in an overlay.
pub fn span_style(style: SpanStyle, colour: bool) -> Style {
    match (style, colour) {
        (SpanStyle::Plain, _) => Style::new(),
        (SpanStyle::Strong, _) => chosen(),
        (SpanStyle::Quiet, _) => quiet(),
        (SpanStyle::Left, true) => Style::new()
            .fg(Color::Red)
            .add_modifier(Modifier::CROSSED_OUT),
        (SpanStyle::Right, true) => Style::new()
            .fg(Color::Green)
            .add_modifier(Modifier::UNDERLINED),
        (SpanStyle::Beside, true) => Style::new().fg(Color::Cyan),
        (SpanStyle::Lore, true) => Style::new().fg(Color::Blue),
        (SpanStyle::Note, true) => Style::new().fg(Color::Magenta),
        (SpanStyle::Beside | SpanStyle::Lore | SpanStyle::Note, false) => quiet(),
        (SpanStyle::Left, false) => Style::new().add_modifier(Modifier::CROSSED_OUT),
        (SpanStyle::Right, false) => Style::new().add_modifier(Modifier::UNDERLINED),
    }
}

pub fn tone(tone: Tone, colour: bool) -> Style {
    match (tone, colour) {
        (Tone::Info, _) => quiet(),
        (Tone::Error, true) => strong().fg(Color::Red),
        // Yellow is unreadable on white.
        (Tone::Warning, _) | (Tone::Error, false) => strong(),
    }
}

/// Dim text. Not every terminal supports it, so the meaning must not depend on it.
pub fn quiet() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

pub fn strong() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

pub fn chosen() -> Style {
    Style::new().add_modifier(Modifier::REVERSED)
}

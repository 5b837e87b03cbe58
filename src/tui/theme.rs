//! The styles of text. They use the sixteen colours that the user has configured for the terminal,
//! or no colours if NO_COLOR is set.

use super::message::Tone;
use super::spans::{SpanStyle, TextRole};
use ratatui::style::{Color, Modifier, Style};

/// The style of a span of text on the page. `colour` is whether colours may be used.
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

/// The style of dim text. Not every terminal can show dim text, so no meaning may depend on this
/// style.
pub fn quiet() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

pub fn strong() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

pub fn chosen() -> Style {
    Style::new().add_modifier(Modifier::REVERSED)
}

//! Styles: the terminal's sixteen colours, which the user has chosen, or none with NO_COLOR.

use super::message::Tone;
use super::overlay::Look;
use super::page::Ink;
use ratatui::style::{Color, Modifier, Style};

/// The style of a kind of text.
pub fn ink(ink: Ink, colour: bool) -> Style {
    let plain = Style::new();
    match (ink, colour) {
        (Ink::Model, _) => plain,
        // Of the sixteen, the one that is read best on white and on black.
        (Ink::User, true) => plain.fg(Color::Magenta),
        (Ink::Edited, true) => plain.fg(Color::Cyan),
        (Ink::Edited, false) => plain.add_modifier(Modifier::UNDERLINED),
        (Ink::User, false) => plain.add_modifier(Modifier::BOLD),
        (Ink::Prompt | Ink::Mark, _) => quiet(),
        (Ink::Label, _) => quiet().add_modifier(Modifier::ITALIC),
    }
}

/// The style of a stretch in an overlay.
pub fn look(look: Look, colour: bool) -> Style {
    match (look, colour) {
        (Look::Plain, _) => Style::new(),
        (Look::Strong, _) => chosen(),
        (Look::Quiet, _) => quiet(),
        (Look::Left, true) => Style::new()
            .fg(Color::Red)
            .add_modifier(Modifier::CROSSED_OUT),
        (Look::Right, true) => Style::new()
            .fg(Color::Green)
            .add_modifier(Modifier::UNDERLINED),
        (Look::Beside, true) => Style::new().fg(Color::Cyan),
        (Look::Lore, true) => Style::new().fg(Color::Blue),
        (Look::Note, true) => Style::new().fg(Color::Magenta),
        (Look::Beside | Look::Lore | Look::Note, false) => quiet(),
        (Look::Left, false) => Style::new().add_modifier(Modifier::CROSSED_OUT),
        (Look::Right, false) => Style::new().add_modifier(Modifier::UNDERLINED),
    }
}

pub fn tone(tone: Tone, colour: bool) -> Style {
    match (tone, colour) {
        (Tone::Info, _) => quiet(),
        (Tone::Error, true) => strong().fg(Color::Red),
        // Yellow cannot be read on white.
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

//! How things look: the sixteen colours that every terminal has and every user has chosen, and
//! none of them where NO_COLOR asks for none.

use super::message::Tone;
use super::page::Ink;
use ratatui::style::{Color, Modifier, Style};

/// Who wrote what.
pub fn ink(ink: Ink, colour: bool) -> Style {
    let plain = Style::new();
    match (ink, colour) {
        (Ink::Model, _) => plain,
        // Of the sixteen, the one that is read best on white and on black.
        (Ink::User, true) => plain.fg(Color::Magenta),
        (Ink::User, false) => plain.add_modifier(Modifier::BOLD),
        (Ink::Prompt | Ink::Mark, _) => quiet(),
        (Ink::Label, _) => quiet().add_modifier(Modifier::ITALIC),
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

/// Not every terminal dims; what is quiet must not need it to be understood.
pub fn quiet() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

pub fn strong() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

pub fn chosen() -> Style {
    Style::new().add_modifier(Modifier::REVERSED)
}

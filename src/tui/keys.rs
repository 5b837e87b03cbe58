//! One table of keys: what each does, its slash twin, and the help that lists them.
//!
//! Only keys that every terminal sends. What an action does to the screen is `app`'s business.

use super::input::Edit;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Enter.
    Submit,
    Newline,
    /// The same as typing this line.
    Run(&'static str),
    /// Puts this into an empty line, to be gone on with.
    Begin(&'static str),
    /// Alt+I: the model writes the writer's line.
    Impersonate,
    /// Esc: stop, or close.
    Escape,
    /// Ctrl+C: stop, or clear, or leave.
    Interrupt,
    Leave,
    Keys,
    Redraw,
    Suspend,
    /// A key that the writer has switched off.
    Nothing,
    Complete,
    CompleteBack,
    /// Ctrl+G: the writer's own editor.
    Editor,
    Scroll(Scroll),
    Edit(Edit),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scroll {
    PageUp,
    PageDown,
    LineUp,
    LineDown,
    Top,
    Bottom,
}

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Key {
    pub(super) code: KeyCode,
    pub(super) modifiers: KeyModifiers,
    /// Only while nothing is typed.
    pub(super) empty: bool,
    pub action: Action,
    /// Empty for another key of the row above, and for what every line editor does.
    pub(super) help: &'static str,
}

pub(super) const NONE: KeyModifiers = KeyModifiers::NONE;
pub(super) const ALT: KeyModifiers = KeyModifiers::ALT;
pub(super) const CTRL: KeyModifiers = KeyModifiers::CONTROL;
pub(super) const SHIFT: KeyModifiers = KeyModifiers::SHIFT;

const fn key(modifiers: KeyModifiers, code: KeyCode, action: Action, help: &'static str) -> Key {
    Key {
        code,
        modifiers,
        empty: false,
        action,
        help,
    }
}

const fn when_empty(
    modifiers: KeyModifiers,
    code: KeyCode,
    action: Action,
    help: &'static str,
) -> Key {
    Key {
        code,
        modifiers,
        empty: true,
        action,
        help,
    }
}

const fn edit(modifiers: KeyModifiers, code: KeyCode, edit: Edit) -> Key {
    key(modifiers, code, Action::Edit(edit), "")
}

/// Every key there is; the first row that fits is taken.
pub const KEYS: &[Key] = &[
    key(
        NONE,
        KeyCode::Enter,
        Action::Submit,
        "write the line; with none, let the model write on",
    ),
    key(
        ALT,
        KeyCode::Enter,
        Action::Run("/continue"),
        "let the model write on",
    ),
    key(
        ALT,
        KeyCode::Char('r'),
        Action::Run("/retry"),
        "write the last passage again; the old one is kept",
    ),
    key(CTRL, KeyCode::Char('r'), Action::Run("/retry"), ""),
    when_empty(
        NONE,
        KeyCode::Left,
        Action::Run("/prev"),
        "the version before (arrow: while nothing is typed)",
    ),
    key(ALT, KeyCode::Up, Action::Run("/prev"), ""),
    when_empty(
        NONE,
        KeyCode::Right,
        Action::Run("/next"),
        "the next version, or a new one",
    ),
    key(ALT, KeyCode::Down, Action::Run("/next"), ""),
    key(
        ALT,
        KeyCode::Char('n'),
        Action::Run("/gen"),
        "write four continuations side by side and pick one",
    ),
    when_empty(
        ALT,
        KeyCode::Left,
        Action::Run("/parent"),
        "to the passage before (while nothing is typed)",
    ),
    when_empty(
        ALT,
        KeyCode::Right,
        Action::Run("/child"),
        "to the passage after",
    ),
    key(
        ALT,
        KeyCode::Char('t'),
        Action::Run("/tree"),
        "every passage and branch",
    ),
    key(
        ALT,
        KeyCode::Char('a'),
        Action::Run("/alts"),
        "what could come next, word by word",
    ),
    key(
        ALT,
        KeyCode::Char('p'),
        Action::Run("/image"),
        "draw a picture of the last passage",
    ),
    key(
        ALT,
        KeyCode::Char('c'),
        Action::Run("/branch"),
        "name this place and begin a branch",
    ),
    key(
        ALT,
        KeyCode::Char('s'),
        Action::Begin("/branch "),
        "begin a branch inside a passage: 12.3, 12:words",
    ),
    key(
        ALT,
        KeyCode::Char('i'),
        Action::Impersonate,
        "let the model write your line, or end it; change it and send it",
    ),
    key(
        ALT,
        KeyCode::Char('w'),
        Action::Begin("/instruct "),
        "say what the next passage shall do",
    ),
    when_empty(
        NONE,
        KeyCode::Up,
        Action::Run("/edit"),
        "change the last passage (while nothing is typed)",
    ),
    key(ALT, KeyCode::Char('e'), Action::Run("/edit"), ""),
    key(
        CTRL,
        KeyCode::Up,
        Action::Run("/edit mine"),
        "change the last passage of your own",
    ),
    key(
        ALT,
        KeyCode::Char('m'),
        Action::Run("/merge"),
        "make the last passage one with the one before it",
    ),
    when_empty(
        ALT,
        KeyCode::Backspace,
        Action::Run("/delete"),
        "take the last passage out (while nothing is typed)",
    ),
    key(
        CTRL,
        KeyCode::Char('g'),
        Action::Editor,
        "your own editor, on what is typed",
    ),
    key(
        ALT,
        KeyCode::Char('u'),
        Action::Run("/undo"),
        "go back one step",
    ),
    key(
        CTRL,
        KeyCode::Char('y'),
        Action::Run("/redo"),
        "go forward again",
    ),
    key(
        ALT.union(SHIFT),
        KeyCode::Char('u'),
        Action::Run("/redo"),
        "",
    ),
    key(
        NONE,
        KeyCode::Esc,
        Action::Escape,
        "stop the model and keep what it wrote; else close what is open",
    ),
    key(
        CTRL,
        KeyCode::Char('c'),
        Action::Interrupt,
        "stop, then clear the line, then twice: leave",
    ),
    when_empty(
        CTRL,
        KeyCode::Char('d'),
        Action::Leave,
        "leave (while nothing is typed)",
    ),
    key(
        CTRL,
        KeyCode::Char('j'),
        Action::Newline,
        "a new line in what you type; \\ and Enter is the same",
    ),
    key(NONE, KeyCode::Tab, Action::Complete, "complete a command"),
    key(SHIFT, KeyCode::BackTab, Action::CompleteBack, ""),
    key(
        CTRL,
        KeyCode::Char('p'),
        Action::Edit(Edit::Up),
        "lines written before (↑ ↓ while something is typed)",
    ),
    key(CTRL, KeyCode::Char('n'), Action::Edit(Edit::Down), ""),
    edit(NONE, KeyCode::Up, Edit::Up),
    edit(NONE, KeyCode::Down, Edit::Down),
    key(
        NONE,
        KeyCode::PageUp,
        Action::Scroll(Scroll::PageUp),
        "scroll by a page",
    ),
    key(
        NONE,
        KeyCode::PageDown,
        Action::Scroll(Scroll::PageDown),
        "",
    ),
    key(
        SHIFT,
        KeyCode::Up,
        Action::Scroll(Scroll::LineUp),
        "scroll by a line",
    ),
    key(SHIFT, KeyCode::Down, Action::Scroll(Scroll::LineDown), ""),
    key(
        CTRL,
        KeyCode::Home,
        Action::Scroll(Scroll::Top),
        "to the story's beginning",
    ),
    when_empty(NONE, KeyCode::Home, Action::Scroll(Scroll::Top), ""),
    key(
        CTRL,
        KeyCode::End,
        Action::Scroll(Scroll::Bottom),
        "to the story's end",
    ),
    when_empty(NONE, KeyCode::End, Action::Scroll(Scroll::Bottom), ""),
    when_empty(NONE, KeyCode::Char('?'), Action::Keys, "this list"),
    key(NONE, KeyCode::F(1), Action::Keys, ""),
    key(
        CTRL,
        KeyCode::Char('l'),
        Action::Redraw,
        "draw the screen again",
    ),
    key(
        CTRL,
        KeyCode::Char('z'),
        Action::Suspend,
        "to the shell; fg comes back",
    ),
    edit(NONE, KeyCode::Left, Edit::Left),
    edit(NONE, KeyCode::Right, Edit::Right),
    edit(CTRL, KeyCode::Char('b'), Edit::Left),
    edit(CTRL, KeyCode::Char('f'), Edit::Right),
    edit(CTRL, KeyCode::Left, Edit::WordLeft),
    edit(CTRL, KeyCode::Right, Edit::WordRight),
    edit(ALT, KeyCode::Left, Edit::WordLeft),
    edit(ALT, KeyCode::Right, Edit::WordRight),
    edit(ALT, KeyCode::Char('b'), Edit::WordLeft),
    edit(ALT, KeyCode::Char('f'), Edit::WordRight),
    edit(NONE, KeyCode::Home, Edit::Home),
    edit(NONE, KeyCode::End, Edit::End),
    edit(CTRL, KeyCode::Char('a'), Edit::Home),
    edit(CTRL, KeyCode::Char('e'), Edit::End),
    edit(NONE, KeyCode::Backspace, Edit::Backspace),
    edit(SHIFT, KeyCode::Backspace, Edit::Backspace),
    edit(CTRL, KeyCode::Char('h'), Edit::Backspace),
    edit(NONE, KeyCode::Delete, Edit::Delete),
    edit(CTRL, KeyCode::Char('d'), Edit::Delete),
    edit(CTRL, KeyCode::Char('w'), Edit::DeleteWord),
    edit(ALT, KeyCode::Backspace, Edit::DeleteWord),
    edit(ALT, KeyCode::Char('d'), Edit::DeleteWordRight),
    edit(CTRL, KeyCode::Char('u'), Edit::DeleteToHome),
    edit(CTRL, KeyCode::Char('k'), Edit::DeleteToEnd),
];

/// The character that a key types, if it types one.
pub fn typed(event: &KeyEvent) -> Option<char> {
    let alone = event.modifiers.difference(SHIFT).is_empty();
    match event.code {
        KeyCode::Char(c) if alone => Some(c),
        _ => None,
    }
}

/// Terminals differ in whether a capital comes with Shift.
pub(super) fn plain(event: &KeyEvent) -> (KeyCode, KeyModifiers) {
    match event.code {
        KeyCode::Char(c) if c.is_ascii_uppercase() => (
            KeyCode::Char(c.to_ascii_lowercase()),
            event.modifiers | SHIFT,
        ),
        KeyCode::BackTab => (KeyCode::BackTab, SHIFT),
        code => (code, event.modifiers),
    }
}

impl Key {
    pub(super) fn label(&self) -> String {
        let mut label = String::new();
        for (modifier, name) in [(CTRL, "Ctrl+"), (ALT, "Alt+"), (SHIFT, "Shift+")] {
            if self.modifiers.contains(modifier) {
                label += name;
            }
        }
        label
            + &match self.code {
                KeyCode::Char(c) => c.to_ascii_uppercase().to_string(),
                KeyCode::F(n) => format!("F{n}"),
                KeyCode::Left => "←".to_string(),
                KeyCode::Right => "→".to_string(),
                KeyCode::Up => "↑".to_string(),
                KeyCode::Down => "↓".to_string(),
                KeyCode::PageUp => "PgUp".to_string(),
                KeyCode::PageDown => "PgDn".to_string(),
                KeyCode::BackTab => "Tab".to_string(),
                other => format!("{other:?}"),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::super::keymap::Keymap;
    use super::*;
    use crate::story::command;

    #[test]
    fn no_key_stands_twice() {
        let mut seen = std::collections::HashSet::new();
        for key in KEYS {
            assert!(
                seen.insert((key.code, key.modifiers, key.empty)),
                "{} twice",
                key.label()
            );
        }
    }

    #[test]
    fn every_story_key_has_a_slash_twin() {
        for key in KEYS {
            if let Action::Run(twin) = key.action {
                assert!(command::parse(twin).is_ok(), "{twin}");
            }
        }
    }

    #[test]
    fn a_capital_with_and_without_shift_is_one_key() {
        for modifiers in [ALT, ALT | SHIFT] {
            let event = KeyEvent::new(KeyCode::Char('U'), modifiers);
            assert_eq!(
                Keymap::default().find(&event, true),
                Some(Action::Run("/redo"))
            );
        }
        let event = KeyEvent::new(KeyCode::Char('U'), NONE);
        assert_eq!(
            (Keymap::default().find(&event, true), typed(&event)),
            (None, Some('U'))
        );
    }

    #[test]
    fn help_lists_every_row_once() {
        insta::assert_snapshot!(Keymap::default().help().join("\n"));
    }
}

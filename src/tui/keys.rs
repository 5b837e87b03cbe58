//! The table of key bindings: each key with its action, the equivalent command and a help text.
//!
//! The table contains only keys that every terminal sends. The module `app` performs the actions.

use super::input::Edit;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// The action that a key triggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Enter: sends the input line or picks the selected item of a list.
    Submit,
    Newline,
    /// Runs this line as if the writer had typed it.
    Run(&'static str),
    /// Puts this text into the empty input line for the writer to complete.
    Begin(&'static str),
    /// Alt+I: lets the model draft the writer's line.
    Impersonate,
    /// Esc: stops generation, closes what is open, or cancels editing.
    Escape,
    /// Ctrl+C: stops generation or clears the input; pressed twice, quits.
    Interrupt,
    Leave,
    Keys,
    Redraw,
    Suspend,
    /// Does nothing: the writer has disabled the key.
    Nothing,
    Complete,
    CompleteBack,
    /// Ctrl+G: opens the text of the input line in the writer's own editor.
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

/// A key binding: a key, its action and its help text.
#[derive(Clone, Debug)]
pub struct KeyBinding {
    pub(super) code: KeyCode,
    pub(super) modifiers: KeyModifiers,
    /// Whether the key works only while the input line is empty.
    pub(super) empty: bool,
    pub action: Action,
    /// The help text. It is empty for common line-editing keys, and for a key that is an
    /// alternative to the key in the preceding row.
    pub(super) help: &'static str,
}

pub(super) const NONE: KeyModifiers = KeyModifiers::NONE;
pub(super) const ALT: KeyModifiers = KeyModifiers::ALT;
pub(super) const CTRL: KeyModifiers = KeyModifiers::CONTROL;
pub(super) const SHIFT: KeyModifiers = KeyModifiers::SHIFT;

const fn key(
    modifiers: KeyModifiers,
    code: KeyCode,
    action: Action,
    help: &'static str,
) -> KeyBinding {
    KeyBinding {
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
) -> KeyBinding {
    KeyBinding {
        code,
        modifiers,
        empty: true,
        action,
        help,
    }
}

const fn edit(modifiers: KeyModifiers, code: KeyCode, edit: Edit) -> KeyBinding {
    key(modifiers, code, Action::Edit(edit), "")
}

/// The built-in key bindings. If several bindings match a key, the first is used.
pub const KEYS: &[KeyBinding] = &[
    key(
        NONE,
        KeyCode::Enter,
        Action::Submit,
        "send the line; on an empty line, continue the story",
    ),
    key(
        ALT,
        KeyCode::Enter,
        Action::Run("/continue"),
        "continue the story",
    ),
    key(
        ALT,
        KeyCode::Char('r'),
        Action::Run("/retry"),
        "regenerate the last passage, keeping the old version",
    ),
    key(CTRL, KeyCode::Char('r'), Action::Run("/retry"), ""),
    when_empty(
        NONE,
        KeyCode::Left,
        Action::Run("/prev"),
        "previous version (← only on an empty line)",
    ),
    key(ALT, KeyCode::Up, Action::Run("/prev"), ""),
    when_empty(
        NONE,
        KeyCode::Right,
        Action::Run("/next"),
        "next version, or generate a new one",
    ),
    key(ALT, KeyCode::Down, Action::Run("/next"), ""),
    key(
        ALT,
        KeyCode::Char('n'),
        Action::Run("/gen"),
        "generate four continuations and pick one",
    ),
    when_empty(
        ALT,
        KeyCode::Left,
        Action::Run("/parent"),
        "previous passage (on an empty line)",
    ),
    when_empty(ALT, KeyCode::Right, Action::Run("/child"), "next passage"),
    key(
        ALT,
        KeyCode::Char('t'),
        Action::Run("/tree"),
        "show all passages and branches",
    ),
    key(
        ALT,
        KeyCode::Char('a'),
        Action::Run("/alts"),
        "list alternatives for the next word",
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
        "start a branch here",
    ),
    key(
        ALT,
        KeyCode::Char('s'),
        Action::Begin("/branch "),
        "start a branch inside a passage: 12.3 (after sentence 3 of passage 12) or 12:WORDS (after these words)",
    ),
    key(
        ALT,
        KeyCode::Char('i'),
        Action::Impersonate,
        "let the model draft or finish your line",
    ),
    key(
        ALT,
        KeyCode::Char('w'),
        Action::Begin("/instruct "),
        "give an instruction for the next passage",
    ),
    when_empty(
        NONE,
        KeyCode::Up,
        Action::Run("/edit"),
        "edit the last passage (↑ only on an empty line)",
    ),
    key(ALT, KeyCode::Char('e'), Action::Run("/edit"), ""),
    key(
        CTRL,
        KeyCode::Up,
        Action::Run("/edit mine"),
        "edit your last passage",
    ),
    key(
        ALT,
        KeyCode::Char('m'),
        Action::Run("/merge"),
        "merge the last passage into the one before it",
    ),
    when_empty(
        ALT,
        KeyCode::Backspace,
        Action::Run("/delete"),
        "delete the last passage (on an empty line)",
    ),
    key(
        CTRL,
        KeyCode::Char('g'),
        Action::Editor,
        "open the line in your own editor",
    ),
    key(ALT, KeyCode::Char('u'), Action::Run("/undo"), "undo"),
    key(CTRL, KeyCode::Char('y'), Action::Run("/redo"), "redo"),
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
        "stop generating and keep the text so far; otherwise close the open list",
    ),
    key(
        CTRL,
        KeyCode::Char('c'),
        Action::Interrupt,
        "stop, then clear the line; twice on an empty line: quit",
    ),
    when_empty(
        CTRL,
        KeyCode::Char('d'),
        Action::Leave,
        "quit (on an empty line)",
    ),
    key(
        CTRL,
        KeyCode::Char('j'),
        Action::Newline,
        "line break (also \\ then Enter)",
    ),
    key(NONE, KeyCode::Tab, Action::Complete, "complete a command"),
    key(SHIFT, KeyCode::BackTab, Action::CompleteBack, ""),
    key(
        CTRL,
        KeyCode::Char('p'),
        Action::Edit(Edit::Up),
        "input history (↑ ↓ while the line is not empty)",
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
        "go to the start of the story",
    ),
    when_empty(NONE, KeyCode::Home, Action::Scroll(Scroll::Top), ""),
    key(
        CTRL,
        KeyCode::End,
        Action::Scroll(Scroll::Bottom),
        "go to the end of the story",
    ),
    when_empty(NONE, KeyCode::End, Action::Scroll(Scroll::Bottom), ""),
    when_empty(
        NONE,
        KeyCode::Char('?'),
        Action::Keys,
        "show all keys and commands",
    ),
    key(NONE, KeyCode::F(1), Action::Keys, ""),
    key(
        CTRL,
        KeyCode::Char('l'),
        Action::Redraw,
        "redraw the screen",
    ),
    key(
        CTRL,
        KeyCode::Char('z'),
        Action::Suspend,
        "suspend; resume with fg",
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

/// The character that a key types, if any.
pub fn typed(event: &KeyEvent) -> Option<char> {
    let alone = event.modifiers.difference(SHIFT).is_empty();
    match event.code {
        KeyCode::Char(c) if alone => Some(c),
        _ => None,
    }
}

/// Returns the code and modifiers of a key in a normal form. This is necessary because only some
/// terminals report Shift together with a capital letter.
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

impl KeyBinding {
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
    use story::command;

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

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
    /// Esc: stop, or close, or clear.
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
    code: KeyCode,
    modifiers: KeyModifiers,
    /// Only while nothing is typed.
    empty: bool,
    pub action: Action,
    /// Empty for another key of the row above, and for what every line editor does.
    help: &'static str,
}

const NONE: KeyModifiers = KeyModifiers::NONE;
const ALT: KeyModifiers = KeyModifiers::ALT;
const CTRL: KeyModifiers = KeyModifiers::CONTROL;
const SHIFT: KeyModifiers = KeyModifiers::SHIFT;

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
        KeyCode::Char('c'),
        Action::Run("/branch"),
        "name this place and begin a branch",
    ),
    when_empty(
        NONE,
        KeyCode::Up,
        Action::Run("/edit"),
        "change the last passage (while nothing is typed)",
    ),
    key(ALT, KeyCode::Char('e'), Action::Run("/edit"), ""),
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
        "stop the model and keep what it wrote; else close or clear",
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

/// The table, with the writer's own keys before it.
#[derive(Clone, Debug, Default)]
pub struct Keymap {
    own: Vec<Key>,
}

/// A key of the configuration that cannot be used, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(String);

impl Keymap {
    /// Reads pairs such as `alt+g` and `/gen n=2`. A key given to `none` does nothing.
    pub fn new<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Keymap, KeyError> {
        let mut own: Vec<Key> = Vec::new();
        for (name, command) in pairs {
            let (modifiers, code) = named(name).ok_or_else(|| {
                KeyError(format!(
                    "{name:?} is no key; write it as in \"alt+g\", \"ctrl+up\" or \"f5\""
                ))
            })?;
            if own
                .iter()
                .any(|key| (key.modifiers, key.code) == (modifiers, code))
            {
                return Err(KeyError(format!("the key {name} is given twice")));
            }
            let plain = modifiers.difference(SHIFT).is_empty();
            if plain && matches!(code, KeyCode::Char(_) | KeyCode::Enter) {
                let why = format!("the key {name} is needed for writing; add ctrl or alt to it");
                return Err(KeyError(why));
            }
            let action = match command {
                "none" => Action::Nothing,
                line if !line.starts_with('/') => {
                    let why =
                        format!("the key {name} takes a command, as in \"/gen n=2\", or \"none\"");
                    return Err(KeyError(why));
                }
                line => {
                    let parsed = crate::story::command::parse(line);
                    parsed.map_err(|error| KeyError(format!("the key {name}: {error}")))?;
                    // A handful of lines that live as long as the program.
                    Action::Run(String::leak(line.to_string()))
                }
            };
            own.push(Key {
                code,
                modifiers,
                empty: false,
                action,
                help: "your own",
            });
        }
        Ok(Keymap { own })
    }

    /// What a key does while something is typed, or nothing is.
    pub fn find(&self, event: &KeyEvent, empty: bool) -> Option<Action> {
        let (code, modifiers) = plain(event);
        let fits =
            |key: &&Key| key.code == code && key.modifiers == modifiers && (empty || !key.empty);
        self.all().find(fits).map(|key| key.action)
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        self.own.iter().chain(KEYS)
    }

    /// What F1 shows: the keys with their slash twins.
    pub fn help(&self) -> Vec<String> {
        let mut rows: Vec<(String, &Key)> = Vec::new();
        let taken = |key: &Key| {
            let own = |own: &&Key| (own.code, own.modifiers) == (key.code, key.modifiers);
            key.help != "your own" && self.own.iter().any(|key| own(&key))
        };
        for key in self.all().filter(|key| !taken(key)) {
            match rows.last_mut() {
                _ if !key.help.is_empty() => rows.push((key.label(), key)),
                Some((labels, last)) if same(last.action, key.action) => {
                    *labels = format!("{labels}, {}", key.label());
                }
                _ => {}
            }
        }
        let line = |(labels, key): &(String, &Key)| {
            let twin = match key.action {
                Action::Run(twin) => format!(" ({twin})"),
                Action::Leave => " (/quit)".to_string(),
                _ => String::new(),
            };
            format!("  {labels:<20} {}{twin}", key.help)
        };
        rows.iter().map(line).collect()
    }
}

/// A key by name: `ctrl+`, `alt+` and `shift+`, then a character or a key's name.
fn named(name: &str) -> Option<(KeyModifiers, KeyCode)> {
    let name = name.to_lowercase();
    let mut words: Vec<&str> = name.split('+').map(str::trim).collect();
    let key = words.pop()?;
    let mut modifiers = NONE;
    for word in words {
        modifiers |= match word {
            "ctrl" | "control" => CTRL,
            "alt" | "meta" => ALT,
            "shift" => SHIFT,
            _ => return None,
        };
    }
    let code = match key {
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        "pageup" => KeyCode::PageUp,
        "pagedown" => KeyCode::PageDown,
        "backspace" => KeyCode::Backspace,
        "delete" => KeyCode::Delete,
        "enter" => KeyCode::Enter,
        "tab" => KeyCode::Tab,
        "space" => KeyCode::Char(' '),
        _ => match (
            key.strip_prefix('f').and_then(|n| n.parse().ok()),
            key.chars().count(),
        ) {
            (Some(n), _) if (1..=24).contains(&n) => KeyCode::F(n),
            (_, 1) => KeyCode::Char(key.chars().next()?),
            _ => return None,
        },
    };
    Some((modifiers, code))
}

/// The character that a key types, if it types one.
pub fn typed(event: &KeyEvent) -> Option<char> {
    let alone = event.modifiers.difference(SHIFT).is_empty();
    match event.code {
        KeyCode::Char(c) if alone => Some(c),
        _ => None,
    }
}

/// Terminals differ in whether a capital comes with Shift.
fn plain(event: &KeyEvent) -> (KeyCode, KeyModifiers) {
    match event.code {
        KeyCode::Char(c) if c.is_ascii_uppercase() => (
            KeyCode::Char(c.to_ascii_lowercase()),
            event.modifiers | SHIFT,
        ),
        KeyCode::BackTab => (KeyCode::BackTab, SHIFT),
        code => (code, event.modifiers),
    }
}

/// Whether two keys share a line of the help.
fn same(one: Action, other: Action) -> bool {
    match (one, other) {
        (Action::Scroll(one), Action::Scroll(other)) => {
            let ends = |scroll| matches!(scroll, Scroll::Top | Scroll::Bottom);
            !ends(one) || one == other
        }
        (Action::Complete, Action::CompleteBack) => true,
        (Action::Edit(Edit::Up), Action::Edit(Edit::Down)) => true,
        _ => one == other,
    }
}

impl Key {
    fn label(&self) -> String {
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
    fn a_writers_own_keys_come_first_and_wrong_ones_are_said() {
        let map =
            Keymap::new([("alt+r", "/gen n=2"), ("f5", "/tree"), ("ctrl+y", "none")]).unwrap();
        let find = |modifiers, code| map.find(&KeyEvent::new(code, modifiers), true);
        assert_eq!(find(ALT, KeyCode::Char('r')), Some(Action::Run("/gen n=2")));
        assert_eq!(find(NONE, KeyCode::F(5)), Some(Action::Run("/tree")));
        assert_eq!(find(CTRL, KeyCode::Char('y')), Some(Action::Nothing));
        let help = map.help().join("\n");
        assert!(
            help.contains("your own (/gen n=2)") && !help.contains("(/retry)"),
            "{help}"
        );
        for (key, command, part) in [
            ("alt+", "/tree", "is no key"),
            ("hyper+x", "/tree", "is no key"),
            ("x", "/tree", "needed for writing"),
            ("alt+x", "tree", "takes a command"),
            ("alt+x", "/teee", "no command /teee"),
        ] {
            let error = Keymap::new([(key, command)]).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn help_lists_every_row_once() {
        insta::assert_snapshot!(Keymap::default().help().join("\n"));
    }
}

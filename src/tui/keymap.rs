//! The key bindings in effect: the built-in table and the writer's own bindings, which take
//! precedence.

use super::input::Edit;
use super::keys::{ALT, Action, CTRL, KEYS, KeyBinding, NONE, SHIFT, Scroll, plain};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// All key bindings. The writer's own bindings take precedence over the built-in table.
#[derive(Clone, Debug, Default)]
pub struct Keymap {
    own: Vec<KeyBinding>,
}

/// The error for an invalid key binding in the configuration, described in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(String);

impl Keymap {
    /// Creates the key bindings from pairs of a key name and a command, such as `alt+g` and `/gen
    /// n=2`. A key that is bound to `none` does nothing.
    pub fn new<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Keymap, KeyError> {
        let mut own: Vec<KeyBinding> = Vec::new();
        for (name, command) in pairs {
            let (modifiers, code) = named(name).ok_or_else(|| {
                KeyError(format!(
                    "{name:?} is not a key; examples are \"alt+g\", \"ctrl+up\" and \"f5\""
                ))
            })?;
            if own
                .iter()
                .any(|key| (key.modifiers, key.code) == (modifiers, code))
            {
                return Err(KeyError(format!("the key {name} is bound twice")));
            }
            let plain = modifiers.difference(SHIFT).is_empty();
            if plain && matches!(code, KeyCode::Char(_) | KeyCode::Enter) {
                let why = format!("the key {name} is needed for typing; add ctrl or alt");
                return Err(KeyError(why));
            }
            let action = match command {
                line if !line.starts_with('/') => action(line).ok_or_else(|| {
                    let names = ACTIONS.map(|(name, _)| name).join(", ");
                    let why = format!(
                        "the key {name} needs a command, for example \"/gen n=2\", or one of {names}"
                    );
                    KeyError(why)
                })?,
                line => {
                    let parsed = story::command::parse(line);
                    parsed.map_err(|error| KeyError(format!("the key {name}: {error}")))?;
                    // Leaks only a few lines, which are needed as long as the program runs.
                    Action::Run(String::leak(line.to_string()))
                }
            };
            own.push(KeyBinding {
                code,
                modifiers,
                empty: false,
                action,
                help: "your own",
            });
        }
        Ok(Keymap { own })
    }

    /// The action of a key. `empty` says whether the input line is empty, because some keys work
    /// only then.
    pub fn find(&self, event: &KeyEvent, empty: bool) -> Option<Action> {
        let (code, modifiers) = plain(event);
        let fits = |key: &&KeyBinding| {
            key.code == code && key.modifiers == modifiers && (empty || !key.empty)
        };
        self.all().find(fits).map(|key| key.action)
    }

    fn all(&self) -> impl Iterator<Item = &KeyBinding> {
        self.own.iter().chain(KEYS)
    }

    /// The key table as lines of text for F1: in each line the keys, a description, and the
    /// equivalent command if there is one.
    pub fn help(&self) -> Vec<String> {
        let line = |row: &Row| {
            let twin = row.command.map(|command| format!(" ({command})"));
            format!(
                "  {:<20} {}{}",
                row.keys,
                row.help,
                twin.unwrap_or_default()
            )
        };
        self.rows().iter().map(line).collect()
    }

    /// The rows of the key table in the help and in README. Keys with related actions share a row.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<(Row, Action)> = Vec::new();
        let taken = |key: &KeyBinding| {
            let own = |own: &&KeyBinding| (own.code, own.modifiers) == (key.code, key.modifiers);
            key.help != "your own" && self.own.iter().any(|key| own(&key))
        };
        for key in self.all().filter(|key| !taken(key)) {
            match rows.last_mut() {
                _ if !key.help.is_empty() => rows.push((Row::new(key), key.action)),
                Some((row, last)) if same(*last, key.action) => {
                    row.keys += &format!(", {}", key.label());
                }
                _ => {}
            }
        }
        rows.into_iter().map(|(row, _)| row).collect()
    }
}

/// One row of the displayed key table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub keys: String,
    /// The command that does the same as the keys, if there is one.
    pub command: Option<&'static str>,
    pub help: &'static str,
}

impl Row {
    fn new(key: &KeyBinding) -> Row {
        Row {
            keys: key.label(),
            command: match key.action {
                Action::Run(twin) => Some(twin),
                Action::Begin(twin) => Some(twin.trim()),
                Action::Impersonate => Some("/impersonate"),
                Action::Leave => Some("/quit"),
                _ => None,
            },
            help: key.help,
        }
    }
}

/// The actions, by name, that a key can be bound to instead of a command.
const ACTIONS: [(&str, Action); 22] = [
    ("none", Action::Nothing),
    ("stop", Action::Escape),
    ("interrupt", Action::Interrupt),
    ("quit", Action::Leave),
    ("keys", Action::Keys),
    ("redraw", Action::Redraw),
    ("suspend", Action::Suspend),
    ("editor", Action::Editor),
    ("impersonate", Action::Impersonate),
    ("newline", Action::Newline),
    ("submit", Action::Submit),
    ("complete", Action::Complete),
    ("complete-back", Action::CompleteBack),
    ("older", Action::Edit(Edit::Up)),
    ("newer", Action::Edit(Edit::Down)),
    ("page-up", Action::Scroll(Scroll::PageUp)),
    ("page-down", Action::Scroll(Scroll::PageDown)),
    ("line-up", Action::Scroll(Scroll::LineUp)),
    ("line-down", Action::Scroll(Scroll::LineDown)),
    ("top", Action::Scroll(Scroll::Top)),
    ("bottom", Action::Scroll(Scroll::Bottom)),
    ("backspace", Action::Edit(Edit::Backspace)),
];

fn action(name: &str) -> Option<Action> {
    let name = name.to_lowercase();
    let found = ACTIONS.iter().find(|(known, _)| *known == name);
    found.map(|(_, action)| *action)
}

/// Parses a key name: any of the modifiers `ctrl+`, `alt+` and `shift+`, then a character or the
/// name of a key.
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
        "esc" | "escape" => KeyCode::Esc,
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

/// Whether the keys of two actions share a row in the help.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writers_own_keys_come_first_and_wrong_ones_are_said() {
        let map = Keymap::new([
            ("alt+r", "/gen n=2"),
            ("f5", "/tree"),
            ("ctrl+y", "none"),
            ("ctrl+s", "stop"),
            ("esc", "Editor"),
        ])
        .unwrap();
        let find = |modifiers, code| map.find(&KeyEvent::new(code, modifiers), true);
        assert_eq!(find(ALT, KeyCode::Char('r')), Some(Action::Run("/gen n=2")));
        assert_eq!(find(NONE, KeyCode::F(5)), Some(Action::Run("/tree")));
        assert_eq!(find(CTRL, KeyCode::Char('y')), Some(Action::Nothing));
        assert_eq!(find(CTRL, KeyCode::Char('s')), Some(Action::Escape));
        assert_eq!(find(NONE, KeyCode::Esc), Some(Action::Editor));
        let help = map.help().join("\n");
        assert!(
            help.contains("your own (/gen n=2)") && !help.contains("(/retry)"),
            "{help}"
        );
        for (key, command, part) in [
            ("alt+", "/tree", "is not a key"),
            ("hyper+x", "/tree", "is not a key"),
            ("x", "/tree", "needed for typing"),
            ("alt+x", "tree", "needs a command"),
            ("alt+x", "/teee", "Unknown command /teee"),
        ] {
            let error = Keymap::new([(key, command)]).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}

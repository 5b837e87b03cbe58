//! Recombines keys whose escape sequences arrive in pieces. Over slow connections and on busy
//! machines, the key reader may see Esc and some letters instead of an arrow key.
//!
//! Nobody types `[` within [`PAUSE`] after Esc, so a `[` that arrives this soon belongs to an
//! escape sequence. The sequences are those of ECMA-48 and of xterm (ctlseqs, "PC-Style Function
//! Keys").

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use std::io;
use std::time::Duration;

/// The maximum time between two characters of an escape sequence.
pub const PAUSE: Duration = Duration::from_millis(25);

/// The maximum number of characters in an escape sequence after `[`.
const LONGEST: usize = 12;

/// Combines an event with the events that follow, if together they are one escape sequence. `next`
/// waits at most [`PAUSE`] for an event.
pub fn whole(
    first: Event,
    mut next: impl FnMut() -> io::Result<Option<Event>>,
) -> io::Result<Vec<Event>> {
    if first == key(KeyCode::Char('/'), KeyModifiers::ALT) {
        // Esc and the beginning of a command, arriving together.
        let slash = key(KeyCode::Char('/'), KeyModifiers::NONE);
        return Ok(vec![Event::Key(KeyEvent::from(KeyCode::Esc)), slash]);
    }
    if first != Event::Key(KeyEvent::from(KeyCode::Esc)) {
        return Ok(vec![first]);
    }
    let Some(second) = next()? else {
        return Ok(vec![first]);
    };
    // A script may press Esc and keep typing: only `[` starts a sequence.
    if letter(&second) != Some('[') {
        return Ok(vec![first, second]);
    }
    let mut sequence = String::new();
    while sequence.len() < LONGEST {
        let Some(event) = next()? else { break };
        let Some(c) = letter(&event) else {
            return Ok(vec![event]);
        };
        sequence.push(c);
        if ('@'..='~').contains(&c) {
            break;
        }
    }
    if sequence.is_empty() {
        return Ok(vec![first, second]);
    }
    // An unknown sequence was not typed by anybody, so it is dropped.
    Ok(named(&sequence).into_iter().collect())
}

fn key(code: KeyCode, modifiers: KeyModifiers) -> Event {
    Event::Key(KeyEvent::new(code, modifiers))
}

/// The character that an event types, if any.
fn letter(event: &Event) -> Option<char> {
    match event {
        Event::Key(key) if key.modifiers.difference(KeyModifiers::SHIFT).is_empty() => {
            match key.code {
                KeyCode::Char(c) => Some(c),
                _ => None,
            }
        }
        _ => None,
    }
}

fn named(sequence: &str) -> Option<Event> {
    let last = sequence.chars().next_back()?;
    let numbers = sequence[..sequence.len() - last.len_utf8()].split(';');
    let numbers: Vec<u8> = numbers.map(|n| n.parse().unwrap_or(1)).collect();
    let code = match (last, numbers.first()) {
        ('A', _) => KeyCode::Up,
        ('B', _) => KeyCode::Down,
        ('C', _) => KeyCode::Right,
        ('D', _) => KeyCode::Left,
        ('H', _) | ('~', Some(1 | 7)) => KeyCode::Home,
        ('F', _) | ('~', Some(4 | 8)) => KeyCode::End,
        ('Z', _) => KeyCode::BackTab,
        ('~', Some(3)) => KeyCode::Delete,
        ('~', Some(5)) => KeyCode::PageUp,
        ('~', Some(6)) => KeyCode::PageDown,
        _ => return None,
    };
    let mut modifiers = KeyModifiers::NONE;
    let held = numbers.get(1).map_or(0, |n| n.saturating_sub(1));
    for (bit, modifier) in [
        (1, KeyModifiers::SHIFT),
        (2, KeyModifiers::ALT),
        (4, KeyModifiers::CONTROL),
    ] {
        modifiers.set(modifier, held & bit != 0);
    }
    Some(key(code, modifiers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn typed(letters: &str) -> Vec<Event> {
        let escape = Event::Key(KeyEvent::from(KeyCode::Esc));
        let mut rest = letters
            .chars()
            .map(|c| key(KeyCode::Char(c), KeyModifiers::NONE));
        let mut all = whole(escape, || Ok(rest.next())).unwrap();
        all.extend(rest);
        all
    }

    #[test]
    fn keys_that_came_in_pieces_are_those_keys() {
        let none = KeyModifiers::NONE;
        for (letters, wanted) in [
            ("[A", key(KeyCode::Up, none)),
            ("[D", key(KeyCode::Left, none)),
            ("[1;5A", key(KeyCode::Up, KeyModifiers::CONTROL)),
            ("[1;3D", key(KeyCode::Left, KeyModifiers::ALT)),
            ("[5~", key(KeyCode::PageUp, none)),
        ] {
            assert_eq!(typed(letters), [wanted], "{letters}");
        }
    }

    #[test]
    fn escape_alone_is_escape_and_what_follows_a_sequence_is_typed() {
        assert_eq!(typed(""), [Event::Key(KeyEvent::from(KeyCode::Esc))]);
        assert_eq!(typed("/diff 4 2").len(), 10);
        assert_eq!(typed("[Ab").len(), 2);
        assert_eq!(typed("[?997;1n"), [], "a reply is not typed into the story");
    }

    #[test]
    fn escape_and_a_command_that_come_at_once_are_both() {
        let both = key(KeyCode::Char('/'), KeyModifiers::ALT);
        let all = whole(both, || Ok(None)).unwrap();
        let escape = Event::Key(KeyEvent::from(KeyCode::Esc));
        assert_eq!(all, [escape, key(KeyCode::Char('/'), KeyModifiers::NONE)]);
    }

    proptest! {
        #[test]
        fn anything_may_follow(letters in "[\\[O0-9;a-zA-Z~é]{0,20}") {
            prop_assert!(typed(&letters).len() <= letters.chars().count() + 1);
        }
    }
}

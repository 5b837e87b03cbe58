//! How the words after a command's name are read.

use super::{Command, Lore, ParseError, Reach, Swipe};

pub(super) fn reach(rest: &str) -> Result<Command, ParseError> {
    let reach = match rest.to_lowercase().as_str() {
        "" => Reach::Set,
        "sent" | "sentence" => Reach::Sentence,
        "para" | "paragraph" => Reach::Paragraph,
        _ if rest.starts_with('"') => Reach::Until(unquoted(rest).to_string()),
        word => match (rest.get(..6), word.parse()) {
            (Some(until), _) if until.eq_ignore_ascii_case("until ") => {
                Reach::Until(unquoted(rest[6..].trim()).to_string())
            }
            (_, Ok(tokens)) if tokens > 0 => Reach::Tokens(tokens),
            _ => {
                return Err(wants(
                    "/continue",
                    "a number of tokens, sent, para, or a phrase in quotes to stop at",
                ));
            }
        },
    };
    match &reach {
        Reach::Until(words) if words.is_empty() => Err(wants("/continue", "a phrase in quotes")),
        _ => Ok(Command::Continue(reach)),
    }
}

pub(super) fn swipe(rest: &str) -> Result<Command, ParseError> {
    let to = match rest.to_lowercase().as_str() {
        "" | "next" | "n" => Swipe::Next,
        "prev" | "previous" | "p" => Swipe::Previous,
        word => match word.parse() {
            Ok(n) if n > 0 => Swipe::To(n),
            _ => return Err(wants("/swipe", "next, prev or a number, 1 or higher")),
        },
    };
    Ok(Command::Swipe(to))
}

pub(super) fn edit(rest: &str) -> Result<Command, ParseError> {
    let (first, text) = split(rest);
    Ok(match first {
        "" => Command::Edit(None, None),
        "mine" if text.is_empty() => Command::Edit(some(first), None),
        word if is_number(word) => Command::Edit(some(word), some(text)),
        word if is_place(word) => {
            return Err(ParseError(format!(
                "/edit replaces whole passages: type /edit {} TEXT, or put quotes around the new text of the last passage.",
                word.split(['.', ':']).next().unwrap_or(word)
            )));
        }
        _ => Command::Edit(None, some(unquoted(rest.trim()))),
    })
}

pub(super) fn diff(rest: &str) -> Result<Command, ParseError> {
    let (a, b) = match rest
        .trim()
        .strip_prefix('"')
        .and_then(|rest| rest.split_once('"'))
    {
        Some((a, b)) => (a, b.trim()),
        None => split(rest),
    };
    match (a, unquoted(b)) {
        (a, b) if !a.is_empty() && !b.is_empty() => Ok(Command::Diff(a.into(), b.into())),
        _ => Err(wants(
            "/diff",
            "two passages or marks, for example /diff 4 7 or /diff \"the storm\" 7",
        )),
    }
}

pub(super) fn lore(rest: &str) -> Result<Command, ParseError> {
    let (word, what) = split(rest);
    let lore = match (word.to_lowercase().as_str(), what) {
        ("" | "list", "") => Lore::List,
        ("why", "") => Lore::Why,
        ("add", what) if !what.is_empty() => Lore::Add(what.to_string()),
        ("on", what) if !what.is_empty() => Lore::On(what.to_string()),
        ("off", what) if !what.is_empty() => Lore::Off(what.to_string()),
        _ => {
            return Err(wants(
                "/lore",
                "add FILE, add KEY, KEY: FACT, on NAME, off NAME, or why",
            ));
        }
    };
    Ok(Command::Lore(lore))
}

/// A passage's number, as `/tree` shows it.
fn is_number(word: &str) -> bool {
    let word = word.strip_prefix('#').unwrap_or(word);
    !word.is_empty() && word.chars().all(|c| c.is_ascii_digit())
}

/// A place inside a passage: `12.3`, `12:words`.
fn is_place(word: &str) -> bool {
    let cut = word.find(['.', ':']);
    cut.is_some_and(|at| is_number(&word[..at]) && at + 1 < word.len())
}

fn unquoted(text: &str) -> &str {
    let inner = text.strip_prefix('"');
    inner.map_or(text, |inner| inner.strip_suffix('"').unwrap_or(inner))
}

/// What a command cannot do without.
pub(super) fn needed(rest: &str, name: &str, what: &str) -> Result<String, ParseError> {
    some(unquoted(rest.trim())).ok_or_else(|| wants(name, what))
}

pub(super) fn none(rest: &str, name: &str, command: Command) -> Result<Command, ParseError> {
    if rest.is_empty() {
        Ok(command)
    } else {
        Err(ParseError(format!("{name} takes no arguments.")))
    }
}

pub(super) fn number<T: std::str::FromStr>(
    rest: &str,
    name: &str,
    what: &str,
) -> Result<Option<T>, ParseError> {
    if rest.is_empty() {
        return Ok(None);
    }
    rest.parse().map(Some).map_err(|_| wants(name, what))
}

/// How many steps; one where nothing is said.
pub(super) fn steps(rest: &str, name: &str) -> Result<usize, ParseError> {
    match number(rest, name, "a number of steps")?.unwrap_or(1) {
        0 => Err(wants(name, "a number of steps, 1 or higher")),
        steps => Ok(steps),
    }
}

pub(super) fn wants(name: &str, what: &str) -> ParseError {
    ParseError(format!("{name} takes {what}."))
}

pub(super) fn some(word: &str) -> Option<String> {
    (!word.is_empty()).then(|| word.to_string())
}

/// The first word and the rest, both trimmed.
pub(super) fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let cut = text.find(char::is_whitespace).unwrap_or(text.len());
    (&text[..cut], text[cut..].trim())
}

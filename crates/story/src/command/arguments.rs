//! Parses the arguments of commands.

use super::{Command, ContinueLength, LoreCommand, ParseError, Swipe};

pub(super) fn parse_continue(rest: &str) -> Result<Command, ParseError> {
    let reach = match rest.to_lowercase().as_str() {
        "" => ContinueLength::Default,
        "sent" | "sentence" => ContinueLength::Sentence,
        "para" | "paragraph" => ContinueLength::Paragraph,
        _ if rest.starts_with('"') => ContinueLength::Until(unquoted(rest).to_string()),
        word => match (rest.get(..6), word.parse()) {
            (Some(until), _) if until.eq_ignore_ascii_case("until ") => {
                ContinueLength::Until(unquoted(rest[6..].trim()).to_string())
            }
            (_, Ok(tokens)) if tokens > 0 => ContinueLength::Tokens(tokens),
            _ => {
                return Err(expects(
                    "/continue",
                    "a number of tokens, sent, para, or a phrase in quotes to stop at",
                ));
            }
        },
    };
    match &reach {
        ContinueLength::Until(words) if words.is_empty() => {
            Err(expects("/continue", "a phrase in quotes"))
        }
        _ => Ok(Command::Continue(reach)),
    }
}

pub(super) fn parse_swipe(rest: &str) -> Result<Command, ParseError> {
    let to = match rest.to_lowercase().as_str() {
        "" | "next" | "n" => Swipe::Next,
        "prev" | "previous" | "p" => Swipe::Previous,
        word => match word.parse() {
            Ok(n) if n > 0 => Swipe::To(n),
            _ => return Err(expects("/swipe", "next, prev or a number, 1 or higher")),
        },
    };
    Ok(Command::Swipe(to))
}

pub(super) fn parse_edit(rest: &str) -> Result<Command, ParseError> {
    let (first, text) = split_word(rest);
    Ok(match first {
        "" => Command::Edit(None, None),
        "mine" if text.is_empty() => Command::Edit(non_empty(first), None),
        word if is_number(word) => Command::Edit(non_empty(word), non_empty(text)),
        word if is_place(word) => {
            return Err(ParseError(format!(
                "/edit replaces whole passages: type /edit {} TEXT, or put quotes around the new text of the last passage.",
                word.split(['.', ':']).next().unwrap_or(word)
            )));
        }
        _ => Command::Edit(None, non_empty(unquoted(rest.trim()))),
    })
}

pub(super) fn parse_diff(rest: &str) -> Result<Command, ParseError> {
    let (a, b) = match rest
        .trim()
        .strip_prefix('"')
        .and_then(|rest| rest.split_once('"'))
    {
        Some((a, b)) => (a, b.trim()),
        None => split_word(rest),
    };
    match (a, unquoted(b)) {
        (a, b) if !a.is_empty() && !b.is_empty() => Ok(Command::Diff(a.into(), b.into())),
        _ => Err(expects(
            "/diff",
            "two passages or marks, for example /diff 4 7 or /diff \"the storm\" 7",
        )),
    }
}

pub(super) fn parse_lore(rest: &str) -> Result<Command, ParseError> {
    let (word, what) = split_word(rest);
    let lore = match (word.to_lowercase().as_str(), what) {
        ("" | "list", "") => LoreCommand::List,
        ("why", "") => LoreCommand::Why,
        ("add", what) if !what.is_empty() => LoreCommand::Add(what.to_string()),
        ("on", what) if !what.is_empty() => LoreCommand::On(what.to_string()),
        ("off", what) if !what.is_empty() => LoreCommand::Off(what.to_string()),
        _ => {
            return Err(expects(
                "/lore",
                "add FILE, add KEY, KEY: FACT, on NAME, off NAME, or why",
            ));
        }
    };
    Ok(Command::Lore(lore))
}

/// Whether a word is the number of a passage, as shown by `/tree`, with or without `#`.
fn is_number(word: &str) -> bool {
    let word = word.strip_prefix('#').unwrap_or(word);
    !word.is_empty() && word.chars().all(|c| c.is_ascii_digit())
}

/// Whether a word names a place inside a passage, such as `12.3` or `12:words`.
fn is_place(word: &str) -> bool {
    let cut = word.find(['.', ':']);
    cut.is_some_and(|at| is_number(&word[..at]) && at + 1 < word.len())
}

fn unquoted(text: &str) -> &str {
    let inner = text.strip_prefix('"');
    inner.map_or(text, |inner| inner.strip_suffix('"').unwrap_or(inner))
}

/// Returns a required argument without its quotes. If it is missing, returns an error that says
/// which argument the command takes.
pub(super) fn required(rest: &str, name: &str, what: &str) -> Result<String, ParseError> {
    non_empty(unquoted(rest.trim())).ok_or_else(|| expects(name, what))
}

pub(super) fn no_argument(rest: &str, name: &str, command: Command) -> Result<Command, ParseError> {
    if rest.is_empty() {
        Ok(command)
    } else {
        Err(ParseError(format!("{name} takes no arguments.")))
    }
}

pub(super) fn parse_number<T: std::str::FromStr>(
    rest: &str,
    name: &str,
    what: &str,
) -> Result<Option<T>, ParseError> {
    if rest.is_empty() {
        return Ok(None);
    }
    rest.parse().map(Some).map_err(|_| expects(name, what))
}

/// Parses a number of steps. The default is 1.
pub(super) fn parse_steps(rest: &str, name: &str) -> Result<usize, ParseError> {
    match parse_number(rest, name, "a number of steps")?.unwrap_or(1) {
        0 => Err(expects(name, "a number of steps, 1 or higher")),
        steps => Ok(steps),
    }
}

pub(super) fn expects(name: &str, what: &str) -> ParseError {
    ParseError(format!("{name} takes {what}."))
}

pub(super) fn non_empty(word: &str) -> Option<String> {
    (!word.is_empty()).then(|| word.to_string())
}

/// Splits a text into its first word and the rest, and trims both.
pub(super) fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    let cut = text.find(char::is_whitespace).unwrap_or(text.len());
    (&text[..cut], text[cut..].trim())
}

//! One table of commands for every front end: parsing, help and completion all read it.
//!
//! A line that begins with `/` is a command, `//` is a literal slash, an empty line continues the
//! story, and anything else is written into it. A mistyped command is never sent to the model.

use super::nearest::nearest;

/// What a writer asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Words for the story, which the model then continues.
    Write(String),
    /// Go on without new words; at most this many tokens.
    Continue(Option<u32>),
    /// Another passage beside the last one, perhaps with a given seed.
    Retry(Option<u64>),
    Undo(usize),
    Redo(usize),
    Swipe(Swipe),
    /// Show the settings, one of them, or change one.
    Set(Option<String>, Option<String>),
    /// Show the model in place, or put another there.
    Model(Option<String>),
    Mode(Option<String>),
    System(Option<String>),
    Save(Option<String>),
    Open(String),
    New(Option<String>),
    Sessions,
    Help(Option<String>),
    Quit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swipe {
    Next,
    Previous,
    /// Counted from 1.
    To(usize),
}

/// One row of the table.
#[derive(Debug)]
pub struct Spec {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub args: &'static str,
    pub help: &'static str,
    pub completes: Completes,
    parse: fn(&str) -> Result<Command, ParseError>,
}

/// What may follow a command's name, for completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completes {
    Nothing,
    Settings,
    Models,
    Modes,
    Sessions,
    Commands,
    Swipes,
}

/// Every command there is.
pub const COMMANDS: &[Spec] = &[
    Spec {
        name: "continue",
        aliases: &["c"],
        args: "[TOKENS]",
        help: "let the model write on; an empty line does the same",
        completes: Completes::Nothing,
        parse: |rest| {
            Ok(Command::Continue(number(
                rest,
                "/continue",
                "a number of tokens",
            )?))
        },
    },
    Spec {
        name: "retry",
        aliases: &["regen", "regenerate", "r"],
        args: "[seed=N]",
        help: "write the last passage again beside the old one, which is kept",
        completes: Completes::Nothing,
        parse: |rest| {
            let seed = rest.strip_prefix("seed=").unwrap_or(rest);
            Ok(Command::Retry(number(
                seed,
                "/retry",
                "a seed, as in /retry seed=7",
            )?))
        },
    },
    Spec {
        name: "undo",
        aliases: &["u"],
        args: "[N]",
        help: "go back one step, or N; nothing is erased",
        completes: Completes::Nothing,
        parse: |rest| {
            Ok(Command::Undo(
                number(rest, "/undo", "a number of steps")?.unwrap_or(1),
            ))
        },
    },
    Spec {
        name: "redo",
        aliases: &[],
        args: "[N]",
        help: "go forward again after /undo",
        completes: Completes::Nothing,
        parse: |rest| {
            Ok(Command::Redo(
                number(rest, "/redo", "a number of steps")?.unwrap_or(1),
            ))
        },
    },
    Spec {
        name: "swipe",
        aliases: &["sw"],
        args: "next|prev|N",
        help: "show another version of the last passage; past the newest, write one",
        completes: Completes::Swipes,
        parse: swipe,
    },
    Spec {
        name: "next",
        aliases: &[],
        args: "",
        help: "the same as /swipe next",
        completes: Completes::Nothing,
        parse: |rest| none(rest, "/next", Command::Swipe(Swipe::Next)),
    },
    Spec {
        name: "prev",
        aliases: &["previous"],
        args: "",
        help: "the same as /swipe prev",
        completes: Completes::Nothing,
        parse: |rest| none(rest, "/prev", Command::Swipe(Swipe::Previous)),
    },
    Spec {
        name: "set",
        aliases: &["show"],
        args: "[NAME [VALUE]]",
        help: "show the settings, one of them, or change one, as in /set temperature 0.9",
        completes: Completes::Settings,
        parse: |rest| {
            let (name, value) = split(rest);
            Ok(Command::Set(some(name), some(value)))
        },
    },
    Spec {
        name: "model",
        aliases: &["load"],
        args: "[NAME|PATH]",
        help: "show the model, or put another in its place and keep the story",
        completes: Completes::Models,
        parse: |rest| Ok(Command::Model(some(rest))),
    },
    Spec {
        name: "mode",
        aliases: &[],
        args: "[prose|chat]",
        help: "write on from the text itself, or talk in the model's chat template",
        completes: Completes::Modes,
        parse: |rest| Ok(Command::Mode(some(rest))),
    },
    Spec {
        name: "system",
        aliases: &["memory"],
        args: "[TEXT|none]",
        help: "show or set what stands before the story: the chat's system message",
        completes: Completes::Nothing,
        parse: |rest| Ok(Command::System(some(rest))),
    },
    Spec {
        name: "save",
        aliases: &["rename"],
        args: "[NAME]",
        help: "everything is saved already: show where, or give the session a name",
        completes: Completes::Nothing,
        parse: |rest| Ok(Command::Save(some(rest))),
    },
    Spec {
        name: "open",
        aliases: &[],
        args: "NAME",
        help: "go to another session",
        completes: Completes::Sessions,
        parse: |rest| match some(rest) {
            Some(name) => Ok(Command::Open(name)),
            None => Err(wants("/open", "a session's name; /sessions lists them")),
        },
    },
    Spec {
        name: "new",
        aliases: &["newchat"],
        args: "[NAME]",
        help: "begin another session",
        completes: Completes::Nothing,
        parse: |rest| Ok(Command::New(some(rest))),
    },
    Spec {
        name: "sessions",
        aliases: &["ls"],
        args: "",
        help: "list the sessions on disk",
        completes: Completes::Nothing,
        parse: |rest| none(rest, "/sessions", Command::Sessions),
    },
    Spec {
        name: "help",
        aliases: &["?"],
        args: "[COMMAND]",
        help: "this list, or more on one command",
        completes: Completes::Commands,
        parse: |rest| Ok(Command::Help(some(rest))),
    },
    Spec {
        name: "quit",
        aliases: &["exit", "bye", "q"],
        args: "",
        help: "leave; everything is on disk",
        completes: Completes::Nothing,
        parse: |rest| none(rest, "/quit", Command::Quit),
    },
];

/// A line that is no command; the message says what to type instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(String);

/// Reads one line, or several pasted at once, as a command.
pub fn parse(line: &str) -> Result<Command, ParseError> {
    if line.trim().is_empty() {
        return Ok(Command::Continue(None));
    }
    if let Some(literal) = line.strip_prefix("//") {
        return Ok(Command::Write(format!("/{literal}")));
    }
    let Some(command) = line.strip_prefix('/') else {
        return Ok(Command::Write(line.to_string()));
    };
    let (name, rest) = split(command);
    let spec = find(name).ok_or_else(|| unknown(name))?;
    (spec.parse)(rest)
}

/// The row with this name or alias.
pub fn find(name: &str) -> Option<&'static Spec> {
    let name = name.to_lowercase();
    COMMANDS
        .iter()
        .find(|spec| spec.name == name || spec.aliases.contains(&name.as_str()))
}

/// What `/help` shows: the whole table, or one row of it.
pub fn help(topic: Option<&str>) -> Result<String, ParseError> {
    if let Some(topic) = topic {
        let name = topic.trim_start_matches('/');
        let spec = find(name).ok_or_else(|| unknown(name))?;
        let also: String = spec
            .aliases
            .iter()
            .map(|alias| format!(", /{alias}"))
            .collect();
        let usage = format!("/{}{also} {}", spec.name, spec.args);
        return Ok(format!("{}\n  {}", usage.trim_end(), spec.help));
    }
    let mut lines = vec!["Write, and press Enter: the model goes on from your words.".to_string()];
    for spec in COMMANDS {
        let usage = format!("/{} {}", spec.name, spec.args);
        lines.push(format!("  {usage:<26} {}", spec.help));
    }
    lines.push("  //TEXT                     words that begin with a slash".to_string());
    Ok(lines.join("\n"))
}

fn unknown(name: &str) -> ParseError {
    let names = COMMANDS
        .iter()
        .flat_map(|spec| std::iter::once(&spec.name).chain(spec.aliases))
        .filter(|name| name.len() > 2)
        .copied();
    let name = super::untrusted::clean_line(&name.chars().take(40).collect::<String>());
    ParseError(match nearest(&name, names) {
        Some(near) => format!("There is no command /{name}; did you mean /{near}?"),
        None => format!(
            "There is no command /{name}; /help lists them, and // begins a line with a slash."
        ),
    })
}

fn swipe(rest: &str) -> Result<Command, ParseError> {
    let to = match rest.to_lowercase().as_str() {
        "" | "next" | "n" => Swipe::Next,
        "prev" | "previous" | "p" => Swipe::Previous,
        word => match word.parse() {
            Ok(n) if n > 0 => Swipe::To(n),
            _ => return Err(wants("/swipe", "next, prev or a number from 1")),
        },
    };
    Ok(Command::Swipe(to))
}

fn none(rest: &str, name: &str, command: Command) -> Result<Command, ParseError> {
    if rest.is_empty() {
        Ok(command)
    } else {
        Err(ParseError(format!("{name} takes nothing after it.")))
    }
}

fn number<T: std::str::FromStr>(
    rest: &str,
    name: &str,
    what: &str,
) -> Result<Option<T>, ParseError> {
    if rest.is_empty() {
        return Ok(None);
    }
    rest.parse().map(Some).map_err(|_| wants(name, what))
}

fn wants(name: &str, what: &str) -> ParseError {
    ParseError(format!("{name} takes {what}."))
}

fn some(word: &str) -> Option<String> {
    (!word.is_empty()).then(|| word.to_string())
}

/// The first word and the rest, both trimmed.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let cut = text.find(char::is_whitespace).unwrap_or(text.len());
    (&text[..cut], text[cut..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_aliases_are_found_and_none_is_taken_twice() {
        let mut seen = std::collections::HashSet::new();
        for spec in COMMANDS {
            for name in std::iter::once(&spec.name).chain(spec.aliases) {
                assert!(seen.insert(*name), "/{name} stands twice in the table");
                assert_eq!(find(name).map(|found| found.name), Some(spec.name));
            }
            assert!(help(Some(spec.name)).is_ok());
        }
    }

    #[test]
    fn a_line_is_words_and_a_slash_is_a_command() {
        assert_eq!(parse("Once"), Ok(Command::Write("Once".to_string())));
        assert_eq!(parse("  \n"), Ok(Command::Continue(None)));
        assert_eq!(parse("//etc"), Ok(Command::Write("/etc".to_string())));
        assert_eq!(parse("/retry seed=43"), Ok(Command::Retry(Some(43))));
        assert_eq!(parse("/u 3"), Ok(Command::Undo(3)));
        assert_eq!(parse("/swipe 2"), Ok(Command::Swipe(Swipe::To(2))));
        assert_eq!(
            parse("/set temperature 0.9"),
            Ok(Command::Set(Some("temperature".into()), Some("0.9".into())))
        );
    }

    #[test]
    fn a_slip_is_answered_with_the_nearest_command() {
        let error = parse("/rtery").unwrap_err().to_string();
        assert_eq!(error, "There is no command /rtery; did you mean /retry?");
        assert!(
            parse("/undo many")
                .unwrap_err()
                .to_string()
                .contains("number of steps")
        );
    }

    proptest! {
        #[test]
        fn any_line_is_parsed_or_refused_in_one_sentence(line in any::<String>()) {
            if let Err(error) = parse(&line) {
                let message = error.to_string();
                prop_assert!(!message.contains('\n') && !message.chars().any(char::is_control));
            }
        }
    }
}

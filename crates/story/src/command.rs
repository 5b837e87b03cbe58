//! The table of commands for all front ends. It is used for parsing, help and completion.
//!
//! A line that starts with `/` is a command, and `//` stands for a literal slash. An empty line
//! continues the story; any other line is added to the story. A mistyped command is never sent to
//! the model.

mod arguments;
mod pictures;
mod table;

pub use pictures::{DrawOptions, OPTIONS, PictureCommand};
pub use table::COMMANDS;

use super::frame::Voice;
use super::message::Overflow;
use super::picture::PictureRequest;
use base::nearest::nearest;

/// A command that the writer typed or a program sent, with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Add text to the story and let the model continue it.
    Write(String),
    /// Continue a prompt on behalf of a program that calls illumine.
    Complete(Box<Completion>),
    /// Draw a picture exactly as a program that calls illumine requested it.
    Illustrate(Box<PictureRequest>),
    /// Continue without new text.
    Continue(ContinueLength),
    /// Regenerate the last passage, optionally with a given seed.
    Retry(Option<u64>),
    /// Generate several continuations.
    Gen(usize),
    /// Choose the row with this number in the last list.
    Pick(usize),
    Undo(usize),
    Redo(usize),
    Swipe(Swipe),
    /// Start a branch at the current place or at another place, and name it.
    Branch(Option<String>),
    Goto(String),
    /// Go to the parent of the current passage (-1) or to its newest child (1).
    Step(isize),
    Tree,
    /// Replace the text of a passage. The arguments are the passage and its new text; an editor is
    /// opened if the text is missing.
    Edit(Option<String>, Option<String>),
    /// Merge a passage into the preceding passage.
    Merge(Option<String>),
    /// Hide all versions of the current passage except the current one.
    Keep,
    Delete(Option<String>),
    Mark(Option<String>),
    Find(String),
    Diff(String, String),
    /// List the alternatives for a word of a passage.
    Alts(Option<String>),
    /// Regenerate a passage from a place inside it, starting with a given token.
    Choose(TokenChoice),
    /// Generate text and insert it at a place in the story.
    Fill(Option<String>),
    Instruct(String),
    /// Let the model draft the writer's next line, starting with the given words.
    Impersonate(String),
    Ban(Option<String>),
    Unban(String),
    Why(Option<String>),
    Context,
    Memory(Option<String>),
    Note(Option<String>),
    Voice(Option<String>),
    Lore(LoreCommand),
    Summarize,
    /// Draw pictures.
    Draw(PictureCommand),
    Export(Option<String>, Option<String>),
    Import(String),
    /// Show all settings, show one setting, or change one.
    Set(Option<String>, Option<String>),
    /// Show the model, or switch to another one.
    Model(Option<String>),
    Mode(Option<String>),
    System(Option<String>),
    Save(Option<String>),
    /// Save the KV cache with the session. `any_size` says whether to ignore the size limit.
    SaveWarm {
        any_size: bool,
    },
    Open(String),
    New(Option<String>),
    Sessions,
    Help(Option<String>),
    Quit,
}

impl Command {
    /// Whether the command may run while the engine generates or draws. Such a command changes
    /// neither the story nor the settings, and sends no request to the engine.
    pub fn works_while_busy(&self) -> bool {
        matches!(
            self,
            Command::Help(_)
                | Command::Sessions
                | Command::Quit
                | Command::Set(_, None)
                | Command::Find(_)
                | Command::Tree
                | Command::Why(_)
                | Command::Diff(..)
        )
    }
}

/// How much text to generate.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ContinueLength {
    /// The length configured in the settings.
    #[default]
    Default,
    Tokens(u32),
    Sentence,
    Paragraph,
    Until(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swipe {
    Next,
    Previous,
    /// Switch to the version with this number, counted from 1.
    To(usize),
}

/// A prompt to continue exactly as given. The length and the seed are those in the settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Completion {
    pub prompt: String,
    /// The voice that tells the story.
    pub voice: Option<Voice>,
    /// What to do if the prompt is longer than the model's context.
    pub overflow: Overflow,
}

/// A token that the writer chose among the alternatives, and the place where it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenChoice {
    pub place: super::Place,
    pub id: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum LoreCommand {
    List,
    Why,
    /// Add a lorebook file, or an entry written as `KEY, KEY: FACT`.
    Add(String),
    On(String),
    Off(String),
}

/// One command: a row of the table of commands.
#[derive(Debug)]
pub struct CommandSpec {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub args: &'static str,
    pub help: &'static str,
    pub completes: ArgumentKind,
    parse: fn(&str) -> Result<Command, ParseError>,
}

/// The kind of argument that a command takes, which determines the completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArgumentKind {
    Nothing,
    Settings,
    Models,
    Modes,
    Sessions,
    Commands,
    Swipes,
    Marks,
    Voices,
    Reaches,
    Formats,
    LoreWords,
    /// The options of a picture command, and the names of styles.
    Styles,
}

impl ArgumentKind {
    pub const ALL: &[ArgumentKind] = &[
        ArgumentKind::Nothing,
        ArgumentKind::Settings,
        ArgumentKind::Models,
        ArgumentKind::Modes,
        ArgumentKind::Sessions,
        ArgumentKind::Commands,
        ArgumentKind::Swipes,
        ArgumentKind::Marks,
        ArgumentKind::Voices,
        ArgumentKind::Reaches,
        ArgumentKind::Formats,
        ArgumentKind::LoreWords,
        ArgumentKind::Styles,
    ];
}

/// The completions that are always the same for a kind of argument. Empty for kinds whose
/// completions depend on the session or are listed by another module.
pub fn fixed_completions(what: ArgumentKind) -> &'static [&'static str] {
    match what {
        ArgumentKind::Modes => &["prose", "chat"],
        ArgumentKind::Swipes => &["next", "prev"],
        ArgumentKind::Reaches => &["sent", "para"],
        ArgumentKind::LoreWords => &["add ", "on ", "off ", "why"],
        _ => &[],
    }
}

/// The reason why a line is not a valid command. The message says what to type instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(String);

/// Parses a line, or several lines pasted together, as one command.
pub fn parse(line: &str) -> Result<Command, ParseError> {
    if line.trim().is_empty() {
        return Ok(Command::Continue(ContinueLength::Default));
    }
    if let Some(literal) = line.strip_prefix("//") {
        return Ok(Command::Write(format!("/{literal}")));
    }
    let Some(command) = line.strip_prefix('/') else {
        return Ok(Command::Write(line.to_string()));
    };
    let (name, rest) = arguments::split_word(command);
    let spec = find(name).ok_or_else(|| unknown(name))?;
    (spec.parse)(rest)
}

/// Finds a command of the table by its name or an alias.
pub fn find(name: &str) -> Option<&'static CommandSpec> {
    let name = name.to_lowercase();
    COMMANDS
        .iter()
        .find(|spec| spec.name == name || spec.aliases.contains(&name.as_str()))
}

/// Returns the text of `/help` for one command, or for all commands if `topic` is None.
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
    let mut lines =
        vec!["Type some text and press Enter: the model continues the story.".to_string()];
    for spec in COMMANDS {
        let usage = format!("/{} {}", spec.name, spec.args);
        lines.push(format!("  {usage:<26} {}", spec.help));
    }
    lines.push("  //TEXT                     text that begins with a slash".to_string());
    Ok(lines.join("\n"))
}

fn unknown(name: &str) -> ParseError {
    let names = COMMANDS
        .iter()
        .flat_map(|spec| std::iter::once(&spec.name).chain(spec.aliases))
        .filter(|name| name.len() > 2)
        .copied();
    let name = base::untrusted::clean_line(&name.chars().take(40).collect::<String>());
    ParseError(match nearest(&name, names) {
        Some(near) => format!("Unknown command /{name}; did you mean /{near}?"),
        None => format!(
            "Unknown command /{name}; /help lists all commands. To begin text with a slash, type //."
        ),
    })
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
                assert!(seen.insert(*name), "/{name} is in the table twice");
                assert_eq!(find(name).map(|found| found.name), Some(spec.name));
            }
            assert!(help(Some(spec.name)).is_ok());
        }
    }

    #[test]
    fn a_line_is_words_and_a_slash_is_a_command() {
        assert_eq!(parse("Once"), Ok(Command::Write("Once".to_string())));
        assert_eq!(
            parse("  \n"),
            Ok(Command::Continue(ContinueLength::Default))
        );
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
        assert_eq!(error, "Unknown command /rtery; did you mean /retry?");
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

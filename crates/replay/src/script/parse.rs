//! Parses the lines of a script.

use super::conditions::Conditions;
use super::gather::{Block, PlacedLine, gather};
use super::matrix::{Combination, combinations};
use super::settings::{SETTINGS, setting};
use super::source::SourceLine;
use super::{Case, Script, Step};
use crate::expect::{self, Check};
use crate::position::{Position, ScriptError};
use crate::words::{Rest, Variables, fill};
use base::nearest::nearest;
use base::untrusted::{clean_key, clean_line};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use story::{Command, SettingOverrides, command};

/// The number of errors at which parsing stops.
const MOST_ERRORS: usize = 20;

/// The words with which a line of a script can begin.
const WORDS: &[&str] = &[
    "answers",
    "backend",
    "case",
    "device",
    "expect",
    "include",
    "let",
    "matrix",
    "mode",
    "model",
    "repeat",
    "rows",
    "set",
    "system",
    "threads",
    "threshold",
];

/// Words that are not allowed in a script, each with the command-line flag to use instead.
const FLAGS: &[(&str, &str)] = &[("draft", "--draft"), ("kv", "--kv")];

/// Parses the lines of a script and collects its cases and errors.
pub(super) struct Parser<'a> {
    /// The variables from the command line, which the script cannot change.
    given: &'a BTreeMap<String, String>,
    variables: Variables,
    cases: Vec<Case>,
    names: BTreeSet<String>,
    /// The name of each golden in lower case, and the position at which the script uses it.
    goldens: BTreeMap<String, Position>,
    errors: Vec<ScriptError>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(given: &'a BTreeMap<String, String>) -> Parser<'a> {
        Parser {
            given,
            variables: Variables::new(),
            cases: Vec::new(),
            names: BTreeSet::new(),
            goldens: BTreeMap::new(),
            errors: Vec::new(),
        }
    }

    pub(super) fn load(mut self, path: &Path) -> Result<Script, Vec<ScriptError>> {
        let start = Position {
            file: path.to_string_lossy().into(),
            line: 1,
            column: 1,
        };
        let mut gathered = gather(path, self.given).map_err(|error| vec![error])?;
        if gathered.blocks.is_empty() {
            // A script without a `case` line is a single case.
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            gathered.blocks.push(Block {
                name: SourceLine {
                    at: start.clone(),
                    text: Value::from(name.replace("{{", "\\{{")).to_string(),
                },
                lines: Vec::new(),
            });
        }
        for block in &gathered.blocks {
            if let Err(error) = self.block(&gathered.shared, block) {
                self.add(error);
            }
            if self.errors.len() >= MOST_ERRORS {
                break;
            }
        }
        if self.errors.is_empty() && self.cases.iter().all(|case| case.steps.is_empty()) {
            let why = "The script has no lines to run; add one that begins with >";
            self.errors.push(ScriptError::new(&start, why));
        }
        match self.errors.is_empty() {
            true => Ok(Script {
                path: path.to_path_buf(),
                cases: self.cases,
            }),
            false => Err(self.errors),
        }
    }

    /// Adds an error unless the same error was added before. A line that belongs to several cases
    /// is parsed for each of them, so its error is found several times.
    fn add(&mut self, error: ScriptError) {
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// Parses a case once for each combination of its `matrix` and `rows` values.
    fn block(&mut self, shared: &[PlacedLine], block: &Block) -> Result<(), ScriptError> {
        let lines = [shared, &block.lines].concat();
        let combinations = combinations(&lines, self.given)?;
        self.cases.reserve(combinations.size_hint().0);
        for combination in combinations {
            self.variables = self.given.clone();
            let known = self.errors.len();
            let mut case = empty_case(&block.name.at);
            for placed in &combination.lines {
                if let Err(error) = self.statement(placed, &combination, &mut case) {
                    self.add(error);
                }
            }
            case.name = self.name(&block.name, &combination.label)?;
            // A script may have many cases, and all of them stay in memory.
            case.steps.shrink_to_fit();
            self.cases.push(case);
            // Other values would lead to the same errors.
            if self.errors.len() > known {
                break;
            }
        }
        Ok(())
    }

    /// Returns the name of a case. A name that another case already has is an error.
    fn name(&mut self, name: &SourceLine, label: &str) -> Result<String, ScriptError> {
        let rest = Rest::new(&name.text, name.at.clone());
        let mut text = clean_line(rest.one_text(&self.variables)?.trim());
        if text.is_empty() {
            return Err(ScriptError::new(&rest.at, "case takes a name"));
        }
        if !label.is_empty() {
            text += &format!(" [{}]", clean_line(label));
        }
        if !self.names.insert(text.clone()) {
            let why = format!(
                "There is already a case \"{}\"; rename one",
                clean_key(&text)
            );
            return Err(ScriptError::new(&rest.at, why));
        }
        Ok(text)
    }

    /// Records that a golden is used, after adding the combination's suffix to its name. Returns an
    /// error if the case is repeated or if another line uses the same golden.
    fn note_golden(
        &mut self,
        name: &mut String,
        at: &Position,
        repeated: bool,
        combination: &Combination,
    ) -> Result<(), ScriptError> {
        if repeated {
            let why = "A repeated case has no goldens, since every run has another seed";
            return Err(ScriptError::new(at, why));
        }
        *name += &combination.suffix();
        let known = self.goldens.entry(name.to_lowercase());
        match *known.or_insert_with(|| at.clone()) == *at {
            true => Ok(()),
            false => {
                let why = format!("The golden {name} is used twice; rename one");
                Err(ScriptError::new(at, why))
            }
        }
    }

    /// Parses a line of a case.
    fn statement(
        &mut self,
        placed: &PlacedLine,
        combination: &Combination,
        case: &mut Case,
    ) -> Result<(), ScriptError> {
        let line = &placed.line;
        let text = line.text.as_str();
        if let Some(typed) = text.strip_prefix('>') {
            let typed = typed.strip_prefix(' ').unwrap_or(typed);
            return self.typed(typed, &line.at.at_column(3), case);
        }
        if text.starts_with('/') {
            return self.typed(text, &line.at, case);
        }
        let rest = Rest::new(text, line.at.clone());
        let (word, after) = rest.split();
        match word {
            _ if word.is_empty() || word.starts_with('#') => Ok(()),
            "expect" => {
                let mut expectation =
                    expect::parse::parse(&after, &self.variables, &placed.folder)?;
                if let Check::Golden(name) = &mut expectation.check {
                    self.note_golden(name, &expectation.at, case.repeat.is_some(), combination)?;
                }
                case.steps.push(Step::Expect(expectation));
                Ok(())
            }
            "let" => self.define(&after),
            _ if SETTINGS.contains(&word) => {
                if !case.steps.is_empty() {
                    let instead = match word {
                        "model" | "mode" | "system" | "set" => {
                            format!("; between them, use /{word}")
                        }
                        _ => String::new(),
                    };
                    let why = format!("{word} must come before the lines of a case{instead}");
                    return Err(ScriptError::new(&rest.at, why));
                }
                setting(word, &after, (&self.variables, &placed.folder), case)
            }
            _ => Err(unknown(word, &rest.at)),
        }
    }

    /// Checks a line that is to be typed, and adds it to the case.
    fn typed(&self, text: &str, at: &Position, case: &mut Case) -> Result<(), ScriptError> {
        let text = fill(text, at, &self.variables)?;
        let parsed = command::parse(&text);
        let command = parsed.map_err(|error| ScriptError::new(at, error))?;
        if let Some(why) = unsuitable(&command) {
            return Err(ScriptError::new(at, why));
        }
        let at = at.clone();
        case.steps.push(Step::Line { at, text });
        Ok(())
    }

    /// Parses `let NAME = VALUE`.
    fn define(&mut self, rest: &Rest) -> Result<(), ScriptError> {
        let takes = || ScriptError::new(&rest.at, "let takes NAME = VALUE");
        let (name, value) = rest.text.split_once('=').ok_or_else(takes)?;
        let column = rest.at.column + name.chars().count() + 1;
        let value = Rest::new(value, rest.at.at_column(column));
        let name = name.trim();
        check_variable(name).map_err(|why| ScriptError::new(&rest.at, why))?;
        let value = value.one_text(&self.variables)?;
        if !self.given.contains_key(name) {
            self.variables.insert(name.to_string(), value);
        }
        Ok(())
    }
}

/// Checks that the name of a variable is valid.
fn check_variable(name: &str) -> Result<(), String> {
    let letters = |c: char| c.is_alphanumeric() || c == '_';
    match !name.is_empty() && name.chars().all(letters) {
        true => Ok(()),
        false => Err("A variable's name consists of letters, digits and underscores".to_string()),
    }
}

fn empty_case(at: &Position) -> Case {
    Case {
        name: String::new(),
        at: at.clone(),
        settings: SettingOverrides::default(),
        conditions: Conditions::default(),
        repeat: None,
        threshold: None,
        steps: Vec::new(),
    }
}

/// Returns the reason why a command is not allowed in a replay; None if it is allowed. Every case
/// is a private session, which writes no files.
fn unsuitable(command: &Command) -> Option<&'static str> {
    match command {
        Command::Open(_) | Command::New(_) | Command::Save(_) | Command::SaveWarm { .. } => {
            Some("A case is a private session of its own; start another one with case NAME")
        }
        Command::Quit => Some("A case ends where the next one begins; remove this line"),
        Command::Export(_, Some(file)) if file.split_whitespace().next() != Some("-") => {
            Some("A replay writes no files; export to - and check the answer")
        }
        Command::Export(_, None) => Some("A replay writes no files; write /export FORMAT -"),
        Command::Edit(_, None) => Some("A replay opens no editor; write /edit PLACE TEXT"),
        _ => None,
    }
}

fn unknown(word: &str, at: &Position) -> ScriptError {
    if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| *name == word) {
        let why = format!("A script does not choose this; use {flag} on the command line");
        return ScriptError::new(at, why);
    }
    let near = nearest(word, WORDS.iter().copied());
    let word = clean_key(word);
    let why = match near {
        Some(near) => format!("Unknown word \"{word}\"; did you mean {near}?"),
        None => format!(
            "Unknown word \"{word}\"; a line to type begins with > or /, an expectation with expect, a comment with #"
        ),
    };
    ScriptError::new(at, why)
}

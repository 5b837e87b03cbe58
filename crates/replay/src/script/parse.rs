//! Parses the lines of a script.

use super::source::{self, SourceLine};
use super::{Case, Repeat, Script, Step};
use crate::expect::{self, Bound, Check};
use crate::position::{Position, ScriptError};
use crate::words::{Rest, Variables, fill};
use base::nearest::nearest;
use base::untrusted::clean_key;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use story::{Command, Mode, Sampling, SettingOverrides, command, sampling};

/// How deeply files may include each other.
const DEEPEST: usize = 16;
/// How many lines and cases a script may have in total, with all that it includes.
const MOST_LINES: usize = 1_000_000;
/// How many errors are collected.
const MOST_ERRORS: usize = 20;
/// How often a case may be repeated.
const MOST_RUNS: u32 = 100_000;

/// The first words of lines.
const WORDS: &[&str] = &[
    "case", "expect", "include", "let", "mode", "model", "repeat", "set", "system",
];

/// Words that belong on the command line instead.
const FLAGS: &[(&str, &str)] = &[
    ("backend", "--backend"),
    ("device", "--device"),
    ("draft", "--draft"),
    ("kv", "--kv"),
    ("threads", "--threads"),
];

/// The state while a script is parsed.
pub(super) struct Parser<'a> {
    /// Variables from the command line, which the script cannot change.
    given: &'a BTreeMap<String, String>,
    variables: Variables,
    /// The lines before the first case, which belong to every case, with the folders of their files.
    shared: Vec<(SourceLine, PathBuf)>,
    /// Those lines as a case, to find their errors only once.
    trial: Case,
    cases: Vec<Case>,
    names: BTreeSet<String>,
    /// Each golden's name in lower case, and the place that uses it.
    goldens: BTreeMap<String, Position>,
    /// The files being read, each included by the one before it.
    open: Vec<PathBuf>,
    lines: usize,
    errors: Vec<ScriptError>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(given: &'a BTreeMap<String, String>) -> Parser<'a> {
        Parser {
            given,
            variables: given.clone(),
            shared: Vec::new(),
            trial: empty_case(&Position {
                file: "".into(),
                line: 1,
                column: 1,
            }),
            cases: Vec::new(),
            names: BTreeSet::new(),
            goldens: BTreeMap::new(),
            open: Vec::new(),
            lines: 0,
            errors: Vec::new(),
        }
    }

    pub(super) fn load(mut self, path: &Path) -> Result<Script, Vec<ScriptError>> {
        if let Err(error) = self.file(path, None) {
            self.errors.push(error);
        }
        self.finish(path)
    }

    /// A script without a `case` line is a single case.
    fn finish(mut self, path: &Path) -> Result<Script, Vec<ScriptError>> {
        let start = Position {
            file: path.to_string_lossy().into(),
            line: 1,
            column: 1,
        };
        if self.cases.is_empty() && self.errors.is_empty() {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            self.begin_case(&name, &start);
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

    /// Reads a file; `at` is where it is included.
    fn file(&mut self, path: &Path, at: Option<&Position>) -> Result<(), ScriptError> {
        // Two names for one file are found too.
        let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        if let Some(at) = at {
            if self.open.contains(&real) {
                let why = "The file includes itself; remove this line";
                return Err(ScriptError::new(at, why));
            }
            if self.open.len() >= DEEPEST {
                let why = format!("Files include each other more than {DEEPEST} deep");
                return Err(ScriptError::new(at, why));
            }
        }
        let lines = source::read(path, at)?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        self.open.push(real);
        for line in lines {
            self.lines += 1;
            if self.lines > MOST_LINES {
                let why = format!("The script has more than {MOST_LINES} lines; split it");
                return Err(ScriptError::new(&line.at, why));
            }
            if let Err(error) = self.line(&line, &folder) {
                self.errors.push(error);
            }
            if self.errors.len() >= MOST_ERRORS {
                break;
            }
        }
        self.open.pop();
        Ok(())
    }

    /// Handles a line that is about the file; the others belong to a case.
    fn line(&mut self, line: &SourceLine, folder: &Path) -> Result<(), ScriptError> {
        let rest = Rest::new(&line.text, line.at.clone());
        let (word, after) = rest.split();
        match word {
            "include" => {
                let name = after.one_text(&self.variables)?;
                if name.is_empty() {
                    let why = "include takes the name of a script file";
                    return Err(ScriptError::new(&after.at, why));
                }
                self.file(&folder.join(name), Some(&after.at))
            }
            "case" => {
                let name = after.one_text(&self.variables)?;
                if name.trim().is_empty() {
                    let why = "case takes a name";
                    return Err(ScriptError::new(&after.at, why));
                }
                if !self.names.insert(name.clone()) {
                    let why = format!(
                        "There is already a case \"{}\"; rename one",
                        clean_key(&name)
                    );
                    return Err(ScriptError::new(&after.at, why));
                }
                self.begin_case(&name, &line.at);
                Ok(())
            }
            _ => {
                let shared = self.cases.is_empty();
                let empty = empty_case(&line.at);
                let case = self.cases.last_mut().unwrap_or(&mut self.trial);
                let mut case = std::mem::replace(case, empty);
                let parsed = self.statement(line, folder, &mut case);
                let parsed = parsed.and_then(|()| self.note_golden(&case));
                if shared && parsed.is_ok() {
                    self.shared.push((line.clone(), folder.to_path_buf()));
                }
                *self.cases.last_mut().unwrap_or(&mut self.trial) = case;
                parsed
            }
        }
    }

    /// Starts a case with the lines that stand before the first one.
    fn begin_case(&mut self, name: &str, at: &Position) {
        let mut case = Case {
            name: base::untrusted::clean_line(name.trim()),
            ..empty_case(at)
        };
        self.variables = self.given.clone();
        let shared = std::mem::take(&mut self.shared);
        for (line, folder) in &shared {
            if let Err(error) = self.statement(line, folder, &mut case) {
                self.errors.push(error);
            }
        }
        self.shared = shared;
        self.cases.push(case);
    }

    /// Notes the golden of the newest step: two steps must not share one.
    fn note_golden(&mut self, case: &Case) -> Result<(), ScriptError> {
        let Some(Step::Expect(newest)) = case.steps.last() else {
            return Ok(());
        };
        let Check::Golden(name) = &newest.check else {
            return Ok(());
        };
        if case.repeat.is_some() {
            let why = "A repeated case has no goldens, since every run has another seed";
            return Err(ScriptError::new(&newest.at, why));
        }
        let known = self.goldens.entry(name.to_lowercase());
        match *known.or_insert_with(|| newest.at.clone()) == newest.at {
            true => Ok(()),
            false => {
                let why = format!("The golden {name} is used twice; rename one");
                Err(ScriptError::new(&newest.at, why))
            }
        }
    }

    /// Parses a line of a case.
    fn statement(
        &mut self,
        line: &SourceLine,
        folder: &Path,
        case: &mut Case,
    ) -> Result<(), ScriptError> {
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
                let expectation = expect::parse::parse(&after, &self.variables, folder)?;
                case.steps.push(Step::Expect(expectation));
                Ok(())
            }
            "let" => self.define(&after),
            "model" | "mode" | "system" | "set" | "repeat" => {
                if !case.steps.is_empty() {
                    let why = format!(
                        "{word} must stand before the lines of a case; between them, use /{word}"
                    );
                    return Err(ScriptError::new(&rest.at, why));
                }
                setting(word, &after, &self.variables, case)
            }
            _ => Err(unknown(word, &rest.at)),
        }
    }

    /// A line as a writer types it.
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

    /// `let NAME = VALUE`.
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

/// Checks the name of a variable.
fn check_variable(name: &str) -> Result<(), String> {
    let letters = |c: char| c.is_alphanumeric() || c == '_';
    match !name.is_empty() && name.chars().all(letters) {
        true => Ok(()),
        false => Err("A variable's name has letters, digits and underscores".to_string()),
    }
}

fn empty_case(at: &Position) -> Case {
    Case {
        name: String::new(),
        at: at.clone(),
        settings: SettingOverrides::default(),
        repeat: None,
        steps: Vec::new(),
    }
}

/// `model NAME`, `mode NAME`, `system TEXT`, `set NAME VALUE …` and `repeat N …`.
fn setting(
    word: &str,
    rest: &Rest,
    variables: &Variables,
    case: &mut Case,
) -> Result<(), ScriptError> {
    let settings = &mut case.settings;
    match word {
        "set" => return set(rest, variables, settings),
        "repeat" => {
            case.repeat = Some(repeat(rest, variables)?);
            return Ok(());
        }
        _ => {}
    }
    let value = rest.one_text(variables)?;
    if value.is_empty() {
        return Err(ScriptError::new(&rest.at, format!("{word} takes a value")));
    }
    match word {
        "model" => settings.model = Some(value),
        "system" => settings.system = Some(value),
        _ => {
            let wrong = || ScriptError::new(&rest.at, "A mode is prose or chat");
            settings.mode = Some(Mode::parse(&value).ok_or_else(wrong)?);
        }
    }
    Ok(())
}

/// `repeat N`, or `repeat N pass-rate >= 0.8`.
fn repeat(rest: &Rest, variables: &Variables) -> Result<Repeat, ScriptError> {
    let words = rest.words(variables)?;
    let times = words.first().and_then(|word| word.text.parse().ok());
    let times = times.filter(|times| (1..=MOST_RUNS).contains(times));
    let Some(times) = times else {
        let why = format!("repeat takes a number of runs from 1 to {MOST_RUNS}");
        return Err(ScriptError::new(&rest.at, why));
    };
    let pass_rate = match &words[1..] {
        [] => Bound::AtLeast(1.0),
        [name, comparison @ ..] if name.text == "pass-rate" => Bound::parse(comparison, &name.at)?,
        [other, ..] => {
            let why =
                "After the number, write pass-rate and a comparison, for example pass-rate >= 0.8";
            return Err(ScriptError::new(&other.at, why));
        }
    };
    Ok(Repeat { times, pass_rate })
}

fn set(
    rest: &Rest,
    variables: &Variables,
    settings: &mut SettingOverrides,
) -> Result<(), ScriptError> {
    let words = rest.words(variables)?;
    let (pairs, left) = words.as_chunks::<2>();
    if pairs.is_empty() || !left.is_empty() {
        let why = "set takes names and values, for example set temperature 0.8 seed 42; put a value with spaces in quotation marks";
        return Err(ScriptError::new(&rest.at, why));
    }
    for [name, value] in pairs {
        let found = sampling::find(&name.text);
        let found = found.map_err(|error| ScriptError::new(&name.at, error))?;
        let checked = found.set(&mut Sampling::default(), &value.text);
        checked.map_err(|error| ScriptError::new(&value.at, error))?;
        let pair = (found.name.to_string(), value.text.clone());
        settings.sampling.push(pair);
    }
    Ok(())
}

/// Why a command cannot be part of a replay: every case is a private session that leaves no files.
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

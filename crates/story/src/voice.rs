//! Parses and fills in voices and prompt templates, which are the files `prompts/<name>.md`.
//!
//! TOML front matter between two lines of `+++` contains the title, the variables and the preferred
//! sampling settings. The minijinja template after the front matter renders the text that the model
//! reads before the story. This module does not access files; the store finds and loads them. See
//! prompts/README.md for the format.

use super::frame::Voice;
use super::sampling::{self, SettingError};
use super::{Mode, Settings};
use base::nearest::nearest;
use base::untrusted::{clean, clean_line};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A voice or prompt template, as parsed from its file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PromptTemplate {
    pub name: String,
    pub title: String,
    pub help: String,
    /// The mode; None for a voice that suits both modes.
    pub mode: Option<Mode>,
    /// The story's opening words, if any.
    pub begin: String,
    /// The first turn of a chat, which replaces the opening words in chat mode.
    pub ask: String,
    /// The template's variables in alphabetical order, with their default values.
    pub variables: Vec<(String, String)>,
    /// The preferred sampling settings, as pairs of a name and a value written as for `/set`.
    pub sampling: Vec<(String, String)>,
    /// Example values of the variables, which `/voice` shows.
    pub example: Vec<(String, String)>,
    pub body: String,
}

/// A template with its variables filled in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilledTemplate {
    pub voice: Voice,
    /// The story's opening words, used in prose mode.
    pub begin: String,
    /// The first turn, used in chat mode.
    pub ask: String,
}

/// An error that says in one sentence why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoiceError {
    #[error("Cannot use the voice {name}: {why}; correct its file")]
    File { name: String, why: String },
    #[error("The voice {voice} has no variable {name}; {known}")]
    Variable {
        voice: String,
        name: String,
        known: String,
    },
    #[error("Expected NAME=VALUE, for example place=Oslo, not {0}")]
    Pair(String),
}

/// A template that takes more than this many steps of the template engine is considered endless.
const FUEL: u64 = 200_000;
/// The maximum size of the text that a template renders to, in bytes.
const LONGEST: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FrontMatter {
    title: String,
    #[serde(default)]
    help: String,
    #[serde(default)]
    mode: Option<Mode>,
    #[serde(default)]
    begin: String,
    #[serde(default)]
    ask: String,
    #[serde(default)]
    variables: BTreeMap<String, toml::Value>,
    #[serde(default)]
    sampling: BTreeMap<String, toml::Value>,
    #[serde(default)]
    example: BTreeMap<String, toml::Value>,
}

impl PromptTemplate {
    /// Parses the text of a template's file, and checks that the template can be filled in.
    pub fn parse(name: &str, text: &str) -> Result<PromptTemplate, VoiceError> {
        let wrong = |why: &str| file_error(name, why);
        let text = clean(text.strip_prefix('\u{feff}').unwrap_or(text));
        let (front, body) = text
            .trim_start()
            .strip_prefix("+++\n")
            .and_then(|rest| rest.split_once("\n+++"))
            .ok_or_else(|| wrong("it does not start with a header between two lines of +++"))?;
        let front: FrontMatter = toml::from_str(front).map_err(|error| wrong(error.message()))?;
        let template = PromptTemplate {
            name: clean_line(name),
            title: front.title,
            help: front.help,
            mode: front.mode,
            begin: front.begin,
            ask: front.ask,
            variables: named_values(front.variables),
            sampling: named_values(front.sampling),
            example: named_values(front.example),
            body: body.trim().to_string(),
        };
        template
            .apply_to(Settings::default())
            .map_err(|error| wrong(&error.to_string()))?;
        template.fill_variables(&[])?;
        template.fill_variables(&template.example)?;
        Ok(template)
    }

    /// Returns `settings` with the template's mode and sampling settings applied.
    pub fn apply_to(&self, mut settings: Settings) -> Result<Settings, SettingError> {
        settings.mode = self.mode.unwrap_or(settings.mode);
        for (name, value) in &self.sampling {
            sampling::set(&mut settings.sampling, name, value)?;
        }
        Ok(settings)
    }

    /// Fills in the template. Variables without a value in `given` get their default values.
    pub fn fill_variables(&self, given: &[(String, String)]) -> Result<FilledTemplate, VoiceError> {
        let mut values: BTreeMap<&str, String> = self
            .variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        for (name, value) in given {
            let wanted = name.replace('-', "_");
            let known = self.variables.iter().find(|(known, _)| *known == wanted);
            let (known, _) = known.ok_or_else(|| self.unknown_variable(name))?;
            values.insert(known, clean(value).into_owned());
        }
        let text = self.render(&self.body, &values)?.trim().to_string();
        let name = self.name.clone();
        Ok(FilledTemplate {
            voice: Voice { name, text },
            begin: self.render(&self.begin, &values)?,
            ask: self.render(&self.ask, &values)?,
        })
    }

    fn unknown_variable(&self, name: &str) -> VoiceError {
        let names = || self.variables.iter().map(|(name, _)| name.as_str());
        let known = match (nearest(name, names()), self.variables.is_empty()) {
            (Some(near), _) => format!("did you mean {near}?"),
            (None, true) => "it has no variables".to_string(),
            (None, false) => format!(
                "its variables are {}",
                names().collect::<Vec<_>>().join(", ")
            ),
        };
        VoiceError::Variable {
            voice: self.name.clone(),
            name: clean_line(&name.chars().take(40).collect::<String>()),
            known,
        }
    }

    fn render(&self, text: &str, values: &BTreeMap<&str, String>) -> Result<String, VoiceError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let mut syntax = SyntaxConfig::builder();
        syntax
            .keep_trailing_newline(true)
            .trim_blocks(true)
            .lstrip_blocks(true);
        let syntax = syntax.build();
        environment
            .set_syntax(syntax.map_err(|error| file_error(&self.name, &describe_error(&error)))?);
        environment.set_fuel(Some(FUEL));
        let rendered = environment.render_str(text, values);
        let rendered = rendered.map_err(|error| file_error(&self.name, &describe_error(&error)))?;
        match rendered.len() > LONGEST {
            true => Err(file_error(&self.name, "it renders to more than a megabyte")),
            false => Ok(rendered),
        }
    }
}

/// Parses `name=value` pairs separated by spaces. A value extends to the next name, and may be
/// quoted.
pub fn parse_assignments(text: &str) -> Result<Vec<(String, String)>, VoiceError> {
    let mut values: Vec<(String, String)> = Vec::new();
    let mut quoted = false;
    for word in text.split_inclusive(char::is_whitespace) {
        let pair = word
            .split_once('=')
            .filter(|(name, _)| !quoted && is_variable_name(name));
        let added = match (pair, values.last_mut()) {
            (Some((name, value)), _) => {
                values.push((name.to_string(), value.to_string()));
                value
            }
            (None, Some((_, value))) => {
                value.push_str(word);
                word
            }
            (None, None) => {
                let shown = word.trim().chars().take(40).collect::<String>();
                return Err(VoiceError::Pair(clean_line(&shown)));
            }
        };
        quoted ^= added.matches('"').count() % 2 == 1;
    }
    for (_, value) in &mut values {
        let plain = value.trim();
        let inner = plain
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        *value = inner.unwrap_or(plain).to_string();
    }
    Ok(values)
}

/// Parses one `name=value` pair from the command line.
pub fn parse_assignment(pair: &str) -> Result<(String, String), VoiceError> {
    match pair.split_once('=') {
        Some((name, value)) if is_variable_name(name) => Ok((name.to_string(), value.to_string())),
        _ => {
            let shown = pair.chars().take(40).collect::<String>();
            Err(VoiceError::Pair(clean_line(&shown)))
        }
    }
}

fn is_variable_name(word: &str) -> bool {
    let first = word.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    first && word.chars().all(plain)
}

fn named_values(table: BTreeMap<String, toml::Value>) -> Vec<(String, String)> {
    let plain = |value: toml::Value| match value {
        toml::Value::String(text) => text,
        toml::Value::Array(_) => serde_json::to_string(&value).unwrap_or_default(),
        value => value.to_string(),
    };
    let rows = table.into_iter();
    rows.map(|(name, value)| (name, plain(value))).collect()
}

fn file_error(name: &str, why: &str) -> VoiceError {
    VoiceError::File {
        name: clean_line(name),
        why: clean_line(why.trim()).trim_end_matches('.').to_string(),
    }
}

/// Describes an error from the template engine in plain words.
fn describe_error(error: &minijinja::Error) -> String {
    let line = error
        .line()
        .map_or(String::new(), |line| format!(" (line {line})"));
    match error.kind() {
        ErrorKind::OutOfFuel => "it does not terminate".to_string(),
        ErrorKind::UndefinedError => format!("it uses a variable that is not in [variables]{line}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "+++\ntitle = \"A tale\"\nmode = \"prose\"\nbegin = \"{{ place }}\\n\\n\"\n\
        [variables]\nplace = \"Skarn\"\nweather = \"rain\"\n[sampling]\ntemperature = 0.7\n\
        stop = [\"\\nTHE END\"]\n+++\n\nA tale of {{ place }}{% if weather %} in {{ weather }}{% endif %}.\n";

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_string(), value.to_string())
    }

    #[test]
    fn a_file_is_read_and_filled_in() {
        let template = PromptTemplate::parse("tale", FILE).unwrap();
        assert_eq!(
            template.fill_variables(&[]).unwrap().voice.text,
            "A tale of Skarn in rain."
        );
        let filled = template
            .fill_variables(&[pair("place", "Oslo"), pair("weather", "")])
            .unwrap();
        assert_eq!(filled.voice.text, "A tale of Oslo.");
        assert_eq!(filled.begin, "Oslo\n\n");
        let settings = template.apply_to(Settings::default()).unwrap();
        assert_eq!(settings.sampling.temperature, 0.7);
        assert_eq!(settings.sampling.stop, ["\nTHE END"]);
    }

    #[test]
    fn a_slip_is_one_sentence() {
        let template = PromptTemplate::parse("tale", FILE).unwrap();
        let said = template
            .fill_variables(&[pair("plaec", "x")])
            .unwrap_err()
            .to_string();
        assert_eq!(
            said,
            "The voice tale has no variable plaec; did you mean place?"
        );
        for (file, part) in [
            ("no front", "two lines of +++"),
            ("+++\ntitle = 3\n+++\n", "Cannot use"),
            ("+++\ntitle = \"x\"\nmodle = 1\n+++\n", "modle"),
            ("+++\ntitle = \"x\"\n+++\n{{ gone }}", "[variables]"),
            (
                "+++\ntitle = \"x\"\n[sampling]\ntemprature = 1\n+++\n",
                "temperature",
            ),
            (
                "+++\ntitle = \"x\"\n+++\n{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
                "terminate",
            ),
            ("+++\ntitle = \"x\"\n+++\n{% if %}", "Cannot use"),
        ] {
            let said = PromptTemplate::parse("x", file).unwrap_err().to_string();
            assert!(said.contains(part) && !said.contains('\n'), "{said}");
        }
    }

    #[test]
    fn values_go_on_to_the_next_name() {
        let read = parse_assignments("place=The old harbour hero=\"Mara = x\" n=3").unwrap();
        let expected = [
            pair("place", "The old harbour"),
            pair("hero", "Mara = x"),
            pair("n", "3"),
        ];
        assert_eq!(read, expected);
        assert_eq!(parse_assignments("").unwrap(), []);
        assert!(
            parse_assignments("harbour")
                .unwrap_err()
                .to_string()
                .contains("NAME=VALUE")
        );
    }
}

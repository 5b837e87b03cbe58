//! Parses the arguments of an expectation: texts, numbers, patterns and files.

use super::schema::Schema;
use super::{Bound, Check, PictureFile, Quantity};
use crate::files;
use crate::golden;
use crate::measure::language::{self, Language};
use crate::measure::picture;
use crate::measure::rouge::Rouge;
use crate::position::ScriptError;
use crate::words::{Rest, Variables, Word};
use base::nearest::nearest;
use base::untrusted::clean_key;
use fancy_regex::{Regex, RegexBuilder};
use std::path::Path;
use story::Status;

/// The check that results from parsing an expectation's arguments, or an error.
pub(super) type Built = Result<Check, ScriptError>;
pub(super) type Build = fn(&mut Arguments) -> Built;

/// The arguments of one expectation, to be parsed.
pub(super) struct Arguments<'a> {
    /// The name of the expectation, for error messages.
    pub(super) name: &'static str,
    /// A description of the arguments that the expectation takes, for error messages.
    pub(super) args: &'static str,
    pub(super) rest: Rest<'a>,
    pub(super) variables: &'a Variables,
    /// The folder of the script. The names of files in the arguments are relative to this folder.
    pub(super) folder: &'a Path,
}

/// The maximum size in bytes of a schema file or a picture file.
const LARGEST: u64 = 64 << 20;
/// The maximum number of times that a regular expression may backtrack in one match.
const BACKTRACKS: usize = 1_000_000;

/// The statuses with which a passage can end, each with its name in scripts.
pub(super) const FINISHES: &[(&str, Status)] = &[
    ("complete", Status::Complete),
    ("length", Status::Length),
    ("stop-string", Status::StopString),
    ("context-full", Status::ContextFull),
    ("stopped", Status::Stopped),
];

impl Arguments<'_> {
    fn error<T>(&self, why: impl std::fmt::Display) -> Result<T, ScriptError> {
        Err(ScriptError::new(&self.rest.at, why))
    }

    fn missing<T>(&self) -> Result<T, ScriptError> {
        self.error(format!("{} takes {}", self.name, self.args))
    }

    pub(super) fn nothing(&self) -> Result<(), ScriptError> {
        match self.rest.text {
            "" => Ok(()),
            _ => self.error(format!(
                "{} takes nothing; remove the rest of the line",
                self.name
            )),
        }
    }

    /// Returns the whole of the arguments as a single text.
    pub(super) fn text(&self) -> Result<String, ScriptError> {
        match self.rest.text {
            "" => self.missing(),
            _ => self.rest.one_text(self.variables),
        }
    }

    fn words(&self) -> Result<Vec<Word>, ScriptError> {
        let words = self.rest.words(self.variables)?;
        match words.is_empty() {
            true => self.missing(),
            false => Ok(words),
        }
    }

    /// Returns the text of each word of the arguments.
    pub(super) fn texts(&self) -> Result<Vec<String>, ScriptError> {
        Ok(self.words()?.into_iter().map(|word| word.text).collect())
    }

    pub(super) fn number(&self, quantity: Quantity) -> Built {
        let words = self.rest.words(self.variables)?;
        Ok(Check::Number(
            quantity,
            Bound::parse(&words, &self.rest.at)?,
        ))
    }

    /// Parses one or more quoted texts that are followed by a comparison.
    pub(super) fn texts_and_bound(&self) -> Result<(Vec<String>, Bound), ScriptError> {
        let words = self.words()?;
        let texts = words.iter().take_while(|word| word.quoted).count();
        if texts == 0 {
            return self.error(format!(
                "{} takes {}, with the text in quotation marks",
                self.name, self.args
            ));
        }
        let bound = Bound::parse(&words[texts..], &words[texts - 1].at)?;
        if !self.args.contains('…') && texts > 1 {
            let why = format!("{} takes one text; remove the others", self.name);
            return Err(ScriptError::new(&words[1].at, why));
        }
        let texts = words.into_iter().take(texts).map(|word| word.text);
        Ok((texts.collect(), bound))
    }

    pub(super) fn rouge(&self, which: Rouge) -> Built {
        let (texts, bound) = self.texts_and_bound()?;
        Ok(Check::Number(Quantity::Rouge(which, texts), bound))
    }

    pub(super) fn regex(&self) -> Result<Box<Regex>, ScriptError> {
        let text = self.rest.text;
        let slashed = text.strip_prefix('/').and_then(|it| it.rsplit_once('/'));
        let (pattern, flags) = match slashed {
            Some((pattern, flags)) => {
                let filled = crate::words::fill(pattern, &self.rest.at, self.variables)?;
                (filled.replace("\\/", "/"), flags)
            }
            None => (self.text()?, ""),
        };
        if let Some(wrong) = flags.chars().find(|flag| !"imsx".contains(*flag)) {
            return self.error(format!(
                "Unknown flag {wrong:?} of a pattern; flags are i, m, s and x"
            ));
        }
        let pattern = match flags {
            "" => pattern,
            flags => format!("(?{flags}){pattern}"),
        };
        let built = RegexBuilder::new(&pattern)
            .backtrack_limit(BACKTRACKS)
            .build();
        match built {
            Ok(regex) => Ok(Box::new(regex)),
            Err(error) => self.error(format!("The pattern is invalid: {error}")),
        }
    }

    pub(super) fn schema(&self) -> Result<Schema, ScriptError> {
        let text = self.rest.text;
        let json = match text.starts_with('{') || text == "true" || text == "false" {
            true => crate::words::fill(text, &self.rest.at, self.variables)?.into_bytes(),
            false => self.file(&self.text()?)?,
        };
        let value = serde_json::from_slice(&json);
        let value =
            value.or_else(|error| self.error(format!("The schema is not JSON: {error}")))?;
        Schema::compile(value).or_else(|why| self.error(why))
    }

    /// Parses the rest of the line as a JSON Schema; None if the rest is empty.
    pub(super) fn optional_schema(&self) -> Result<Option<Schema>, ScriptError> {
        match self.rest.text {
            "" => Ok(None),
            _ => self.schema().map(Some),
        }
    }

    /// Parses the name of a passage, followed by a comparison with a number. `quantity` turns the
    /// name into the quantity to be compared.
    pub(super) fn place_and_bound(&self, quantity: fn(String) -> Quantity) -> Built {
        let words = self.words()?;
        let [place, comparison @ ..] = words.as_slice() else {
            return self.missing();
        };
        let bound = Bound::parse(comparison, &place.at)?;
        Ok(Check::Number(quantity(place.text.clone()), bound))
    }

    pub(super) fn language(&self) -> Result<Language, ScriptError> {
        language::parse(&self.text()?).or_else(|why| self.error(why))
    }

    pub(super) fn finish(&self) -> Result<Status, ScriptError> {
        let word = self.text()?;
        let found = FINISHES.iter().find(|(name, _)| *name == word);
        if let Some((_, status)) = found {
            return Ok(*status);
        }
        let names = FINISHES.iter().map(|(name, _)| *name);
        let near = nearest(&word, names.clone());
        let word = clean_key(&word);
        self.error(match near {
            Some(near) => format!("Unknown reason \"{word}\"; did you mean {near}?"),
            None => {
                let all: Vec<&str> = names.collect();
                format!(
                    "Unknown reason \"{word}\"; the reasons are {}",
                    all.join(", ")
                )
            }
        })
    }

    pub(super) fn golden(&self) -> Result<String, ScriptError> {
        let name = self.text()?;
        golden::check_name(&name).or_else(|why| self.error(why))?;
        Ok(name)
    }

    pub(super) fn size(&self) -> Result<(u32, u32), ScriptError> {
        let text = self.text()?;
        let size = text.split_once(['x', '×']);
        let size = size.and_then(|(w, h)| Some((w.trim().parse().ok()?, h.trim().parse().ok()?)));
        size.map_or_else(
            || self.error("A size is WIDTHxHEIGHT, for example 512x512"),
            Ok,
        )
    }

    pub(super) fn picture_hash(&self) -> Built {
        let words = self.words()?;
        let [file, comparison @ ..] = words.as_slice() else {
            return self.missing();
        };
        let bound = Bound::parse(comparison, &file.at)?;
        let check = |hash: Option<u64>| {
            let file = PictureFile::new(&file.text, self.folder, hash);
            Ok(Check::Number(Quantity::PictureHash(file), bound))
        };
        let missing = !self.folder.join(&file.text).exists();
        if missing && PictureFile::may_be_written(&file.text) && bound.allows(0.0) {
            return check(None);
        }
        let bytes = self.file(&file.text)?;
        match picture::decode(&bytes) {
            Ok(decoded) => check(Some(picture::perceptual_hash(&decoded))),
            Err(why) => {
                let name = clean_key(&file.text);
                self.error(format!("{name} is not a readable picture: {why}"))
            }
        }
    }

    /// Reads a file whose name is relative to the script's folder.
    fn file(&self, name: &str) -> Result<Vec<u8>, ScriptError> {
        files::read(&self.folder.join(name), LARGEST).or_else(|why| self.error(why))
    }
}

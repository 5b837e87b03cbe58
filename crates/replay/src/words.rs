//! Splits the arguments of a script line into words, which may be quoted, and replaces variables
//! with their values.

use crate::position::{Position, ScriptError};
use base::nearest::nearest;
use base::untrusted::clean_key;
use std::collections::BTreeMap;

/// The variables of a script: each name with its value.
pub(crate) type Variables = BTreeMap<String, String>;

/// A word of a script line, and the position at which it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) at: Position,
    /// Whether the word was quoted. A quoted word is text even if it looks like a number or an
    /// operator.
    pub(crate) quoted: bool,
}

/// The part of a script line that is not yet parsed, with its position.
#[derive(Clone, Debug)]
pub(crate) struct Rest<'a> {
    pub(crate) text: &'a str,
    pub(crate) at: Position,
}

impl<'a> Rest<'a> {
    pub(crate) fn new(text: &'a str, at: Position) -> Rest<'a> {
        Rest { text, at }.trimmed()
    }

    /// Removes white space at the start and the end of the text.
    fn trimmed(self) -> Rest<'a> {
        let start = self.text.trim_start();
        let spaces = self.text[..self.text.len() - start.len()].chars().count();
        Rest {
            text: start.trim_end(),
            at: self.at.at_column(self.at.column + spaces),
        }
    }

    /// Splits the text at the first white space, even if it is inside quotes. Returns the word
    /// before it and the text after it.
    pub(crate) fn split(&self) -> (&'a str, Rest<'a>) {
        let end = self.text.find(char::is_whitespace);
        let (word, rest) = self.text.split_at(end.unwrap_or(self.text.len()));
        let column = self.at.column + word.chars().count();
        (word, Rest::new(rest, self.at.at_column(column)))
    }

    /// Returns the rest of the line as one text with its variables replaced. A single quoted word
    /// is returned without its quotes.
    pub(crate) fn one_text(&self, variables: &Variables) -> Result<String, ScriptError> {
        if self.text.starts_with('"') {
            let words = self.words(variables)?;
            return match <[Word; 1]>::try_from(words) {
                Ok([word]) => Ok(word.text),
                Err(words) => {
                    let at = words.get(1).map_or(&self.at, |word| &word.at);
                    let why = "The text has ended; put a quotation mark inside it as \\\"";
                    Err(ScriptError::new(at, why))
                }
            };
        }
        fill(self.text, &self.at, variables)
    }

    /// Splits the text into words and replaces their variables. Words are separated by white space,
    /// or quoted with escapes as in JSON.
    pub(crate) fn words(&self, variables: &Variables) -> Result<Vec<Word>, ScriptError> {
        let mut words = self.raw_words()?;
        for word in &mut words {
            word.text = fill(&word.text, &word.at, variables)?;
        }
        Ok(words)
    }

    /// Splits the text into words, but does not replace their variables.
    pub(crate) fn raw_words(&self) -> Result<Vec<Word>, ScriptError> {
        let mut found = Vec::new();
        let mut rest = self.clone();
        while !rest.text.is_empty() {
            let (len, quoted) = match rest.text.starts_with('"') {
                true => (quoted_length(&rest)?, true),
                false => {
                    let end = rest.text.find(char::is_whitespace);
                    (end.unwrap_or(rest.text.len()), false)
                }
            };
            let (word, after) = rest.text.split_at(len);
            let text = match quoted {
                true => unquoted(word, &rest.at)?,
                false => word.to_string(),
            };
            found.push(Word {
                text,
                at: rest.at.clone(),
                quoted,
            });
            let column = rest.at.column + word.chars().count();
            rest = Rest::new(after, rest.at.at_column(column));
        }
        Ok(found)
    }
}

/// The length in bytes of the quoted word at the start of the text, including its quotes.
fn quoted_length(rest: &Rest) -> Result<usize, ScriptError> {
    let mut escaped = false;
    for (at, c) in rest.text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Ok(at + 1),
            _ => {}
        }
    }
    let why = "The quotation mark is not closed; end the text with \"";
    Err(ScriptError::new(&rest.at, why))
}

fn unquoted(word: &str, at: &Position) -> Result<String, ScriptError> {
    serde_json::from_str(&word.replace('\t', "\\t")).map_err(|_| {
        let why = "Invalid escape; in quotes, \\n is a line break, \\t a tab, \\\" a quotation mark and \\\\ a backslash";
        ScriptError::new(at, why)
    })
}

/// The maximum length in bytes of a text after its variables are replaced.
const LONGEST: usize = 4 << 20;

/// Replaces each `{{ name }}` with the value of the variable, and each `\{{` with a literal `{{`.
pub(crate) fn fill(
    text: &str,
    at: &Position,
    variables: &Variables,
) -> Result<String, ScriptError> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let column = at.column + text[..text.len() - rest.len() + start].chars().count();
        let here = at.at_column(column);
        if let Some(before) = rest[..start].strip_suffix('\\') {
            filled += before;
            filled += "{{";
            rest = &rest[start + 2..];
            continue;
        }
        filled += &rest[..start];
        let Some(end) = rest[start..].find("}}") else {
            let why = "The variable is not closed; write {{name}}, or \\{{ for the two braces";
            return Err(ScriptError::new(&here, why));
        };
        let name = rest[start + 2..start + end].trim();
        let value = variables.get(name);
        filled += value.ok_or_else(|| unknown(name, &here, variables))?;
        if filled.len() > LONGEST {
            let why = "The variables make this line longer than 4 MB; shorten them";
            return Err(ScriptError::new(&here, why));
        }
        rest = &rest[start + end + 2..];
    }
    Ok(filled + rest)
}

fn unknown(name: &str, at: &Position, variables: &Variables) -> ScriptError {
    let near = nearest(name, variables.keys().map(String::as_str));
    let name = clean_key(name);
    let why = match near {
        Some(near) => format!("Unknown variable \"{name}\"; did you mean {near}?"),
        None => format!("Unknown variable \"{name}\"; define it above with let {name} = VALUE"),
    };
    ScriptError::new(at, why)
}

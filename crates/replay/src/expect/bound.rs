//! A comparison with a number: `<= 64`, `>= 0.5`, `10..20`.

use crate::position::{Position, ScriptError};
use crate::words::Word;
use base::untrusted::clean_key;
use std::fmt;

/// A comparison with a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    AtMost(f64),
    Below(f64),
    AtLeast(f64),
    Above(f64),
    Equal(f64),
    Unequal(f64),
    /// At least the first number and at most the second.
    Between(f64, f64),
}

impl Bound {
    /// Parses the words of a comparison. If `words` is empty, the error is reported at the position
    /// `at`.
    pub(crate) fn parse(words: &[Word], at: &Position) -> Result<Bound, ScriptError> {
        let number = |word: &Word| {
            let number = word
                .text
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite());
            number.ok_or_else(|| {
                let why = format!("\"{}\" is not a number", clean_key(&word.text));
                ScriptError::new(&word.at, why)
            })
        };
        match words {
            [] => Err(ScriptError::new(
                at,
                "A comparison is missing here, for example <= 64 or 10..20",
            )),
            [one] => {
                if let Some((low, high)) = one.text.split_once("..")
                    && let (Ok(low), Ok(high)) = (low.parse(), high.parse())
                {
                    return Ok(Bound::Between(low, high));
                }
                let operators = ["<=", ">=", "==", "!=", "<", ">", "="];
                let operator = operators.iter().find_map(|operator| {
                    let rest = one.text.strip_prefix(operator)?;
                    Some((operator, rest)).filter(|(_, rest)| !rest.is_empty())
                });
                let Some((operator, rest)) = operator else {
                    let why = format!(
                        "\"{}\" is not a comparison; write one such as <= 64 or 10..20",
                        clean_key(&one.text)
                    );
                    return Err(ScriptError::new(&one.at, why));
                };
                let value = Word {
                    text: rest.to_string(),
                    at: one.at.at_column(one.at.column + operator.len()),
                    quoted: false,
                };
                Bound::compare(operator, &one.at, number(&value)?)
            }
            [operator, value] => Bound::compare(&operator.text, &operator.at, number(value)?),
            [_, _, extra, ..] => Err(ScriptError::new(
                &extra.at,
                "Nothing may follow the comparison; remove the rest of the line",
            )),
        }
    }

    fn compare(operator: &str, at: &Position, value: f64) -> Result<Bound, ScriptError> {
        match operator {
            "<=" => Ok(Bound::AtMost(value)),
            "<" => Ok(Bound::Below(value)),
            ">=" => Ok(Bound::AtLeast(value)),
            ">" => Ok(Bound::Above(value)),
            "==" | "=" => Ok(Bound::Equal(value)),
            "!=" => Ok(Bound::Unequal(value)),
            other => {
                let other = clean_key(other);
                let why = format!(
                    "\"{other}\" is not a comparison; write <=, <, >=, >, == or != and a number"
                );
                Err(ScriptError::new(at, why))
            }
        }
    }

    /// Whether a number satisfies the comparison.
    pub fn allows(self, value: f64) -> bool {
        match self {
            Bound::AtMost(bound) => value <= bound,
            Bound::Below(bound) => value < bound,
            Bound::AtLeast(bound) => value >= bound,
            Bound::Above(bound) => value > bound,
            Bound::Equal(bound) => value == bound,
            Bound::Unequal(bound) => value != bound,
            Bound::Between(low, high) => (low..=high).contains(&value),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::AtMost(bound) => write!(f, "at most {bound}"),
            Bound::Below(bound) => write!(f, "less than {bound}"),
            Bound::AtLeast(bound) => write!(f, "at least {bound}"),
            Bound::Above(bound) => write!(f, "more than {bound}"),
            Bound::Equal(bound) => write!(f, "exactly {bound}"),
            Bound::Unequal(bound) => write!(f, "any number but {bound}"),
            Bound::Between(low, high) => write!(f, "{low} to {high}"),
        }
    }
}

//! Checks an expectation against the results of a typed line, and explains a failure.

use super::arguments::FINISHES;
use super::observed::Observed;
use super::quantity::{last_picture, round};
use super::{Check, Expectation, Target};
use crate::golden::{Comparison, Goldens};
use crate::measure::{language, picture};
use serde_json::Value;
use story::Status;
use story::diff::{diff_words, format_marked};

/// The result of checking one expectation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Finding {
    pub passed: bool,
    /// The measured number, if the expectation compares a number.
    pub measured: Option<f64>,
    /// What is wrong, in one sentence; empty if the expectation is met.
    pub why: String,
    /// The text with which the checked text was compared, if a comparison with a single text
    /// failed.
    pub expected: Option<String>,
    /// The text that was checked; None if it does not help to explain a failure.
    pub actual: Option<String>,
    /// The expected and the actual text merged into one text, in which the words that differ are
    /// marked.
    pub difference: Option<String>,
    /// A remark about an expectation that passed, for example that a golden was written.
    pub remark: Option<String>,
}

impl Finding {
    fn passed() -> Finding {
        Finding {
            passed: true,
            ..Finding::default()
        }
    }

    fn failed(why: impl Into<String>) -> Finding {
        Finding {
            why: why.into(),
            ..Finding::default()
        }
    }

    /// Adds the actual text to the finding.
    fn of(self, actual: &str) -> Finding {
        Finding {
            actual: Some(actual.to_string()),
            ..self
        }
    }

    /// Adds the expected text, the actual text and the difference between them to the finding.
    fn between(self, expected: &str, actual: &str) -> Finding {
        Finding {
            expected: Some(expected.to_string()),
            difference: Some(format_marked(&diff_words(expected, actual))),
            ..self.of(actual)
        }
    }
}

impl Expectation {
    /// Checks the expectation against the results of a line.
    pub fn check(&self, seen: &Observed, goldens: &Goldens) -> Finding {
        let (name, text) = match self.target {
            Target::Text => ("passage", seen.text),
            Target::Story => ("story", seen.story),
            Target::Answer => ("answer", seen.answer),
        };
        let finding = match &self.check {
            Check::Golden(golden) => compare_golden(goldens, golden, name, text),
            Check::Number(quantity, bound) => match quantity.measure(text, seen) {
                Ok(value) => Finding {
                    passed: bound.allows(value),
                    measured: Some(value),
                    why: match bound.allows(value) {
                        true => String::new(),
                        false => format!(
                            "{} is {}, but {bound} is expected.",
                            quantity.describe(name),
                            round(value)
                        ),
                    },
                    ..Finding::default()
                },
                Err(why) => Finding::failed(why),
            },
            other => return self.check_text(other, name, text, seen),
        };
        match (finding.passed || finding.actual.is_some(), &self.check) {
            (false, Check::Number(quantity, _)) if quantity.is_of_text() => {
                match quantity.references() {
                    [reference] => finding.between(reference, text.trim()),
                    _ => finding.of(text),
                }
            }
            _ => finding,
        }
    }

    /// Runs a check that does not measure a number. If the expectation is negated, the result is
    /// reversed.
    fn check_text(&self, check: &Check, name: &str, text: &str, seen: &Observed) -> Finding {
        let finding = match holds(check, name, text, seen) {
            Ok(finding) => finding,
            // The question has no answer, so neither it nor its opposite holds.
            Err(why) => return Finding::failed(why),
        };
        match (self.negated, finding.passed) {
            (false, _) => finding,
            (true, false) => Finding::passed(),
            (true, true) => Finding::failed(format!(
                "The expectation \"{}\" does not hold for the {name}.",
                self.source
            ))
            .of(text),
        }
    }
}

/// Checks whether `check` holds; if not, the finding explains why. Returns an error if the check
/// cannot be made.
fn holds(check: &Check, name: &str, text: &str, seen: &Observed) -> Result<Finding, String> {
    let trimmed = text.trim();
    let finding = |passed: bool, why: String| match passed {
        true => Finding::passed(),
        false => Finding::failed(why).of(text),
    };
    Ok(match check {
        Check::Equals(expected) => {
            let expected = expected.trim();
            match trimmed == expected {
                true => Finding::passed(),
                false => Finding::failed(format!("The {name} is a different text."))
                    .between(expected, trimmed),
            }
        }
        Check::SameAs(place) => {
            let other = (seen.passage)(place)?;
            match trimmed == other.trim() {
                true => Finding::passed(),
                false => Finding::failed(format!("The {name} differs from passage {place}."))
                    .between(other.trim(), trimmed),
            }
        }
        Check::Contains {
            texts,
            all,
            ignore_case,
        } => contains(texts, *all, *ignore_case, name, text),
        Check::Regex(regex) => {
            let matches = regex.is_match(text);
            let matches = matches
                .map_err(|_| "The pattern takes too long on this text; simplify it.".to_string())?;
            finding(matches, format!("The pattern does not match the {name}."))
        }
        Check::StartsWith(start) => finding(
            text.trim_start().starts_with(start.as_str()),
            format!("The {name} does not start with \"{start}\"."),
        ),
        Check::EndsWith(end) => finding(
            text.trim_end().ends_with(end.as_str()),
            format!("The {name} does not end with \"{end}\"."),
        ),
        Check::OneOf(texts) => finding(
            texts.iter().any(|one| one.trim() == trimmed),
            format!("The {name} is none of the {} expected texts.", texts.len()),
        ),
        Check::Json => match serde_json::from_str::<Value>(trimmed) {
            Ok(_) => Finding::passed(),
            Err(error) => finding(false, format!("The {name} is not JSON: {error}.")),
        },
        Check::JsonSchema(schema) => match serde_json::from_str::<Value>(trimmed) {
            Ok(value) => match schema.fault(&value) {
                None => Finding::passed(),
                Some(fault) => finding(
                    false,
                    format!("The {name} does not fit the schema: {fault}."),
                ),
            },
            Err(error) => finding(false, format!("The {name} is not JSON: {error}.")),
        },
        Check::Language(expected) => {
            let found = language::detect(text);
            let is = found.map_or("unknown", |found| found.eng_name());
            let why = format!(
                "The language of the {name} is {is}, but {} is expected.",
                expected.eng_name()
            );
            finding(found == Some(*expected), why)
        }
        Check::Finish(expected) => {
            let name = |status: Status| {
                let found = FINISHES.iter().find(|(_, known)| *known == status);
                found.map_or("unknown", |(name, _)| *name)
            };
            let ended = seen.status.map_or("nothing", name);
            let why = format!(
                "The passage ended with {ended}, but {} is expected.",
                name(*expected)
            );
            finding(seen.status == Some(*expected), why)
        }
        Check::Refused(message) => match seen.refused {
            Some(refused) => finding(
                refused.contains(message.as_str()),
                format!("The line was refused with another message: {refused}"),
            ),
            None => Finding::failed("The line was not refused."),
        },
        Check::PictureSize(width, height) => {
            let picture = picture::decode(last_picture(seen)?)?;
            let size = (picture.width(), picture.height());
            match size == (*width, *height) {
                true => Finding::passed(),
                false => Finding::failed(format!(
                    "The picture has {}x{} pixels, but {width}x{height} are expected.",
                    size.0, size.1
                )),
            }
        }
        // These are checked by `Expectation::check`.
        Check::Golden(_) | Check::Number(..) => Finding::default(),
    })
}

fn contains(texts: &[String], all: bool, ignore_case: bool, name: &str, text: &str) -> Finding {
    let fold = |text: &str| match ignore_case {
        true => text.to_lowercase(),
        false => text.to_string(),
    };
    let whole = fold(text);
    let missing: Vec<String> = texts
        .iter()
        .filter(|one| !whole.contains(&fold(one)))
        .map(|one| format!("\"{one}\""))
        .collect();
    match (all, missing.len()) {
        (true, 0) => Finding::passed(),
        (false, none) if none < texts.len() => Finding::passed(),
        (_, 1) => Finding::failed(format!("The {name} does not contain {}.", missing[0])).of(text),
        (true, _) => Finding::failed(format!("The {name} lacks {}.", missing.join(", "))).of(text),
        (false, _) => {
            let why = format!("The {name} contains none of {}.", missing.join(", "));
            Finding::failed(why).of(text)
        }
    }
}

fn compare_golden(goldens: &Goldens, golden: &str, name: &str, text: &str) -> Finding {
    let path = goldens.path(golden);
    match goldens.compare(golden, text) {
        Ok(Comparison::Same) => Finding::passed(),
        Ok(Comparison::Written) => Finding {
            remark: Some(format!("wrote {}", path.display())),
            ..Finding::passed()
        },
        Ok(Comparison::Different(known)) => {
            Finding::failed(format!("The {name} differs from {}.", path.display()))
                .between(&known, text)
        }
        Ok(Comparison::Missing) => Finding::failed(format!(
            "There is no {} yet; --update-golden writes it.",
            path.display()
        ))
        .of(text),
        Err(why) => Finding::failed(format!("{why}.")),
    }
}

//! Checks an expectation against the results of a typed line, and explains a failure.

use super::arguments::FINISHES;
use super::observed::Observed;
use super::quantity::{last_picture, round};
use super::{Bound, Check, Expectation, Finding, Quantity, Target};
use crate::golden::{Comparison, Goldens};
use crate::measure::{self, json, language, picture};
use serde_json::Value;
use story::Status;
use story::message::Measurement;

impl Expectation {
    /// Returns what a model must measure before [`Self::check`] is called, or None if nothing has
    /// to be measured. The caller puts the result into [`Observed::measured`]. If a measurement is
    /// impossible, this function returns None and the check explains why.
    pub fn question(&self, seen: &Observed) -> Option<Measurement> {
        let Check::Number(quantity, _) = &self.check else {
            return None;
        };
        let before = match self.target {
            Target::Text => seen.story.strip_suffix(seen.text).unwrap_or_default(),
            Target::Story | Target::Answer => "",
        };
        let (_, text) = self.subject(seen);
        quantity.question(text, before, seen).unwrap_or_default()
    }

    /// Whether the expectation compares a time or a speed.
    pub(crate) fn is_timed(&self) -> bool {
        let timed = |it: &Quantity| matches!(it, Quantity::Latency | Quantity::TokensPerSecond);
        matches!(&self.check, Check::Number(quantity, _) if timed(quantity))
    }

    /// Returns the name of the text that the expectation is about, and the text itself.
    fn subject<'a>(&self, seen: &'a Observed) -> (&'static str, &'a str) {
        match self.target {
            Target::Text => ("passage", seen.text),
            Target::Story => ("story", seen.story),
            Target::Answer => ("answer", seen.answer),
        }
    }

    /// Checks the expectation.
    pub fn check(&self, seen: &Observed, goldens: &Goldens) -> Finding {
        let (name, text) = self.subject(seen);
        let finding = match &self.check {
            Check::Golden(golden) => compare_golden(goldens, golden, name, text),
            Check::Number(quantity, bound) => match quantity.measure(text, seen) {
                Ok(value) => self.compare(quantity, *bound, value, name),
                Err(why) => Finding::failed(why),
            },
            other => return self.check_text(other, name, text, seen),
        };
        match (finding.passed || finding.actual.is_some(), &self.check) {
            (_, Check::Number(Quantity::PictureHash(file), bound)) => {
                file.settle(finding, *bound, seen, goldens)
            }
            (false, Check::Number(quantity, _)) if quantity.is_of_text() => {
                match quantity.references() {
                    [reference] => finding.between(reference, text.trim()),
                    _ => finding.of(text),
                }
            }
            _ => finding,
        }
    }

    /// Checks the measured number `value` against `bound`.
    fn compare(&self, quantity: &Quantity, bound: Bound, value: f64, name: &str) -> Finding {
        let passed = bound.allows(value) != self.negated;
        let grade = quantity.grade(value, bound);
        let wanted = if self.negated {
            "not allowed"
        } else {
            "expected"
        };
        let number = round(value);
        let sentence = || {
            let what = quantity.describe(name);
            format!("{what} is {number}, but {bound} is {wanted}.")
        };
        Finding {
            passed,
            score: grade.unwrap_or_else(|| f64::from(u8::from(passed))),
            measured: Some(value),
            why: if passed { String::new() } else { sentence() },
            ..Finding::default()
        }
    }

    /// Runs a check whose result is yes or no rather than a number; `not-` reverses the result.
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
        Check::LongerThan(place) => {
            let other = measure::word_count(&(seen.passage)(place)?);
            let words = measure::word_count(text);
            let why = format!("The {name} has {words} words, and passage {place} has {other}.");
            finding(words > other, why)
        }
        Check::Exactly(expected) => match text == expected {
            true => Finding::passed(),
            false => {
                Finding::failed(format!("The {name} is a different text.")).between(expected, text)
            }
        },
        Check::ExactStart(start) => finding(
            text.starts_with(start.as_str()),
            format!("The {name} does not start with \"{start}\"."),
        ),
        Check::ContainsHtml => {
            let why = format!("The {name} contains no HTML.");
            finding(measure::html::contains_html(text), why)
        }
        // promptfoo takes silence for a refusal, but gives it no score.
        Check::Refusal if trimmed.is_empty() => Finding {
            score: 0.0,
            ..Finding::passed()
        },
        Check::Refusal => {
            let why = format!("The {name} is not a refusal.");
            finding(measure::refusal::is_refusal(text), why)
        }
        Check::ContainsJson(schema) => {
            let objects = json::objects(text);
            match schema {
                None => finding(
                    !objects.is_empty(),
                    format!("The {name} contains no JSON object."),
                ),
                Some(schema) => {
                    let fits = |object: &Value| schema.fault(object).is_none();
                    let why = format!(
                        "None of the {} JSON objects in the {name} fits the schema.",
                        objects.len()
                    );
                    finding(objects.iter().any(fits), why)
                }
            }
        }
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
        Check::PictureStyle(style) => {
            last_picture(seen)?;
            let drawn = seen.picture_style.unwrap_or("any");
            match drawn == style {
                true => Finding::passed(),
                false => Finding::failed(format!(
                    "The style of the picture is {drawn}, but {style} is expected."
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

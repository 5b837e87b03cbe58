//! Parses an `expect` line.

use super::arguments::Arguments;
use super::kinds::{self, Kind};
use super::{Expectation, Target};
use crate::position::{Position, ScriptError};
use crate::words::{Rest, Variables};
use base::nearest::nearest;
use base::untrusted::clean_key;
use std::path::Path;

/// Parses the part of an `expect` line after the word `expect`.
pub(crate) fn parse(
    whole: &Rest,
    variables: &Variables,
    folder: &Path,
) -> Result<Expectation, ScriptError> {
    let (weight, rest) = weight(whole)?;
    let (first, after) = rest.split();
    let target = Target::ALL.iter().find(|(name, _)| *name == first);
    let (target, named, rest) = match target {
        Some((name, target)) => (*target, Some(*name), after),
        None => (Target::default(), None, rest.clone()),
    };
    let (name, arguments) = rest.split();
    if name.is_empty() {
        let why = "An expectation is missing, for example expect contains \"lamp\"";
        return Err(ScriptError::new(&rest.at, why));
    }
    let (negated, kind) = find(name, &rest.at)?;
    if let Some(named) = named.filter(|_| !kind.of_text) {
        let why = format!(
            "{} is not about a text; write it without {named}",
            kind.name
        );
        return Err(ScriptError::new(&rest.at, why));
    }
    let mut arguments = Arguments {
        name: kind.name,
        args: kind.args,
        rest: arguments,
        variables,
        folder,
    };
    Ok(Expectation {
        check: (kind.build)(&mut arguments)?,
        at: rest.at.clone(),
        source: whole.text.to_string(),
        weight,
        target,
        negated,
    })
}

/// Parses `weight NUMBER` at the start of a line. Returns the weight, which is 1 by default, and
/// the rest of the line.
fn weight<'a>(whole: &Rest<'a>) -> Result<(f64, Rest<'a>), ScriptError> {
    let (word, after) = whole.split();
    if word != "weight" {
        return Ok((1.0, whole.clone()));
    }
    let (number, rest) = after.split();
    let weight: Option<f64> = number.parse().ok();
    match weight.filter(|weight| weight.is_finite() && *weight >= 0.0) {
        Some(weight) => Ok((weight, rest)),
        None => {
            let why = "weight takes a number from 0 upwards, for example expect weight 2 contains \"lamp\"";
            Err(ScriptError::new(&after.at, why))
        }
    }
}

/// Finds the kind of expectation with this name. The returned bool says whether the name begins
/// with `not-`.
fn find(name: &str, at: &Position) -> Result<(bool, &'static Kind), ScriptError> {
    let by_name = |name: &str| kinds::all().find(|kind| kind.name == name);
    if let Some(kind) = by_name(name) {
        return Ok((false, kind));
    }
    let bare = name.strip_prefix("not-");
    if let Some(kind) = bare.and_then(by_name) {
        if kind.negatable {
            return Ok((true, kind));
        }
        let why = match kind.args.contains("COMPARISON") {
            true => format!("{} takes no not-; write the opposite comparison", kind.name),
            false => format!("{} takes no not-; remove it", kind.name),
        };
        return Err(ScriptError::new(at, why));
    }
    let names = kinds::all().map(|kind| kind.name);
    let near = nearest(bare.unwrap_or(name), names);
    let name = clean_key(name);
    let not = if bare.is_some() { "not-" } else { "" };
    let why = match near {
        Some(near) => format!("Unknown expectation \"{name}\"; did you mean {not}{near}?"),
        None => format!("Unknown expectation \"{name}\"; docs/replay.md lists them all"),
    };
    Err(ScriptError::new(at, why))
}

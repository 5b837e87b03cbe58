//! Parses the lines that set something for a case: its model, its settings, and how it runs.

use super::{Case, Repeat, conditions};
use crate::expect::Bound;
use crate::position::ScriptError;
use crate::words::{Rest, Variables};
use std::path::Path;
use story::{Mode, Sampling, SettingOverrides, sampling};

/// The maximum number of times that a case may be repeated.
const MOST_RUNS: u32 = 100_000;

/// The first words of the lines that this module parses.
pub(super) const SETTINGS: &[&str] = &[
    "answers",
    "backend",
    "device",
    "mode",
    "model",
    "repeat",
    "set",
    "system",
    "threads",
    "threshold",
];

/// Parses a line that begins with one of [`SETTINGS`]. File names in the line are relative to the
/// folder.
pub(super) fn setting(
    word: &str,
    rest: &Rest,
    (variables, folder): (&Variables, &Path),
    case: &mut Case,
) -> Result<(), ScriptError> {
    let settings = &mut case.settings;
    match word {
        "set" => return set(rest, variables, settings),
        "repeat" => {
            case.repeat = Some(repeat(rest, variables)?);
            return Ok(());
        }
        "threshold" => {
            let score: Option<f64> = rest.one_text(variables)?.parse().ok();
            let score = score.filter(|score| score.is_finite());
            let takes =
                "threshold takes the score from which a case passes, for example threshold 0.8";
            case.threshold = Some(score.ok_or_else(|| ScriptError::new(&rest.at, takes))?);
            return Ok(());
        }
        "answers" => {
            case.conditions.answers = Some(conditions::answers(rest, variables, folder)?);
            return Ok(());
        }
        _ => {}
    }
    let value = rest.one_text(variables)?;
    if value.is_empty() {
        return Err(ScriptError::new(&rest.at, format!("{word} takes a value")));
    }
    match word {
        "model" => {
            let (name, sha256) = conditions::pinned_model(&value);
            case.conditions.sha256 = sha256.map_err(|why| ScriptError::new(&rest.at, why))?;
            settings.model = Some(name.to_string());
        }
        "backend" | "device" | "threads" => {
            let set = case.conditions.set(word, value);
            set.map_err(|why| ScriptError::new(&rest.at, why))?;
        }
        "system" => settings.system = Some(value),
        _ => {
            let wrong = || ScriptError::new(&rest.at, "A mode is prose or chat");
            settings.mode = Some(Mode::parse(&value).ok_or_else(wrong)?);
        }
    }
    Ok(())
}

/// Parses `repeat N`, or `repeat N pass-rate >= 0.8`.
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

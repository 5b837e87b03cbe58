//! Loads tests from the configuration itself or from files that the configuration names, and fills
//! in what each test takes from the default test.

use super::config::Config;
use crate::import::{Omission, read};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The keys of a test with their values.
type Test = Map<String, Value>;

/// The keys of a test that are imported or do not affect the result.
const KNOWN: &[&str] = &[
    "assert",
    "assertScoringFunction",
    "description",
    "metadata",
    "options",
    "prompts",
    "provider",
    "providers",
    "threshold",
    "vars",
];

/// Loads the tests of a configuration. A configuration without tests gets a single test without
/// variables.
pub(super) fn load(
    config: &Config,
    folder: &Path,
    omitted: &mut Vec<Omission>,
) -> Result<Vec<Test>, String> {
    let default = config.default_test();
    let mut tests = match config.keys.get("tests") {
        None | Some(Value::Null) => vec![Test::new()],
        Some(tests) => listed(tests, folder, omitted)?,
    };
    for (at, test) in tests.iter_mut().enumerate() {
        let unknown = test.keys().filter(|name| !KNOWN.contains(&name.as_str()));
        omitted.extend(unknown.map(|name| Omission {
            place: format!("test {}", at + 1),
            what: format!("\"{name}\""),
            why: "a script has no such part".to_string(),
        }));
        add_default(test, &default);
    }
    Ok(tests)
}

fn listed(tests: &Value, folder: &Path, omitted: &mut Vec<Omission>) -> Result<Vec<Test>, String> {
    let all = match tests {
        Value::Array(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut found = Vec::new();
    for (at, test) in all.iter().enumerate() {
        let name = match test {
            Value::Object(map) => match map.get("path").and_then(Value::as_str) {
                Some(path) if path.starts_with("file://") => path,
                _ => {
                    found.push(map.clone());
                    continue;
                }
            },
            Value::String(name) => name,
            _ => return Err(format!("test {} is not an object", at + 1)),
        };
        let file = name.strip_prefix("file://").unwrap_or(name);
        match from_file(file, folder) {
            Ok(tests) => found.extend(tests),
            Err(why) => omitted.push(Omission {
                place: "tests".to_string(),
                what: file.to_string(),
                why,
            }),
        }
    }
    Ok(found)
}

fn from_file(file: &str, folder: &Path) -> Result<Vec<Test>, String> {
    let path = folder.join(file);
    let ending = path.extension().and_then(|it| it.to_str());
    let object = |value: Value| match value {
        Value::Object(map) => Ok(map),
        _ => Err("a test is not an object".to_string()),
    };
    match ending {
        Some("yaml" | "yml" | "json") => match crate::yaml::parse(&read(&path)?)? {
            Value::Array(all) => all.into_iter().map(object).collect(),
            one => Ok(vec![object(one)?]),
        },
        Some("jsonl") => {
            let text = read(&path)?;
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            let value = |line| serde_json::from_str(line).map_err(|error| error.to_string());
            lines.map(|line| object(value(line)?)).collect()
        }
        Some("csv") => from_csv(&read(&path)?),
        _ => Err("a script cannot run a program that makes tests".to_string()),
    }
}

/// Parses tests from CSV. Each row is a test, with a column for each variable and columns for
/// assertions and options.
fn from_csv(text: &str) -> Result<Vec<Test>, String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|error| error.to_string())?.clone();
    let row = |record: csv::Result<csv::StringRecord>| {
        let record = record.map_err(|error| error.to_string())?;
        let (mut test, mut vars, mut asserts) = (Test::new(), Test::new(), Vec::new());
        let mut options = Test::new();
        for (name, cell) in headers.iter().zip(&record) {
            let (name, cell) = (name.trim(), cell.trim());
            match name.strip_prefix("__") {
                None => drop(vars.insert(name.to_string(), Value::from(cell))),
                Some(_) if cell.is_empty() => {}
                Some("description") => drop(test.insert("description".into(), Value::from(cell))),
                Some("threshold") => {
                    let score: f64 = cell.parse().map_err(|_| "__threshold is not a number")?;
                    test.insert("threshold".into(), Value::from(score));
                }
                Some(option @ ("prefix" | "suffix")) => {
                    options.insert(option.to_string(), Value::from(cell));
                }
                Some(other) if other.starts_with("expected") => asserts.push(shorthand(cell)),
                Some(_) => drop(test.insert(name.to_string(), Value::from(cell))),
            }
        }
        test.insert("vars".into(), Value::Object(vars));
        test.insert("options".into(), Value::Object(options));
        test.insert("assert".into(), Value::Array(asserts));
        Ok(test)
    };
    reader.records().map(row).collect()
}

/// Parses an assertion in a cell of a table. The cell is `TYPE: VALUE` or `TYPE(THRESHOLD): VALUE`,
/// or contains a text that the answer must equal.
fn shorthand(cell: &str) -> Value {
    for (start, kind) in [
        ("fn:", "javascript"),
        ("eval:", "javascript"),
        ("grade:", "llm-rubric"),
    ] {
        if let Some(value) = cell.strip_prefix(start) {
            return json!({"type": kind, "value": value.trim()});
        }
    }
    let (head, value) = cell.split_once(':').unwrap_or((cell, ""));
    let (name, threshold) = match head.split_once('(') {
        Some((name, rest)) => (
            name,
            rest.strip_suffix(')').and_then(|it| it.parse::<f64>().ok()),
        ),
        None => (head, None),
    };
    let name = name.trim();
    let value = value.trim();
    if !super::assertions::is_type(name) {
        return json!({"type": "equals", "value": cell});
    }
    let mut assertion = json!({"type": name});
    let listed = name.ends_with("-any") || name.ends_with("-all");
    if listed {
        let values = super::list::separated(value).unwrap_or_default();
        assertion["value"] = Value::from(values);
    } else if !value.is_empty() {
        assertion["value"] = Value::from(value);
    }
    // The value of these is their threshold.
    let number: Option<f64> = value.parse().ok();
    if let (Some(number), true) = (number, ["latency", "cost", "perplexity"].contains(&name)) {
        assertion["threshold"] = Value::from(number);
    }
    if let Some(threshold) = threshold {
        assertion["threshold"] = Value::from(threshold);
    }
    assertion
}

/// Adds the parts of the default test to a test.
fn add_default(test: &mut Test, default: &Test) {
    for name in ["vars", "options"] {
        let mut all = default
            .get(name)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        if let Some(Value::Object(own)) = test.get(name) {
            all.extend(own.clone());
        }
        // Variables in a file of their own are an error of the case.
        if !matches!(test.get(name), Some(Value::String(_))) {
            test.insert(name.to_string(), Value::Object(all));
        }
    }
    let options = test.get("options").unwrap_or(&Value::Null);
    let disabled = options["disableDefaultAsserts"] == Value::Bool(true);
    let list = |from: &Test| from.get("assert").and_then(Value::as_array).cloned();
    let mut asserts = list(default).filter(|_| !disabled).unwrap_or_default();
    asserts.extend(list(test).unwrap_or_default());
    test.insert("assert".to_string(), Value::Array(asserts));
    for name in [
        "threshold",
        "prompts",
        "assertScoringFunction",
        "provider",
        "providers",
    ] {
        if let (None, Some(value)) = (test.get(name), default.get(name)) {
            test.insert(name.to_string(), value.clone());
        }
    }
}

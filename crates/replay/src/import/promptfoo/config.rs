//! Parses a configuration and resolves its references to assertion templates.

use crate::import::Omission;
use serde_json::{Map, Value};

/// The maximum depth to which references may be nested.
const DEEPEST: usize = 16;

/// Keys that a script does not need. They configure how promptfoo runs tests and shares or stores
/// results.
const IGNORED: &[&str] = &[
    "$schema",
    "assertionTemplates",
    "commandLineOptions",
    "description",
    "evaluateOptions",
    "metadata",
    "outputPath",
    "sharing",
    "tags",
    "writeLatestResults",
];
/// The keys of a configuration that are imported.
const KNOWN: &[&str] = &["defaultTest", "prompts", "providers", "targets", "tests"];

/// A promptfoo configuration.
pub(super) struct Config {
    pub(super) keys: Map<String, Value>,
}

impl Config {
    pub(super) fn parse(text: &str) -> Result<Config, String> {
        let why = |error: String| format!("the file is not YAML: {error}");
        let whole = crate::yaml::parse(text).map_err(why)?;
        let resolved = resolve(&whole, &whole, 0)?;
        match resolved {
            Value::Object(keys) if keys.contains_key("prompts") || keys.contains_key("tests") => {
                Ok(Config { keys })
            }
            _ => Err(
                "this is not a configuration of promptfoo, since it has neither prompts nor tests"
                    .to_string(),
            ),
        }
    }

    /// Returns the keys of the configuration that are neither imported nor safe to ignore.
    pub(super) fn omissions(&self) -> Vec<Omission> {
        let names = self.keys.keys().map(String::as_str);
        let unknown = names.filter(|name| !KNOWN.contains(name) && !IGNORED.contains(name));
        let omission = |name: &str| Omission {
            place: "the file".to_string(),
            what: format!("\"{name}\""),
            why: "a script has no such part".to_string(),
        };
        unknown.map(omission).collect()
    }

    pub(super) fn default_test(&self) -> Map<String, Value> {
        let default = self.keys.get("defaultTest").and_then(Value::as_object);
        default.cloned().unwrap_or_default()
    }
}

/// Replaces each reference `$ref: '#/…'` in `value` with the part of `whole` that it refers to.
fn resolve(value: &Value, whole: &Value, depth: usize) -> Result<Value, String> {
    if depth > DEEPEST {
        return Err("its references lead to each other".to_string());
    }
    Ok(match value {
        Value::Array(values) => {
            let values = values.iter().map(|value| resolve(value, whole, depth));
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        Value::Object(map) => {
            let reference = map.get("$ref").and_then(Value::as_str);
            if let Some(pointer) = reference.and_then(|it| it.strip_prefix('#')) {
                let found = whole.pointer(pointer);
                let found =
                    found.ok_or_else(|| format!("its reference #{pointer} leads nowhere"))?;
                return resolve(found, whole, depth + 1);
            }
            let entries = map.iter().map(|(name, value)| {
                let value = resolve(value, whole, depth)?;
                Ok::<_, String>((name.clone(), value))
            });
            Value::Object(entries.collect::<Result<_, _>>()?)
        }
        other => other.clone(),
    })
}

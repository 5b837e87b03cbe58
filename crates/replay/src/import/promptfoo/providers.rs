//! Imports providers, which are the models that promptfoo tests.

use super::config::Config;
use crate::import::write::comment;
use serde_json::Value;
use story::{Sampling, sampling};

/// The options of a provider that are imported, each with the name of the setting in a script.
const SETTINGS: &[(&str, &str)] = &[
    ("temperature", "temperature"),
    ("max_tokens", "max_tokens"),
    ("max_completion_tokens", "max_tokens"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
    ("min_p", "min_p"),
    ("seed", "seed"),
    ("frequency_penalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
    ("repeat_penalty", "repeat_penalty"),
];

/// The parts of a script that are derived from the providers.
pub(super) struct Providers {
    /// Whether one of the providers only repeats the prompt, so that no model is needed.
    pub(super) echo: bool,
    /// Comments and settings for the start of the script.
    pub(super) head: Vec<String>,
}

pub(super) fn read(config: &Config) -> Providers {
    let listed = config.keys.get("providers");
    let listed = listed.or(config.keys.get("targets"));
    let all: Vec<Value> = match listed {
        Some(Value::Array(all)) => all.clone(),
        Some(one @ (Value::String(_) | Value::Object(_))) => vec![one.clone()],
        _ => Vec::new(),
    };
    let all: Vec<(String, Value)> = all.iter().filter_map(named).collect();
    if all.iter().any(|(id, _)| id == "echo") {
        let others = all.iter().filter(|(id, _)| id != "echo");
        let others = others.map(|(id, _)| comment(&format!("Not used: provider {id}")));
        let head = std::iter::once("model echo".to_string()).chain(others);
        return Providers {
            echo: true,
            head: head.collect(),
        };
    }
    let mut head = Vec::new();
    let completes = all
        .first()
        .is_some_and(|(id, _)| id.contains(":completion"));
    if !completes {
        head.push("mode chat".to_string());
    }
    for (at, (id, options)) in all.iter().enumerate() {
        let address = ["apiBaseUrl", "baseUrl", "apiHost", "url"];
        let address = address.iter().find_map(|name| options[*name].as_str());
        let address = address.or(id.starts_with("http").then_some(id.as_str()));
        // One with a password or a key is not for a script.
        let run = match address.filter(|address| !address.contains(['@', '?'])) {
            Some(address) => format!("run with --backend {address}"),
            None => "choose a model with --model or a server with --backend".to_string(),
        };
        head.push(comment(&format!("Provider {id}: {run}")));
        let settings = SETTINGS.iter().filter(|_| at == 0);
        head.extend(settings.filter_map(|(theirs, ours)| set(ours, options[*theirs].as_f64()?)));
    }
    Providers { echo: false, head }
}

/// Returns the line of a script that sets `name` to `value`, or a comment if the value is not
/// allowed. Returns None if no setting has this name.
fn set(name: &str, value: f64) -> Option<String> {
    let setting = sampling::find(name).ok()?;
    let line = format!("set {name} {value}");
    match setting.set(&mut Sampling::default(), &value.to_string()) {
        Ok(_) => Some(line),
        Err(why) => Some(comment(&format!("Not used: {line}: {why}"))),
    }
}

/// Returns the id and the options of a provider. A provider is written as its id, as an object with
/// an id, or as an object that has the id as its key.
fn named(provider: &Value) -> Option<(String, Value)> {
    match provider {
        Value::String(id) => Some((id.clone(), Value::Null)),
        Value::Object(map) => match map.get("id").and_then(Value::as_str) {
            Some(id) => Some((id.to_string(), provider["config"].clone())),
            None => {
                let (id, options) = map.iter().next()?;
                Some((id.clone(), options["config"].clone()))
            }
        },
        _ => None,
    }
}

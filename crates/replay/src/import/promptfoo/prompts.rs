//! Loads prompts from the configuration itself, or from files that the configuration names.

use super::config::Config;
use crate::import::{Omission, read};
use serde_json::{Map, Value};
use std::path::Path;

/// A prompt template and its names.
#[derive(Clone, Debug)]
pub(super) struct Prompt {
    raw: String,
    /// The names by which a test can select the prompt.
    names: Vec<String>,
}

impl Prompt {
    fn new(raw: &str, names: &[Option<&str>]) -> Prompt {
        Prompt {
            raw: raw.to_string(),
            names: names.iter().flatten().map(ToString::to_string).collect(),
        }
    }

    /// Whether the test uses this prompt.
    pub(super) fn is_for(&self, test: &Map<String, Value>) -> bool {
        let Some(chosen) = test.get("prompts").and_then(Value::as_array) else {
            return true;
        };
        let fits = |wanted: &str, name: &str| match wanted.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == wanted || name.starts_with(&format!("{wanted}:")),
        };
        let mut chosen = chosen.iter().filter_map(Value::as_str);
        chosen.any(|wanted| self.names.iter().any(|name| fits(wanted, name)))
    }

    /// Returns the prompt with the test's prefix and suffix added.
    pub(super) fn of_test(&self, test: &Map<String, Value>) -> String {
        let options = test.get("options").unwrap_or(&Value::Null);
        let option = |name: &str| options[name].as_str().unwrap_or_default();
        format!("{}{}{}", option("prefix"), self.raw, option("suffix"))
    }
}

/// Loads the prompts of a configuration.
pub(super) fn load(
    config: &Config,
    folder: &Path,
    omitted: &mut Vec<Omission>,
) -> Result<Vec<Prompt>, String> {
    let listed = match config.keys.get("prompts") {
        Some(Value::Array(prompts)) => prompts.clone(),
        Some(one @ (Value::String(_) | Value::Object(_))) => vec![one.clone()],
        _ => return Err("it has no prompts".to_string()),
    };
    let mut prompts = Vec::new();
    for (at, prompt) in listed.iter().enumerate() {
        match one(prompt, folder) {
            Ok(found) => prompts.extend(found),
            Err(why) => omitted.push(Omission {
                place: format!("prompt {}", at + 1),
                what: "it".to_string(),
                why,
            }),
        }
    }
    Ok(prompts)
}

fn one(prompt: &Value, folder: &Path) -> Result<Vec<Prompt>, String> {
    let (raw, label, id) = match prompt {
        Value::String(raw) => (raw.as_str(), None, None),
        Value::Object(map) => {
            let text = |name: &str| map.get(name).and_then(Value::as_str);
            let raw = text("raw").or(text("prompt")).or(text("id"));
            let raw = raw.ok_or("it has neither raw nor id")?;
            (raw, text("label"), text("id"))
        }
        _ => return Err("it is not a text".to_string()),
    };
    if raw.contains("://") && !raw.starts_with("file://") && !raw.contains(char::is_whitespace) {
        return Err("it is kept by a service".to_string());
    }
    let file = raw.strip_prefix("file://");
    let file = file.or(Some(raw).filter(|raw| is_file(raw, folder)));
    let Some(file) = file else {
        return Ok(vec![Prompt::new(raw, &[Some(label.unwrap_or(raw)), id])]);
    };
    let ending = Path::new(file).extension().and_then(|it| it.to_str());
    let text = || read(&folder.join(file));
    let named = |raw: &str| Prompt::new(raw, &[label, id, Some(file)]);
    Ok(match ending {
        Some("txt") => {
            let text = text()?;
            let parts = text.split("\n---\n").map(str::trim);
            parts.filter(|part| !part.is_empty()).map(named).collect()
        }
        Some("md" | "j2" | "json") => vec![named(&text()?)],
        Some("yaml" | "yml") => vec![named(&crate::yaml::parse(&text()?)?.to_string())],
        Some("jsonl") => text()?
            .lines()
            .filter(|it| !it.is_empty())
            .map(named)
            .collect(),
        _ => return Err(format!("{file} is not a file of text")),
    })
}

/// Whether a prompt without `file://` is the name of a file.
fn is_file(raw: &str, folder: &Path) -> bool {
    let short = raw.len() < 256 && !raw.contains(['\n', '{']);
    short && Path::new(raw).extension().is_some() && folder.join(raw).is_file()
}

//! Imports samples of OpenAI's evals. A file is JSON Lines; each line has the messages of a chat
//! (`input`) and one or several ideal answers (`ideal`). The basic evals `Match`, `Includes` and
//! `FuzzyMatch` share this format. The model's answer must contain an ideal answer, as in
//! `Includes`.

use super::write::quoted;
use super::{CaseLines, Cases, MOST_CASES, Omission};
use serde_json::Value;

/// Parses the samples of a file.
pub(super) fn parse(text: &str) -> Result<Cases, String> {
    let mut cases = Cases {
        head: vec!["mode chat".to_string()],
        ..Cases::default()
    };
    let lines = text.lines().enumerate();
    for (at, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        if cases.cases.len() >= MOST_CASES {
            return Err(format!(
                "There are more than {MOST_CASES} samples; divide them"
            ));
        }
        let number = at + 1;
        let sample: Value = serde_json::from_str(line)
            .map_err(|error| format!("line {number} is not JSON: {error}"))?;
        match case(&sample, number) {
            Ok(case) => cases.cases.push(case),
            Err(why) => cases.omitted.push(Omission {
                place: format!("line {number}"),
                what: "the sample".to_string(),
                why,
            }),
        }
    }
    Ok(cases)
}

fn case(sample: &Value, number: usize) -> Result<CaseLines, String> {
    let (system, prompt) = match &sample["input"] {
        Value::String(text) => (None, text.clone()),
        Value::Array(messages) => chat(messages)?,
        _ => return Err("it has no input".to_string()),
    };
    if prompt.trim().is_empty() {
        return Err("its input is empty".to_string());
    }
    let settings = system.map(|text| format!("system {}", quoted(&text)));
    Ok(CaseLines {
        name: format!("sample {number}"),
        settings: settings.into_iter().collect(),
        prompt,
        expectations: vec![ideal(&sample["ideal"])?],
    })
}

/// Returns the expectation for a sample's ideal answer. The model's answer must contain the ideal
/// answer or, if there are several, at least one of them.
fn ideal(ideal: &Value) -> Result<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) if !text.trim().is_empty() => Ok(quoted(text)),
        Value::Number(number) => Ok(quoted(&number.to_string())),
        _ => Err("its ideal is not a text".to_string()),
    };
    match ideal {
        Value::Null => Err("it has no ideal".to_string()),
        Value::Array(texts) if texts.is_empty() => Err("it has no ideal".to_string()),
        Value::Array(texts) => {
            let texts: Vec<String> = texts.iter().map(text).collect::<Result<_, _>>()?;
            Ok(format!("contains-any {}", texts.join(" ")))
        }
        one => Ok(format!("contains {}", text(one)?)),
    }
}

/// Returns the system message (if there is one) and the user message of a chat.
pub(super) fn chat(messages: &[Value]) -> Result<(Option<String>, String), String> {
    let mut system: Vec<String> = Vec::new();
    let mut user: Vec<String> = Vec::new();
    for message in messages {
        let content = content(&message["content"])?;
        match message["role"].as_str() {
            // Evals put examples into messages of the system that have a name.
            Some("system" | "developer") if message["name"].is_null() && user.is_empty() => {
                system.push(content);
            }
            Some("user") if user.is_empty() => user.push(content),
            Some("user") => return Err("it has several messages of the user".to_string()),
            _ => return Err("it contains earlier answers, which a script cannot type".to_string()),
        }
    }
    let system = (!system.is_empty()).then(|| system.join("\n"));
    Ok((system, user.join("\n")))
}

/// Returns the text of a message. The parts of a divided text are joined.
fn content(content: &Value) -> Result<String, String> {
    let texts = || -> Option<Vec<&str>> {
        let parts = content.as_array()?.iter();
        parts.map(|part| part["text"].as_str()).collect()
    };
    match content {
        Value::String(text) => Ok(text.clone()),
        _ => texts()
            .map(|texts| texts.concat())
            .ok_or_else(|| "a message has content other than text".to_string()),
    }
}

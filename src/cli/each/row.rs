//! Parses one row of the case file.

use base::untrusted::{clean, clean_key};
use serde_json::{Map, Value};
use story::sampling::{self, SettingError};
use story::{Author, Mode};

/// A row: the id, and either the case or a sentence that says why the row cannot be used.
#[derive(Debug)]
pub struct Row {
    /// The id: a string or a number, as in the file, or `line-N` if the row has no valid id.
    pub id: Value,
    pub case: Result<Case, String>,
    /// The names of fields that illumine does not use.
    pub unused: Vec<String>,
}

/// The prompt and settings in a row.
#[derive(Debug, Default, PartialEq)]
pub struct Case {
    /// The prompt or chat; if None, the template must supply opening words.
    pub messages: Option<Vec<(Author, String)>>,
    pub model: Option<String>,
    pub mode: Option<Mode>,
    pub system: Option<String>,
    /// The names and values of settings, as in `/set`.
    pub sampling: Vec<(String, String)>,
    /// Values for the variables of the template.
    pub variables: Vec<(String, String)>,
}

/// Fields of OpenAI batch files that are ignored silently.
const ENVELOPE: [&str; 4] = ["method", "url", "stream", "user"];

impl Row {
    /// Parses a row of the file. `line` is its line number, counted from 1.
    pub fn parse(bytes: &[u8], line: usize) -> Row {
        let own_id = Value::from(format!("line-{line}"));
        let parsed = std::str::from_utf8(bytes)
            .map_err(|_| "it is not UTF-8; convert the file".to_string())
            .and_then(|text| {
                serde_json::from_str(text.trim()).map_err(|error| {
                    format!(
                        "it is not JSON ({error}); a row is an object such as {{\"prompt\": \"…\"}}"
                    )
                })
            });
        match parsed {
            Ok(Value::Object(fields)) => {
                let given = ["id", "custom_id"]
                    .iter()
                    .find_map(|name| fields.get(*name));
                let id = match given {
                    Some(id @ (Value::String(_) | Value::Number(_))) => id.clone(),
                    _ => own_id,
                };
                let mut unused = Vec::new();
                let case = match given {
                    Some(Value::String(_) | Value::Number(_)) | None => {
                        case(&fields, &mut unused).map_err(|why| in_line(line, &why))
                    }
                    Some(_) => Err(in_line(line, "its id is neither a text nor a number")),
                };
                Row { id, case, unused }
            }
            Ok(Value::String(prompt)) => Row {
                id: own_id,
                case: prompt_of(&prompt).map_err(|why| in_line(line, &why)),
                unused: Vec::new(),
            },
            Ok(_) => Row {
                id: own_id,
                case: Err(in_line(line, "it is neither an object nor a text")),
                unused: Vec::new(),
            },
            Err(why) => Row {
                id: own_id,
                case: Err(in_line(line, &why)),
                unused: Vec::new(),
            },
        }
    }

    /// Returns the id as a string, so that the ids 7 and "7" are equal.
    pub fn key(&self) -> String {
        key(&self.id)
    }
}

/// Returns an id as a string.
pub fn key(id: &Value) -> String {
    match id {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn in_line(line: usize, why: &str) -> String {
    format!("Line {line} cannot be used: {why}")
}

fn prompt_of(prompt: &str) -> Result<Case, String> {
    let prompt = clean(prompt).into_owned();
    match prompt.is_empty() {
        true => Err("its prompt is empty".to_string()),
        false => Ok(Case {
            messages: Some(vec![(Author::Prompt, prompt)]),
            ..Case::default()
        }),
    }
}

fn case(fields: &Map<String, Value>, unused: &mut Vec<String>) -> Result<Case, String> {
    let mut case = Case::default();
    // An OpenAI batch row has the request in its body.
    let body = fields.get("body").and_then(Value::as_object);
    for (name, value) in fields.iter().chain(body.into_iter().flatten()) {
        // A null value means that the field is absent.
        if value.is_null() {
            continue;
        }
        match name.as_str() {
            "id" | "custom_id" => {}
            "body" if body.is_some() => {}
            "prompt" | "input" | "messages" if case.messages.is_some() => {
                return Err("it has two prompts; give one of prompt, input and messages".into());
            }
            "prompt" | "input" if value.is_string() => {
                case.messages = prompt_of(value.as_str().unwrap_or_default())?.messages;
            }
            "prompt" | "input" | "messages" => messages(value, &mut case)?,
            "system" => case.system = Some(clean(text(name, value)?).into_owned()),
            "model" => case.model = Some(text(name, value)?.to_string()),
            "mode" => {
                let mode = Mode::parse(text(name, value)?);
                case.mode = Some(mode.ok_or("its mode is neither prose nor chat")?);
            }
            "vars" | "settings" => {
                let pairs = value
                    .as_object()
                    .ok_or_else(|| format!("its {name} is not an object"))?;
                let list = match name.as_str() {
                    "vars" => &mut case.variables,
                    _ => &mut case.sampling,
                };
                for (name, value) in pairs {
                    list.push((name.clone(), plain(value)));
                }
            }
            "length" | "max_completion_tokens" => {
                case.sampling.push(("max_tokens".into(), plain(value)));
            }
            "n" if *value == 1 => {}
            "n" => return Err("n must be 1; for more texts, repeat the row with a new id".into()),
            name if ENVELOPE.contains(&name) => {}
            // Abbreviations are not accepted: a field such as "tokens" may mean something else.
            name => match sampling::find(name) {
                Ok(setting) if setting.name == name => {
                    case.sampling.push((name.to_string(), plain(value)));
                }
                Ok(_) | Err(SettingError::Unknown { .. }) => unused.push(clean_key(name)),
                Err(SettingError::Near { nearest, .. }) => {
                    unused.push(format!("{} (did you mean {nearest}?)", clean_key(name)));
                }
                Err(_) => unused.push(clean_key(name)),
            },
        }
    }
    Ok(case)
}

fn text<'a>(name: &str, value: &'a Value) -> Result<&'a str, String> {
    value
        .as_str()
        .ok_or_else(|| format!("its {name} is not a text"))
}

/// Converts a JSON value to text that `/set` accepts.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Parses the messages of a chat: a list of objects, each with a role and content.
fn messages(value: &Value, case: &mut Case) -> Result<(), String> {
    let wrong = || "its messages are not a list such as [{\"role\": \"user\", \"content\": \"…\"}]";
    let mut list = Vec::new();
    for message in value.as_array().ok_or_else(wrong)? {
        let content = match &message["content"] {
            Value::String(content) => clean(content).into_owned(),
            // OpenAI's content parts, of which only text is supported.
            Value::Array(parts) => {
                let part = |part: &Value| part["text"].as_str().map(str::to_string);
                let parts: Option<Vec<String>> = parts.iter().map(part).collect();
                let parts = parts.ok_or("its messages contain something other than text")?;
                clean(&parts.concat()).into_owned()
            }
            _ => return Err(wrong().to_string()),
        };
        match message["role"].as_str() {
            Some("system" | "developer") if list.is_empty() && case.system.is_none() => {
                case.system = Some(content);
            }
            Some("user") => list.push((Author::User, content)),
            Some("assistant") => list.push((Author::Model, content)),
            _ => return Err("one of its messages has a role that cannot be used there".to_string()),
        }
    }
    if list.iter().all(|(_, text)| text.is_empty()) {
        return Err("its messages are empty".to_string());
    }
    case.messages = Some(list);
    case.mode.get_or_insert(Mode::Chat);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: &str) -> Row {
        Row::parse(line.as_bytes(), 3)
    }

    fn case_of(line: &str) -> Case {
        row(line).case.unwrap()
    }

    fn pairs(case: &Case) -> String {
        let pair = |(name, value): &(String, String)| format!("{name}={value} ");
        case.sampling.iter().map(pair).collect()
    }

    #[test]
    fn ids_and_prompts_come_under_several_names() {
        for (line, id) in [
            (r#"{"id": "a", "prompt": "Once"}"#, "a"),
            (r#"{"custom_id": 7, "input": "Once"}"#, "7"),
            (r#"{"prompt": "Once"}"#, "line-3"),
            (r#""Once""#, "line-3"),
        ] {
            let row = row(line);
            assert_eq!(row.key(), id);
            let messages = row.case.unwrap().messages.unwrap();
            assert_eq!(messages, [(Author::Prompt, "Once".to_string())]);
        }
    }

    #[test]
    fn settings_are_taken_and_others_named() {
        let line = r#"{"prompt": "x", "temperature": 0, "length": 9, "stop": ["\n"], "target": 1,
            "tokens": 5, "temprature": 1, "settings": {"temp": 0.5}, "mode": "chat", "seed": null}"#;
        let row = row(&line.replace('\n', ""));
        assert_eq!(row.unused[..2], ["target", "tokens"]);
        assert_eq!(row.unused[2], "temprature (did you mean temperature?)");
        let case = row.case.unwrap();
        assert_eq!(
            pairs(&case),
            "temperature=0 max_tokens=9 stop=[\"\\n\"] temp=0.5 "
        );
        assert_eq!(case.mode, Some(Mode::Chat));
    }

    #[test]
    fn a_batch_row_and_a_chat() {
        let case = case_of(
            r#"{"custom_id": "r", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "n": 1,
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}], "max_completion_tokens": 5}}"#,
        );
        assert_eq!(case.system.as_deref(), Some("Be brief."));
        assert_eq!(case.messages, Some(vec![(Author::User, "Hi".to_string())]));
        assert_eq!(
            (case.mode, pairs(&case).as_str()),
            (Some(Mode::Chat), "max_tokens=5 ")
        );
        assert_eq!(case.model.as_deref(), Some("m"));
    }

    #[test]
    fn a_bad_row_says_its_line_and_keeps_its_id() {
        for (line, says) in [
            ("{\"prompt\": \"x\"", "not JSON"),
            ("Once upon a time", "not JSON"),
            ("7", "neither an object"),
            (r#"{"id": [1], "prompt": "x"}"#, "its id"),
            (r#"{"prompt": ""}"#, "empty"),
            (r#"{"prompt": "x", "input": "y"}"#, "two prompts"),
            (r#"{"prompt": 7}"#, "messages"),
            (r#"{"prompt": "x", "mode": "verse"}"#, "mode"),
            (r#"{"prompt": "x", "n": 3}"#, "n must be 1"),
        ] {
            let why = row(line).case.unwrap_err();
            assert!(why.starts_with("Line 3 ") && why.contains(says), "{why}");
        }
        assert_eq!(row(r#"{"id": "b", "prompt": 7}"#).key(), "b");
        assert!(Row::parse(b"\xff", 1).case.is_err());
    }
}

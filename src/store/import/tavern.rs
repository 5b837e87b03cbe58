//! Imports SillyTavern chats: JSON Lines, a header and then one message per line, with its swipes.
//!
//! Each swipe becomes a version of the passage. The other fields of a message (times, names,
//! extras) are stored with the passage and exported again.

use super::ImportError;
use base::untrusted::{clean, clean_line};
use serde_json::{Map, Value};
use story::card::USER;
use story::import::ImportedStory;
use story::{Author, Mode, Node, NodeId};

/// The key under which the header's fields are stored.
pub const FORMAT: &str = "tavern";

/// The key for storing messages that are shown but never sent to a model.
pub const ASIDE: &str = "aside";

/// The maximum number of versions of a message.
const MOST_SWIPES: usize = 10_000;

pub fn is_header(value: &Value) -> bool {
    let has = |key| value.get(key).is_some();
    !has("mes") && (has("chat_metadata") || (has("user_name") && has("character_name")))
}

/// Parses a chat whose first line is `header`.
pub fn parse_chat(text: &str, header: Map<String, Value>) -> Result<ImportedStory, ImportError> {
    let mut tale = ImportedStory {
        mode: Mode::Chat,
        ..ImportedStory::default()
    };
    let lines = text.trim_start().lines().enumerate().skip(1);
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |why: String| ImportError::Json(format!("line {}: {why}", number + 1));
        let message: Map<String, Value> =
            serde_json::from_str(line).map_err(|error| wrong(clean_line(&error.to_string())))?;
        if !message.get("mes").is_some_and(Value::is_string) {
            return Err(wrong("it is not a message".to_string()));
        }
        add_message(&mut tale, message);
    }
    tale.kept = Some((FORMAT, header));
    Ok(tale)
}

fn add_message(tale: &mut ImportedStory, mut message: Map<String, Value>) {
    let flag = |key| message.get(key).and_then(Value::as_bool).unwrap_or(false);
    if flag("is_system") {
        let whole = Value::Object(message);
        let extra = Map::from_iter([(ASIDE.to_string(), whole)]);
        let id = add_node(tale, tale.head, Author::Prompt, "", extra);
        tale.head = Some(id);
        return;
    }
    let author = match flag("is_user") {
        true => Author::User,
        false => Author::Model,
    };
    let mes = match message.remove("mes") {
        Some(Value::String(mes)) => mes,
        _ => String::new(),
    };
    message.remove("is_user");
    let swipes = take_swipes(&mut message, &mes);
    let infos = message.remove("swipe_info");
    let chosen = message.remove("swipe_id");
    let chosen = chosen.and_then(|id| id.as_u64()).unwrap_or(0) as usize;
    let chosen = chosen.min(swipes.len() - 1);
    let parent = tale.head;
    let name = message.get("name").cloned();
    for (at, swipe) in swipes.iter().enumerate() {
        // The message's text is used for its chosen swipe, since other programs edit only the
        // message.
        let (said, mut extra) = match at == chosen {
            true => (mes.as_str(), message.clone()),
            false => (swipe.as_str(), Map::new()),
        };
        if let Some(name) = &name {
            extra.insert("name".to_string(), name.clone());
        }
        if let Some(info) = infos.as_ref().and_then(|infos| infos.get(at)) {
            extra.insert("swipe_info".to_string(), info.clone());
        }
        let id = add_node(tale, parent, author, said, extra);
        if at == chosen {
            tale.head = Some(id);
        }
    }
}

/// The versions of a message; at least its current text.
fn take_swipes(message: &mut Map<String, Value>, mes: &str) -> Vec<String> {
    let swipes = match message.remove("swipes") {
        Some(Value::Array(swipes)) => swipes,
        _ => Vec::new(),
    };
    let swipes = swipes.into_iter().take(MOST_SWIPES);
    let swipes: Vec<String> = swipes
        .filter_map(|swipe| match swipe {
            Value::String(text) => Some(text),
            _ => None,
        })
        .collect();
    match swipes.is_empty() {
        true => vec![mes.to_string()],
        false => swipes,
    }
}

fn add_node(
    tale: &mut ImportedStory,
    parent: Option<NodeId>,
    author: Author,
    said: &str,
    extra: Map<String, Value>,
) -> NodeId {
    let id = tale.nodes.len() as NodeId;
    tale.nodes.push(Node {
        id,
        parent,
        author,
        turn: true,
        text: clean(said).into_owned(),
        extra: (!extra.is_empty()).then(|| Box::new(extra)),
        ..Node::default()
    });
    id
}

/// The writer's name in a chat with this header.
pub fn user_name(header: Option<&Map<String, Value>>) -> String {
    let name = header.and_then(|header| header.get("user_name"));
    name.and_then(Value::as_str).unwrap_or(USER).to_string()
}

//! Imports SillyTavern chats: JSON Lines, a header and then one message per line, with its swipes.
//!
//! Each swipe becomes a version of the passage. The other fields of a message (times, names,
//! extras) are stored with the passage and exported again. Lines are read one by one: what a crash
//! tore is left out and named. Group chats of older versions have no header.

use super::ImportError;
use super::fields::words;
use super::skipped::Skipped;
use serde_json::{Map, Value, json};
use story::import::ImportedStory;
use story::{Author, Mode, Node, NodeId};

/// The key under which the header's fields are stored.
pub const FORMAT: &str = "tavern";

/// The key for storing messages that are shown but never sent to a model.
pub const ASIDE: &str = "aside";

/// The field of a stored header that says that the file had none.
pub const NO_HEADER: &str = "illumine_no_header";

/// The maximum number of versions of a message.
const MOST_SWIPES: usize = 10_000;

/// A chat that was read, with what to tell the writer.
pub type ReadChat = (ImportedStory, Vec<String>);

fn is_header(value: &Value) -> bool {
    let has = |key| value.get(key).is_some();
    !has("mes") && (has("chat_metadata") || (has("user_name") && has("character_name")))
}

fn is_message(value: &Value) -> bool {
    let has = |key: &str| value.get(key).is_some();
    has("mes") && (has("is_user") || has("name"))
}

/// Whether a text is a chat: one of its first lines is a header or a message.
pub fn is_chat(text: &str) -> bool {
    const LOOKED_AT: usize = 3;
    let lines = text.lines().filter(|line| !is_blank(line));
    lines.take(LOOKED_AT).any(|line| {
        let value = serde_json::from_str::<Value>(line);
        value.is_ok_and(|value| is_header(&value) || is_message(&value))
    })
}

/// Whether a list holds messages.
pub fn is_list_of_messages(list: &[Value]) -> bool {
    list.iter().any(is_message)
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

/// Parses a chat.
pub fn parse_chat(text: &str) -> Result<ReadChat, ImportError> {
    let mut chat = Chat::default();
    for (number, line) in text.lines().enumerate() {
        if is_blank(line) {
            continue;
        }
        let place = format!("line {}", number + 1);
        if line
            .bytes()
            .all(|byte| byte == 0 || byte.is_ascii_whitespace())
        {
            chat.skipped.note(place, "holds only zeros");
            continue;
        }
        match serde_json::from_str(line) {
            Ok(value) => chat.add(value, place),
            Err(error) if error.is_eof() => chat.skipped.note(place, "is torn"),
            Err(_) => chat.skipped.note(place, "is no JSON"),
        }
    }
    chat.finish()
}

/// Parses a list of messages.
pub fn parse_list(list: Vec<Value>) -> Result<ReadChat, ImportError> {
    let mut chat = Chat::default();
    for (at, value) in list.into_iter().enumerate() {
        chat.add(value, format!("number {}", at + 1));
    }
    chat.finish()
}

#[derive(Default)]
struct Chat {
    tale: ImportedStory,
    header: Option<Map<String, Value>>,
    skipped: Skipped,
    swipes: Skipped,
}

impl Chat {
    fn add(&mut self, value: Value, place: String) {
        let header = is_header(&value);
        match value {
            Value::Object(fields) if header && self.header.is_none() => {
                self.header = Some(fields);
            }
            Value::Object(message) if message.get("mes").is_some_and(Value::is_string) => {
                add_message(&mut self.tale, message, &place, &mut self.swipes);
            }
            Value::Null => self.skipped.note(place, "is null"),
            Value::Object(_) => self.skipped.note(place, "is no message"),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                self.skipped.note(place, "is no message")
            }
        }
    }

    fn finish(mut self) -> Result<ReadChat, ImportError> {
        let none = self.tale.nodes.is_empty();
        if let (true, Some(first)) = (none, self.skipped.first()) {
            return Err(ImportError::Json(first));
        }
        self.tale.mode = Mode::Chat;
        let header = self.header;
        let header =
            header.unwrap_or_else(|| Map::from_iter([(NO_HEADER.to_string(), json!(true))]));
        self.tale.kept = Some((FORMAT, header));
        let notices = [self.skipped.notice("line"), self.swipes.notice("swipe")];
        Ok((self.tale, notices.into_iter().flatten().collect()))
    }
}

fn add_message(
    tale: &mut ImportedStory,
    mut message: Map<String, Value>,
    place: &str,
    skipped: &mut Skipped,
) {
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
    let infos = message.remove("swipe_info");
    let chosen = message.remove("swipe_id").and_then(|id| id.as_u64());
    let swipes = take_swipes(&mut message, &mes, place, skipped);
    let chosen = chosen.unwrap_or(0) as usize;
    let chosen = match swipes.iter().any(|(at, _)| *at == chosen) {
        true => chosen,
        false => swipes.last().map_or(0, |(at, _)| *at),
    };
    let parent = tale.head;
    let name = message.get("name").cloned();
    for (at, swipe) in &swipes {
        // What the message says is what its chosen swipe says: other programs edit only there.
        let (said, mut extra) = match *at == chosen {
            true => (mes.as_str(), message.clone()),
            false => (swipe.as_str(), Map::new()),
        };
        if let Some(name) = &name {
            extra.insert("name".to_string(), name.clone());
        }
        if let Some(info) = infos.as_ref().and_then(|infos| infos.get(*at)) {
            extra.insert("swipe_info".to_string(), info.clone());
        }
        let id = add_node(tale, parent, author, said, extra);
        if *at == chosen {
            tale.head = Some(id);
        }
    }
}

/// The versions of a message with their numbers; at least its current text.
fn take_swipes(
    message: &mut Map<String, Value>,
    mes: &str,
    place: &str,
    skipped: &mut Skipped,
) -> Vec<(usize, String)> {
    let swipes = match message.remove("swipes") {
        Some(Value::Array(swipes)) => swipes,
        _ => Vec::new(),
    };
    let mut texts = Vec::new();
    for (at, swipe) in swipes.into_iter().take(MOST_SWIPES).enumerate() {
        match swipe {
            Value::String(text) => texts.push((at, text)),
            _ => skipped.note(format!("number {} of {place}", at + 1), "is no text"),
        }
    }
    match texts.is_empty() {
        true => vec![(0, mes.to_string())],
        false => texts,
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
        apart: true,
        text: words(said),
        extra: (!extra.is_empty()).then(|| Box::new(extra)),
        ..Node::default()
    });
    id
}

/// The name in a header under this key; SillyTavern writes "unused" in those of groups.
pub fn header_name<'a>(header: Option<&'a Map<String, Value>>, key: &str) -> Option<&'a str> {
    let name = header?.get(key)?.as_str()?;
    Some(name).filter(|name| !name.trim().is_empty() && *name != "unused")
}

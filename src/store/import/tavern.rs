//! Imports SillyTavern chats, which are JSON Lines: a header, then one message per line. A message
//! contains its swipes.
//!
//! Each swipe becomes a version of the passage. The other fields of a message (times, names,
//! extras) are stored with the passage and exported again. If the text of a message differs from
//! the selected swipe, both texts become versions. Lines are parsed one by one. Lines damaged by a
//! crash are left out and named in a notice. Group chats of older versions of SillyTavern have no
//! header.

use super::ImportError;
use super::fields::words;
use super::skipped::Skipped;
use serde_json::{Map, Value, json};
use story::import::ImportedStory;
use story::sentence::count_noun;
use story::{Author, Mode, Node, NodeId};

/// The key under which the fields of a SillyTavern chat's header are stored.
pub const FORMAT: &str = "tavern";

/// The key under which a passage stores a message that is shown but never sent to a model.
pub const ASIDE: &str = "aside";

/// The field that is stored instead of a header if the chat's file has no header.
pub const NO_HEADER: &str = "illumine_no_header";

/// The maximum number of versions of a message.
const MOST_SWIPES: usize = 10_000;

/// A parsed chat, with notices for the writer.
pub type ReadChat = (ImportedStory, Vec<String>);

fn is_header(value: &Value) -> bool {
    let has = |key| value.get(key).is_some();
    !has("mes") && (has("chat_metadata") || (has("user_name") && has("character_name")))
}

fn is_message(value: &Value) -> bool {
    let has = |key: &str| value.get(key).is_some();
    has("mes") && (has("is_user") || has("name"))
}

/// Whether a text is a SillyTavern chat. This is the case if any of its first three non-blank lines
/// is a header or a message.
pub fn is_chat(text: &str) -> bool {
    const LOOKED_AT: usize = 3;
    let lines = text.lines().filter(|line| !is_blank(line));
    lines.take(LOOKED_AT).any(|line| {
        let value = serde_json::from_str::<Value>(line);
        value.is_ok_and(|value| is_header(&value) || is_message(&value))
    })
}

/// Whether a list contains at least one message of a SillyTavern chat.
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
            chat.skipped.note(place, "contains only zeros");
            continue;
        }
        match serde_json::from_str(line) {
            Ok(value) => chat.add(value, place),
            Err(error) if error.is_eof() => chat.skipped.note(place, "is cut off"),
            Err(_) => chat.skipped.note(place, "is not JSON"),
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
    counts: Counts,
}

/// Counts of messages, for notices to the writer.
#[derive(Default)]
struct Counts {
    /// The number of messages that are shown to the writer but hidden from the model.
    hidden: usize,
    /// The number of messages whose text differs from the selected swipe.
    edited: usize,
    /// The number of messages whose selected swipe is missing.
    astray: usize,
}

impl Counts {
    fn notices(&self) -> impl Iterator<Item = String> {
        let said = |count: usize, what: String| (count > 0).then_some(what);
        let messages = |count| count_noun(count, "message");
        let hidden = messages(self.hidden);
        let edited = messages(self.edited);
        let astray = messages(self.astray);
        let all = [
            said(self.hidden, format!("kept {hidden} hidden from the model")),
            said(
                self.edited,
                format!("kept the swipe as it was beside the edited text of {edited}"),
            ),
            said(
                self.astray,
                format!("{astray} named a missing swipe; the text shown was kept"),
            ),
        ];
        all.into_iter().flatten()
    }
}

impl Chat {
    fn add(&mut self, value: Value, place: String) {
        let header = is_header(&value);
        match value {
            Value::Object(fields) if header && self.header.is_none() => {
                self.header = Some(fields);
            }
            Value::Object(message) if message.get("mes").is_some_and(Value::is_string) => {
                self.add_message(message, &place);
            }
            Value::Null => self.skipped.note(place, "is null"),
            Value::Object(_) => self.skipped.note(place, "is not a message"),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                self.skipped.note(place, "is not a message")
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
        let notices = notices.into_iter().flatten();
        Ok((self.tale, notices.chain(self.counts.notices()).collect()))
    }

    fn add_message(&mut self, mut message: Map<String, Value>, place: &str) {
        let tale = &mut self.tale;
        let flag = |key| message.get(key).and_then(Value::as_bool).unwrap_or(false);
        if flag("is_system") {
            self.counts.hidden += 1;
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
        message.remove("is_user");
        let infos = message.remove("swipe_info");
        let (versions, chosen) = self.take_versions(&mut message, place);
        let parent = self.tale.head;
        let name = message.get("name").cloned();
        for (at, (slot, said)) in versions.iter().enumerate() {
            let mut extra = match at == chosen {
                true => message.clone(),
                false => Map::new(),
            };
            if let Some(name) = &name {
                extra.insert("name".to_string(), name.clone());
            }
            if let Some(info) = infos.as_ref().and_then(|infos| infos.get(*slot)) {
                extra.insert("swipe_info".to_string(), info.clone());
            }
            let id = add_node(&mut self.tale, parent, author, said, extra);
            if at == chosen {
                self.tale.head = Some(id);
            }
        }
    }

    /// Removes the versions of a message from its fields. Returns each version with its swipe
    /// number, and the index of the version to show, whose text is `mes`. If another program edited
    /// only `mes` or only the swipe selected by `swipe_id`, their texts differ, and `mes` is added
    /// as a version.
    fn take_versions(
        &mut self,
        message: &mut Map<String, Value>,
        place: &str,
    ) -> (Vec<(usize, String)>, usize) {
        let mes = match message.remove("mes") {
            Some(Value::String(mes)) => mes,
            _ => String::new(),
        };
        let number = message.remove("swipe_id").unwrap_or(json!(0));
        let number = number.as_u64().and_then(|id| usize::try_from(id).ok());
        let swipes = match message.remove("swipes") {
            Some(Value::Array(swipes)) => swipes,
            _ => Vec::new(),
        };
        let slots = swipes.len();
        let mut versions = Vec::new();
        for (slot, swipe) in swipes.into_iter().take(MOST_SWIPES).enumerate() {
            match swipe {
                Value::String(text) => versions.push((slot, text)),
                _ => {
                    let place = format!("number {} of {place}", slot + 1);
                    self.swipes.note(place, "is not text");
                }
            }
        }
        if versions.is_empty() {
            return (vec![(number.unwrap_or(0), mes)], 0);
        }
        let says = |(_, text): &(usize, String)| *text == mes || words(text) == words(&mes);
        let Some(number) = number.filter(|number| *number < slots) else {
            self.counts.astray += 1;
            let at = versions.iter().position(says).unwrap_or(versions.len());
            if at == versions.len() {
                versions.push((slots, mes));
            }
            return (versions, at);
        };
        let at = versions.iter().position(|(slot, _)| *slot >= number);
        let at = at.unwrap_or(versions.len());
        let own = versions.get(at).filter(|(slot, _)| *slot == number);
        if !own.is_some_and(says) {
            self.counts.edited += usize::from(own.is_some());
            versions.insert(at, (number, mes));
        }
        (versions, at)
    }
}

/// Creates the passage for one message of a chat. The passage is never joined to the passages
/// around it.
pub(super) fn message(
    parent: Option<NodeId>,
    author: Author,
    text: String,
    extra: Map<String, Value>,
) -> Node {
    Node {
        parent,
        author,
        turn: true,
        apart: true,
        text,
        extra: (!extra.is_empty()).then(|| Box::new(extra)),
        ..Node::default()
    }
}

fn add_node(
    tale: &mut ImportedStory,
    parent: Option<NodeId>,
    author: Author,
    said: &str,
    extra: Map<String, Value>,
) -> NodeId {
    tale.push(message(parent, author, words(said), extra))
}

/// The name that a header stores under `key`. Returns None for "unused", which SillyTavern writes
/// into the headers of group chats.
pub fn header_name<'a>(header: Option<&'a Map<String, Value>>, key: &str) -> Option<&'a str> {
    let name = header?.get(key)?.as_str()?;
    Some(name).filter(|name| !name.trim().is_empty() && *name != "unused")
}

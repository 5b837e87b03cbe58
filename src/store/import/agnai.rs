//! Imports Agnai's chats: JSON with a list `messages`, in which each message has a text (`msg`) and
//! a speaker.
//!
//! An exported chat (Agnai's `ChatExport`) also contains a scenario and a sample chat. A message by
//! the writer has a `userId`, and a message by a character has a `characterId`. The field `parent`
//! names the previous message, and `retries` contains other versions of the message. Messages out
//! of character (`ooc`) are hidden from the model. A short form of the file has only the messages.

use super::fields::{flag, line, rows, text, words};
use super::skipped::Skipped;
use super::tavern::{ASIDE, ReadChat, message};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use story::import::ImportedStory;
use story::node::SPEAKER;
use story::sentence::count_noun;
use story::{Author, Mode, NodeId};

/// The length of a message's id after Agnai's export has shortened it, in characters.
const SHORT_ID: usize = 8;

pub fn is_chat(file: &Map<String, Value>) -> bool {
    let spoken = |row: &Value| {
        let speakers = ["handle", "userId", "characterId", "name"];
        let has_speaker = speakers.iter().any(|key| row.get(*key).is_some());
        has_speaker && row.get("msg").is_some()
    };
    let messages = file.get("messages").and_then(Value::as_array);
    messages.is_some_and(|rows| {
        let of_chat = file.contains_key("treeLeafId") && file.contains_key("sampleChat");
        rows.iter().any(spoken) || (rows.is_empty() && of_chat)
    })
}

/// Parses a chat. The returned notices say what was left out or hidden.
pub fn parse_chat(file: &Map<String, Value>) -> ReadChat {
    let mut chat = Chat::default();
    let messages = file.get("messages").and_then(rows);
    for (place, row) in messages.unwrap_or_default() {
        match row.as_object() {
            Some(message) => chat.add(message, place),
            None => chat.skipped.note(place, "is not a message"),
        }
    }
    let scenario = text(file, "scenario").filter(|text| !text.trim().is_empty());
    let sample = text(file, "sampleChat").filter(|text| !text.trim().is_empty());
    let scenario = scenario.map(|text| format!("Scenario: {}", text.trim()));
    let memory: Vec<String> = scenario.into_iter().chain(sample).collect();
    let shown = chat.shown(line(file, "treeLeafId"));
    let tale = ImportedStory {
        head: shown,
        nodes: chat.tale.nodes,
        mode: Mode::Chat,
        memory: memory.join("\n\n"),
        ..ImportedStory::default()
    };
    let mut notices: Vec<String> = chat.skipped.notice("message").into_iter().collect();
    if chat.hidden > 0 {
        let hidden = count_noun(chat.hidden, "message");
        notices.push(format!(
            "kept {hidden} out of character, hidden from the model"
        ));
    }
    (tale, notices)
}

#[derive(Default)]
struct Chat {
    tale: ImportedStory,
    /// The id of each message's passage, keyed by the shortened id of the message.
    known: HashMap<String, NodeId>,
    last: Option<NodeId>,
    skipped: Skipped,
    hidden: usize,
}

impl Chat {
    fn add(&mut self, message: &Map<String, Value>, place: String) {
        let Some(said) = text(message, "msg") else {
            return self.skipped.note(place, "has no text");
        };
        let parent = self.parent(message);
        let name = line(message, "name").or_else(|| line(message, "handle"));
        let author = author(message);
        let id = match flag(message, "ooc").unwrap_or(false) {
            true => {
                self.hidden += 1;
                let aside = json!({"name": name, "is_user": author == Author::User,
                    "is_system": true, "mes": said});
                let extra = Map::from_iter([(ASIDE.to_string(), aside)]);
                self.push(parent, Author::Prompt, String::new(), extra)
            }
            false => {
                let named = name.map(|name| (SPEAKER.to_string(), json!(name)));
                let extra: Map<String, Value> = named.into_iter().collect();
                let id = self.push(parent, author, said, extra.clone());
                let others = message.get("retries").and_then(Value::as_array);
                for other in others.into_iter().flatten().filter_map(Value::as_str) {
                    self.push(parent, author, words(other), extra.clone());
                }
                id
            }
        };
        if let Some(name) = line(message, "_id") {
            self.known.insert(short(&name), id);
        }
        self.last = Some(id);
    }

    /// The passage that a message follows: the parent stated in the message if that is known,
    /// otherwise the previous message in the file.
    fn parent(&self, message: &Map<String, Value>) -> Option<NodeId> {
        let named = line(message, "parent");
        let known = named.and_then(|name| self.known.get(&short(&name)).copied());
        known.or(self.last)
    }

    fn push(
        &mut self,
        parent: Option<NodeId>,
        author: Author,
        text: String,
        extra: Map<String, Value>,
    ) -> NodeId {
        self.tale.push(message(parent, author, text, extra))
    }

    /// The passage at which the imported story ends: the last message, or the leaf named in the
    /// file if that leaf is on another branch.
    fn shown(&self, leaf: Option<String>) -> Option<NodeId> {
        let leaf = self.known.get(&short(&leaf.unwrap_or_default())).copied();
        let parent = |id: &NodeId| self.tale.nodes.get(*id as usize)?.parent;
        let path = std::iter::successors(self.last, parent);
        let on_path = path.into_iter().any(|id| Some(id) == leaf);
        match on_path {
            true => self.last,
            false => leaf.or(self.last),
        }
    }
}

fn short(name: &str) -> String {
    name.chars().take(SHORT_ID).collect()
}

/// The author of a message. If the writer speaks for a character, the message has both a `userId`
/// and a `characterId`.
fn author(message: &Map<String, Value>) -> Author {
    let has = |key: &str| message.get(key).is_some_and(Value::is_string);
    let you = line(message, "handle").is_some_and(|handle| handle == "You");
    match has("userId") || (you && !has("characterId")) {
        true => Author::User,
        false => Author::Model,
    }
}

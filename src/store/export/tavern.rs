//! Exports a SillyTavern chat. The first line is a header, and each other line is a message, whose
//! versions are stored as swipes.

use super::ExportMeta;
use super::pages::{self, ExportPassage};
use super::text::SpeakerNames;
use crate::store::import::tavern::{ASIDE, FORMAT, NO_HEADER};
use serde_json::{Map, Value, json};
use story::{Author, Node, NodeId, Story};

/// Builds the contents of the exported file.
pub fn chat_lines(story: &Story, meta: &ExportMeta) -> String {
    let kept = story.frame().kept.get(FORMAT);
    let names = SpeakerNames::of(story, meta);
    let (user, name) = (&names.user, &names.model);
    let mut header = json!({
        "user_name": user, "character_name": name, "create_date": meta.now, "chat_metadata": {},
    });
    for (key, value) in kept.into_iter().flatten() {
        header[key] = value.clone();
    }
    let pieces = pages::pieces_with_empty(&story.path());
    let names = (user.as_str(), name.as_str());
    let header = match header.get(NO_HEADER) {
        Some(_) => None,
        None => Some(header),
    };
    let lines = pieces
        .iter()
        .map(|piece| message(story, piece, names, meta));
    let lines = header.into_iter().chain(lines);
    lines.map(|line| format!("{line}\n")).collect()
}

fn message(story: &Story, piece: &ExportPassage, names: (&str, &str), meta: &ExportMeta) -> Value {
    let node = story.node(piece.last);
    let extra = node.and_then(|node| node.extra.as_deref());
    if let Some(aside) = extra.and_then(|extra| extra.get(ASIDE)) {
        return aside.clone();
    }
    let is_user = piece.author != Author::Model;
    let mut message = json!({
        "name": if is_user { names.0 } else { names.1 }, "is_user": is_user, "is_system": false,
        "send_date": meta.now, "mes": piece.text(), "extra": {},
    });
    for (key, value) in extra.into_iter().flatten() {
        if key != "swipe_info" {
            message[key] = value.clone();
        }
    }
    let versions = story.versions(piece.last);
    if versions.len() < 2 && is_user {
        return message;
    }
    let said = |id: &NodeId| match *id == piece.last {
        true => piece.text(),
        false => pages::version_text(story, piece.first, *id),
    };
    let swipes: Vec<String> = versions.iter().map(said).collect();
    let chosen = versions.iter().position(|id| *id == piece.last);
    let infos: Vec<Option<&Value>> = versions.iter().map(|id| info(story.node(*id))).collect();
    message["swipes"] = json!(swipes);
    message["swipe_id"] = json!(chosen.unwrap_or(0));
    if infos.iter().any(Option::is_some) {
        let none = json!({});
        let infos = infos.iter().map(|info| info.unwrap_or(&none).clone());
        message["swipe_info"] = Value::Array(infos.collect());
    }
    message
}

fn info(node: Option<&Node>) -> Option<&Value> {
    let extra: &Map<String, Value> = node?.extra.as_deref()?;
    extra.get("swipe_info")
}

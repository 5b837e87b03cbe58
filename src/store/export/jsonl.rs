//! Exports the story as training data: conversations in OpenAI's `messages` format, or preference
//! pairs.

use super::pages::{self, ExportPassage};
use super::{ExportError, ExportMeta, ExportScope};
use serde_json::{Value, json};
use story::{Author, Node, NodeId, Passage, Place, Story};

/// Exports conversations, one per line: a single one for the current story, or one for each branch
/// of the whole tree.
pub fn messages(story: &Story, extent: ExportScope, meta: &ExportMeta) -> String {
    let ends: Vec<Option<NodeId>> = match extent {
        ExportScope::Path => vec![story.head()],
        ExportScope::Tree => pages::leaves(story).into_iter().map(Some).collect(),
    };
    let lines = ends.into_iter().map(|end| {
        let path = story.path_to(end);
        let mut row = json!({ "messages": conversation(story, &path, meta) });
        let pictures: Vec<Value> = story
            .pictures_on(&path)
            .into_iter()
            .filter_map(|(_, id)| story.picture(id))
            .map(|picture| json!({ "shows": picture.provenance.title(), "sha256": picture.sha256 }))
            .collect();
        // In a separate field, so that only the story is trained on.
        if !pictures.is_empty() {
            row["pictures"] = pictures.into();
        }
        format!("{row}\n")
    });
    lines.collect()
}

/// Exports preference pairs, one per line. Each pair belongs to a passage of the current story that
/// the model wrote, and consists of the text before the passage, the version in the current story,
/// and one rejected version.
pub fn pairs(story: &Story, meta: &ExportMeta) -> Result<String, ExportError> {
    let path = story.path();
    let mut lines = String::new();
    for piece in pages::pieces(&path) {
        let Some(first) = story
            .node(piece.first)
            .filter(|node| node.author == Author::Model)
        else {
            continue;
        };
        let chosen = piece.text();
        let before = conversation(story, &story.path_at(first.place()), meta);
        for rejected in rejected(story, first, &chosen) {
            let row = json!({
                "prompt": before,
                "chosen": [{ "role": "assistant", "content": chosen }],
                "rejected": [{ "role": "assistant", "content": rejected }],
            });
            lines += &format!("{row}\n");
        }
    }
    match lines.is_empty() {
        true => Err(ExportError::NoPairs),
        false => Ok(lines),
    }
}

/// The texts of the model's other versions of a passage. Hidden versions are included, since they
/// were rejected too.
fn rejected(story: &Story, first: &Node, chosen: &str) -> Vec<String> {
    let place: Place = first.place();
    let others = story.passages_at(place).filter_map(|id| story.node(id));
    let others = others.filter(|node| node.author == Author::Model && !node.aside);
    let mut texts: Vec<String> = Vec::new();
    for node in others {
        let new = !texts.contains(&node.text) && node.text != chosen;
        if new && !node.text.trim().is_empty() {
            texts.push(node.text.clone());
        }
    }
    texts
}

/// Converts a path to messages in JSON.
fn conversation(story: &Story, path: &[Passage], meta: &ExportMeta) -> Vec<Value> {
    let turns = turns(story, path, &meta.system).into_iter();
    let turn = |(role, content): (&str, String)| json!({ "role": role, "content": content });
    turns.map(turn).collect()
}

/// Converts a path to messages, each with its role: the model's text is the assistant's, all other
/// text the user's.
pub fn turns(story: &Story, path: &[Passage], system: &str) -> Vec<(&'static str, String)> {
    let frame = story.frame();
    let voice = frame.voice.as_ref().map_or("", |voice| &voice.text);
    let system = [system, voice, &frame.memory];
    let system: Vec<&str> = system.into_iter().filter(|text| !text.is_empty()).collect();
    let mut turns: Vec<(&str, String)> = Vec::new();
    if !system.is_empty() {
        turns.push(("system", system.join("\n\n")));
    }
    for piece in pages::pieces(path) {
        let role = role(&piece);
        match turns.last_mut() {
            Some((last, text)) if *last == role && !piece.apart => *text += &piece.text(),
            _ => turns.push((role, piece.text())),
        }
    }
    turns
}

fn role(piece: &ExportPassage) -> &'static str {
    match piece.author {
        Author::Model => "assistant",
        Author::Prompt | Author::User => "user",
    }
}

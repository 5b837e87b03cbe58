//! Exports a KoboldAI Lite story with its branches, memory, author's note and lore.

use super::Lorebook;
use super::pages;
use crate::store::import::kobold::turns::{INPUT, OUTPUT};
use crate::store::import::kobold::{FORMAT, SAME_CHUNK};
use crate::store::lorebook;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use story::context::stand_apart;
use story::{Author, NodeId, Passage, Story};

/// The maximum number of branches to export besides the current story. The file contains the whole
/// story for each branch.
pub const MOST: usize = 64;

/// Builds the JSON of the exported file.
pub fn story_json(story: &Story) -> Value {
    let frame = story.frame();
    let chunks = chunks(&story.path());
    let (prompt, actions) = match chunks.split_first() {
        Some((prompt, actions)) => (prompt.clone(), actions.to_vec()),
        None => (String::new(), Vec::new()),
    };
    let metadata: Map<String, Value> = (0..actions.len())
        .map(|at| {
            let none = json!({ "Selected Text": "", "Alternative Text": [] });
            (at.to_string(), none)
        })
        .collect();
    let worldinfo: Vec<Value> = frame
        .books()
        .flat_map(|(book, _)| lorebook::kobold(book))
        .collect();
    let mut file = json!({
        "gamestarted": true, "prompt": prompt, "memory": frame.memory,
        "authorsnote": frame.note.text, "anotetemplate": "[Author's note: <|>]",
        "actions": actions, "actions_metadata": metadata, "worldinfo": worldinfo,
        "wifolders_d": {}, "wifolders_l": [], "anotestr": 320, "wisearchdepth": 0,
        "wiinsertlocation": 0, "personal_notes": "", "altbranches": branches(story),
        "completed_imgs_meta": {}, "savedsettings": null, "savedaestheticsettings": null,
    });
    for (key, value) in frame.kept.get(FORMAT).into_iter().flatten() {
        file[key] = value.clone();
    }
    file
}

/// The number of branches that are not exported, because there are too many.
pub fn left_out(story: &Story) -> usize {
    ends(story).len().saturating_sub(MOST + 1)
}

/// The ids of the last passages of the branches to export.
fn ends(story: &Story) -> BTreeSet<NodeId> {
    let mut ends: BTreeSet<NodeId> = pages::leaves(story).into_iter().collect();
    ends.extend(story.marks().values().filter(|id| !story.is_hidden(**id)));
    ends.extend(story.head());
    ends
}

/// The branches to export; only the newest if there are too many. Each branch is exported as a
/// whole story, except for the current story, which is represented by null. Empty if the current
/// story is the only branch.
fn branches(story: &Story) -> Vec<Value> {
    let (ends, head) = (ends(story), story.head());
    if ends.len() < 2 {
        return Vec::new();
    }
    let others: Vec<NodeId> = ends
        .iter()
        .copied()
        .filter(|id| Some(*id) != head)
        .collect();
    // If there are too many, the newest are kept.
    let oldest = others.len().saturating_sub(MOST);
    let kept: BTreeSet<NodeId> = others[oldest..].iter().copied().chain(head).collect();
    let branch = |id: NodeId| match Some(id) == head {
        true => Value::Null,
        false => json!(chunks(&story.path_to(Some(id)))),
    };
    kept.into_iter().map(branch).collect()
}

/// Splits the text of a path into chunks, as KoboldAI expects. An imported passage that has not
/// been changed is exported exactly as in the imported file.
fn chunks(path: &[Passage]) -> Vec<String> {
    let marks = Marks::of(path);
    let mut chunks: Vec<String> = Vec::new();
    let mut before: Option<&Passage> = None;
    for passage in path.iter().filter(|passage| !passage.aside) {
        let whole = passage.text.len() == passage.node.text.len();
        let field = |key: &str| passage.extra.as_ref()?.get(key).filter(|_| whole);
        let raw = field(FORMAT).and_then(Value::as_str);
        if raw.is_none() && passage.text.is_empty() {
            continue;
        }
        let said = match raw {
            Some(raw) => raw.to_string(),
            None => marks.around(before, passage, chunks.last()),
        };
        let joins = passage.continues_previous() && raw.is_none();
        match chunks.last_mut() {
            Some(chunk) if joins || field(SAME_CHUNK).is_some() => *chunk += &said,
            _ => chunks.push(said),
        }
        before = Some(passage);
    }
    chunks
}

/// How an imported story shows whose turn a passage is.
enum Marks {
    None,
    Instruct,
    /// Each turn begins with the speaker's name, as in a chat. The fields are the most recent names
    /// of the user and the model.
    Names {
        user: String,
        model: String,
    },
}

impl Marks {
    fn of(path: &[Passage]) -> Marks {
        let raw = |it: &Passage| Some(it.extra.as_ref()?.get(FORMAT)?.as_str()?.to_string());
        let marked = |raw: String| raw.contains(INPUT) || raw.contains(OUTPUT);
        let named = |it: &&Passage| it.speaker().is_some() && raw(it).is_some();
        let speaker = |model: bool| {
            let own = |it: &&Passage| (it.author == Author::Model) == model;
            let name = path.iter().rev().filter(own).find_map(|it| it.speaker());
            name.unwrap_or(if model { "Bot" } else { "User" })
                .to_string()
        };
        match path.iter().find(named) {
            Some(_) => Marks::Names {
                user: speaker(false),
                model: speaker(true),
            },
            None if path.iter().filter_map(raw).any(marked) => Marks::Instruct,
            None => Marks::None,
        }
    }

    /// Returns the text of a passage that was not imported, with the marks that show whose turn it
    /// is.
    fn around(
        &self,
        before: Option<&Passage>,
        passage: &Passage,
        chunk: Option<&String>,
    ) -> String {
        let begins = before.is_none_or(|before| stand_apart(before, passage));
        let text = passage.text;
        let ended = before.is_none_or(|before| before.text.ends_with('\n'));
        let gap = if begins && !ended { "\n\n" } else { "" };
        let marked = chunk.is_some_and(|chunk| chunk.trim_end().ends_with(OUTPUT));
        match (self, passage.author) {
            _ if !begins || !passage.turn => format!("{gap}{text}"),
            (Marks::Instruct, Author::Model) if marked => text.to_string(),
            (Marks::Instruct, Author::Model) => format!("\n{OUTPUT}\n{text}"),
            (Marks::Instruct, Author::Prompt | Author::User) => {
                format!("\n{INPUT}\n{text}\n{OUTPUT}\n")
            }
            (Marks::Names { user, model }, author) => {
                let name = if author == Author::Model { model } else { user };
                format!("\n{}: {text}", passage.speaker().unwrap_or(name))
            }
            (Marks::None, _) => format!("{gap}{text}"),
        }
    }
}

/// Exports only the lore, in KoboldAI's world info format.
pub fn worldinfo(books: &[&Lorebook]) -> Value {
    Value::Array(
        books
            .iter()
            .flat_map(|book| lorebook::kobold(book))
            .collect(),
    )
}

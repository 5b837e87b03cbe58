//! Exports a KoboldAI Lite story: the current story, its other branches, memory, author's note and
//! lore.

use super::Lorebook;
use super::pages;
use crate::store::import::kobold::turns::{INPUT, OUTPUT};
use crate::store::import::kobold::{FORMAT, SAME_CHUNK};
use crate::store::lorebook;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use story::context::stand_apart;
use story::{Author, NodeId, Passage, Story};

/// The maximum number of branches, since each is stored as a whole story.
pub const MOST: usize = 64;

/// Builds the file's JSON.
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

/// The number of branches that the file leaves out.
pub fn left_out(story: &Story) -> usize {
    ends(story).len().saturating_sub(MOST + 1)
}

/// The last passages of the branches to export.
fn ends(story: &Story) -> BTreeSet<NodeId> {
    let mut ends: BTreeSet<NodeId> = pages::leaves(story).into_iter().collect();
    ends.extend(story.marks().values().filter(|id| !story.is_hidden(**id)));
    ends.extend(story.head());
    ends
}

/// All branches, or the newest if there are too many: each as a whole story, but with null in place
/// of the current one. Empty if there is no other branch.
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

/// The texts of a path, split as Kobold expects. An unchanged imported passage is written as it was
/// in its file.
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

/// How an imported story marks its turns.
enum Marks {
    None,
    Instruct,
    /// By the speakers' names, in a chat. These are the names that the user and the model used
    /// last.
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

    /// The text of a passage that is not from an imported file, with the marks that its turn needs.
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

/// Exports the world info only.
pub fn worldinfo(books: &[&Lorebook]) -> Value {
    Value::Array(
        books
            .iter()
            .flat_map(|book| lorebook::kobold(book))
            .collect(),
    )
}

//! Exports a KoboldAI Lite story: the current story, its other branches, memory, author's note and
//! lore.

use super::Lorebook;
use super::pages::{self, ExportPassage};
use crate::store::import::kobold::FORMAT;
use crate::store::lorebook;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use story::{NodeId, Passage, Story};

/// The maximum number of branches, since each is stored as a whole story.
pub const MOST: usize = 64;

/// Builds the file's JSON.
pub fn story_json(story: &Story) -> Value {
    let frame = story.frame();
    let chunks = chunks(story, &story.path());
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

/// All other branches, each as a whole story, with null for the current one.
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
        false => json!(chunks(story, &story.path_to(Some(id)))),
    };
    kept.into_iter().map(branch).collect()
}

/// The texts of a path with their separators, split as Kobold expects.
fn chunks(story: &Story, path: &[Passage]) -> Vec<String> {
    let pieces = pages::pieces(path);
    let chunk = |piece: &ExportPassage| {
        // Restores Kobold's picture markers if the text is unchanged.
        let node = story.node(piece.first).filter(|_| piece.whole);
        let raw = node.and_then(|node| node.extra.as_ref()?.get(FORMAT)?.as_str());
        let said = raw.map_or_else(|| piece.text(), str::to_string);
        format!("{}{said}", piece.gap)
    };
    pieces.iter().map(chunk).collect()
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

//! Imports KoboldAI's story files: KoboldAI Lite's, and KoboldAI's own first format.
//!
//! The text is `prompt` followed by `actions`; `altbranches` are other branches, each a whole
//! story, with null for the current one. Settings in such a file (`savedsettings`) may contain API
//! keys: they are never read, and only fields of the story are kept.

use super::fields::{text, whole};
use super::lore;
use base::untrusted::clean;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use story::frame::Note;
use story::import::ImportedStory;
use story::{Author, Node, NodeId};

/// The key under which a story's other fields are stored.
pub const FORMAT: &str = "kobold";

/// Story fields that illumine stores without using them. Unknown fields are dropped, since they
/// could contain an API key.
const KEPT: [&str; 15] = [
    "gamestarted",
    "anotetemplate",
    "anotestr",
    "wifolders_d",
    "wifolders_l",
    "wisearchdepth",
    "wiinsertlocation",
    "personal_notes",
    "newlineaftermemory",
    "documentdb_searchhistory",
    "documentdb_numresults",
    "documentdb_searchrange",
    "documentdb_chunksize",
    "documentdb_data",
    "completed_imgs_meta",
];

pub fn is_story(file: &Map<String, Value>) -> bool {
    file.contains_key("actions") && file.contains_key("prompt")
}

pub fn parse_story(mut file: Map<String, Value>, name: &str) -> Option<ImportedStory> {
    let mut tale = ImportedStory {
        memory: text(&file, "memory").unwrap_or_default(),
        note: note(&file),
        ..ImportedStory::default()
    };
    if let Some(rows) = file.get("worldinfo").filter(|rows| rows.is_array()) {
        tale.book = lore::parse_kobold_rows(rows, name);
    }
    let mut tree = ChunkTree::default();
    let current = current(&file)?;
    let others = match file.get("altbranches") {
        Some(Value::Array(branches)) => branches.as_slice(),
        _ => &[],
    };
    let mut ends_at = Vec::new();
    let mut seen = false;
    for branch in others {
        let chunks = match branch {
            // Several nulls would be a mistake; the first one is the current story.
            Value::Null if !seen => {
                seen = true;
                tale.head = tree.path(&current);
                tale.head
            }
            Value::Array(chunks) => {
                let chunks: Vec<&str> = chunks.iter().filter_map(Value::as_str).collect();
                tree.path(&chunks)
            }
            _ => None,
        };
        ends_at.extend(chunks);
    }
    if !seen {
        tale.head = tree.path(&current);
    }
    let branches = ends_at.into_iter().enumerate();
    tale.marks = branches
        .map(|(at, node)| (format!("branch-{}", at + 1), node))
        .collect();
    alternatives(&file, &current, &mut tree);
    tale.nodes = tree.nodes;
    file.retain(|key, value| KEPT.contains(&key.as_str()) && !value.is_null());
    tale.kept = Some((FORMAT, file));
    Some(tale)
}

fn note(file: &Map<String, Value>) -> Option<Note> {
    let text = text(file, "authorsnote").filter(|text| !text.is_empty())?;
    // Kobold counts the note's distance in tokens; a paragraph has about a hundred.
    let tokens = whole(file, "anotestr").unwrap_or(320);
    let depth = (tokens / 100).clamp(1, 100) as usize;
    Some(Note { text, depth })
}

fn current(file: &Map<String, Value>) -> Option<Vec<&str>> {
    let mut chunks = vec![file.get("prompt")?.as_str().unwrap_or_default()];
    chunks.extend(
        file.get("actions")?
            .as_array()?
            .iter()
            .filter_map(Value::as_str),
    );
    Some(chunks)
}

/// Imports the alternative answers that KoboldAI stores for an action.
fn alternatives(file: &Map<String, Value>, current: &[&str], tree: &mut ChunkTree) {
    let Some(Value::Object(actions)) = file.get("actions_metadata") else {
        return;
    };
    for (key, action) in actions {
        let Some(at) = key
            .parse::<usize>()
            .ok()
            .filter(|at| at + 1 < current.len())
        else {
            continue;
        };
        let others = action.get("Alternative Text").and_then(Value::as_array);
        for other in others.into_iter().flatten() {
            let said = other.as_str().or_else(|| other.get("Text")?.as_str());
            if let Some(said) = said {
                let parent = tree.path(&current[..=at]);
                tree.add(parent, said);
            }
        }
    }
}

/// A tree of passages in which branches share their common beginning.
#[derive(Default)]
struct ChunkTree {
    nodes: Vec<Node>,
    known: HashMap<(Option<NodeId>, String), NodeId>,
}

impl ChunkTree {
    /// Adds a branch, and returns its last passage.
    fn path(&mut self, chunks: &[&str]) -> Option<NodeId> {
        let said = chunks.iter().filter(|chunk| !chunk.is_empty());
        said.fold(None, |parent, chunk| Some(self.add(parent, chunk)))
    }

    fn add(&mut self, parent: Option<NodeId>, chunk: &str) -> NodeId {
        if let Some(known) = self.known.get(&(parent, chunk.to_string())) {
            return *known;
        }
        let id = self.nodes.len() as NodeId;
        let shown = without_pictures(&clean(chunk));
        let raw = (shown != chunk).then(|| Map::from_iter([(FORMAT.to_string(), json!(chunk))]));
        self.nodes.push(Node {
            id,
            parent,
            author: author(chunk),
            text: shown,
            extra: raw.map(Box::new),
            ..Node::default()
        });
        self.known.insert((parent, chunk.to_string()), id);
        id
    }
}

/// The author of a chunk. Kobold does not store authors, so everything counts as given text, except
/// lines that start with `>`, which are the player's actions in adventure mode.
fn author(chunk: &str) -> Author {
    match chunk.trim_start().starts_with("> ") {
        true => Author::User,
        false => Author::Prompt,
    }
}

/// Removes picture markers: `[<|h|…|h|>]` refers to a picture, `[<|p|…|p|>]` to a pending one.
fn without_pictures(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    loop {
        let found = ["h", "p"].iter().filter_map(|kind| {
            let (open, close) = (format!("[<|{kind}|"), format!("|{kind}|>]"));
            let from = rest.find(&open)?;
            let to = from + rest[from..].find(&close)? + close.len();
            Some((from, to))
        });
        match found.min() {
            Some((from, to)) => {
                shown.push_str(&rest[..from]);
                rest = &rest[to..];
            }
            None => return shown + rest,
        }
    }
}

//! Imports KoboldAI's story files in three formats: KoboldAI Lite's format, KoboldAI's own first
//! format, and KoboldAI United's format (`file_version` 2, in which the actions are an object with
//! options).
//!
//! The text is `prompt` followed by `actions`. The list `altbranches` contains every other branch
//! as a whole story, and null in place of the current branch. Settings in a file (`savedsettings`)
//! may contain API keys, so the import reads only the mode and the names of a chat, and stores only
//! known fields of the story. The supported variants are those that KoboldAI Lite itself loads (in
//! `kai_json_load`).

pub mod turns;

use super::fields::{first_text, line, rows, text, whole, words};
use super::lore::{self, ReadBook};
use super::skipped::Skipped;
use crate::store::lorebook::LoreFormat;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use story::frame::Note;
use story::import::ImportedStory;
use story::node::SPEAKER;
use story::{Author, Mode, Node, NodeId};
use turns::{INPUT, OUTPUT, Speaking, Style, Turn};

/// The key under which illumine stores those fields of a KoboldAI story that it does not use.
pub const FORMAT: &str = "kobold";

/// The key that marks a passage as part of the same KoboldAI chunk as the previous passage.
pub const SAME_CHUNK: &str = "kobold_same_chunk";

/// The fields of a KoboldAI story that illumine does not use but stores for export. Unknown fields
/// are dropped, since they could contain an API key.
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

/// The names of the settings that determine how a KoboldAI story is parsed.
const READING: [&str; 3] = ["opmode", "chatname", "chatopponent"];

pub fn is_story(file: &Map<String, Value>) -> bool {
    let chunks = |actions: &Value| {
        let texts = actions.as_array().is_some_and(|list| {
            let object = list.iter().any(Value::is_object);
            !object || list.iter().any(Value::is_string)
        });
        texts || actions.is_object() || actions.is_null()
    };
    file.contains_key("prompt") && file.get("actions").is_some_and(chunks)
}

/// Parses a story. The returned notices say what was left out.
pub fn parse_story(
    mut file: Map<String, Value>,
    name: &str,
) -> Option<(ImportedStory, Vec<String>)> {
    let mut tale = ImportedStory {
        memory: text(&file, "memory").unwrap_or_default(),
        note: note(&file),
        ..ImportedStory::default()
    };
    let mut notices = Vec::new();
    if let Some(ReadBook {
        book, notices: own, ..
    }) = read_lore(&file, name)
    {
        tale.book = Some(book);
        notices.extend(own);
    }
    let mut skipped = Skipped::default();
    let current = current(&file, &mut skipped)?;
    let style = style(&file, &current);
    tale.mode = match style {
        Style::Plain => Mode::Prose,
        Style::Instruct | Style::Chat { .. } => Mode::Chat,
    };
    let mut tree = ChunkTree::new(style);
    let others = match file.get("altbranches") {
        Some(Value::Array(branches)) => branches.as_slice(),
        _ => &[],
    };
    let mut ends_at = Vec::new();
    // Branches keep their order, so that each goes back into its own slot.
    let mut places: Option<Vec<Option<NodeId>>> = None;
    for branch in others {
        let end = match branch {
            // Several nulls would be a mistake; the first is the current one.
            Value::Null if places.is_none() => {
                let found = places.insert(tree.path(&current));
                found.last().copied().flatten()
            }
            Value::Array(chunks) => {
                let chunks: Vec<&str> = chunks.iter().filter_map(Value::as_str).collect();
                tree.path(&chunks).pop().flatten()
            }
            _ => None,
        };
        ends_at.extend(end);
    }
    let places = places.unwrap_or_else(|| tree.path(&current));
    tale.head = places.last().copied().flatten();
    let branches = ends_at.into_iter().enumerate();
    tale.marks = branches
        .map(|(at, node)| (format!("branch-{}", at + 1), node))
        .collect();
    for (at, said) in alternatives(&file, &current) {
        tree.add(places.get(at).copied().flatten(), said);
    }
    tale.nodes = tree.nodes;
    notices.extend(skipped.notice("passage"));
    let reading = reading_settings(&file).filter(|_| tale.mode == Mode::Chat);
    file.retain(|key, value| KEPT.contains(&key.as_str()) && !value.is_null());
    file.extend(reading.map(|settings| ("savedsettings".to_string(), settings)));
    tale.kept = Some((FORMAT, file));
    Some((tale, notices))
}

fn read_lore(file: &Map<String, Value>, name: &str) -> Option<ReadBook> {
    let united = || file.get("worldinfo_v2")?.get("entries");
    let entries = file
        .get("worldinfo")
        .filter(|rows| rows.is_array() || rows.is_object());
    lore::parse_list(entries.or_else(united)?, name, LoreFormat::Kobold)
}

fn note(file: &Map<String, Value>) -> Option<Note> {
    let text = first_text(file, &["authorsnote", "authornote", "authors_note"])?;
    // Kobold counts the note's distance in tokens; a paragraph has about a hundred.
    let tokens = whole(file, "anotestr").unwrap_or(320);
    let depth = (tokens / 100).clamp(1, 100) as usize;
    Some(Note { text, depth })
}

fn reading_settings(file: &Map<String, Value>) -> Option<Value> {
    let saved = file.get("savedsettings")?.as_object()?;
    let known = READING.iter().filter_map(|key| {
        let value = saved
            .get(*key)
            .filter(|value| value.is_string() || value.is_number())?;
        Some((key.to_string(), value.clone()))
    });
    Some(Value::Object(known.collect()))
}

/// Determines how the turns of a story are marked.
fn style(file: &Map<String, Value>, chunks: &[&str]) -> Style {
    const CHAT: i64 = 3;
    if chunks
        .iter()
        .any(|chunk| chunk.contains(INPUT) || chunk.contains(OUTPUT))
    {
        return Style::Instruct;
    }
    let saved = file.get("savedsettings").and_then(Value::as_object);
    let Some(saved) = saved.filter(|saved| whole(saved, "opmode") == Some(CHAT)) else {
        return Style::Plain;
    };
    let others = line(saved, "chatopponent").unwrap_or_default();
    let others = others
        .split("||$||")
        .map(str::trim)
        .filter(|name| !name.is_empty());
    Style::Chat {
        user: line(saved, "chatname").unwrap_or_else(|| "User".to_string()),
        others: others.map(str::to_string).collect(),
    }
}

/// The chunks of the current branch of a story, in order.
fn current<'a>(file: &'a Map<String, Value>, skipped: &mut Skipped) -> Option<Vec<&'a str>> {
    let prompt = file.get("prompt")?.as_str().unwrap_or_default();
    let mut chunks = vec![prompt];
    let actions = file.get("actions")?;
    let listed = actions.get("actions").unwrap_or(actions);
    let mut actions = rows(listed).unwrap_or_default();
    actions.retain(|(_, row)| !listed.is_object() || !row.is_number());
    if listed.is_object() {
        // The keys are numbers; a JSON object has no order.
        actions
            .sort_by_key(|(place, _)| place.trim_matches('"').parse::<u64>().unwrap_or(u64::MAX));
    }
    for (place, action) in actions {
        match action
            .as_str()
            .or_else(|| action.get("Selected Text")?.as_str())
        {
            Some(chunk) => chunks.push(chunk),
            None if action.is_null() => skipped.note(place, "is null"),
            None => skipped.note(place, "is not text"),
        }
    }
    Some(chunks)
}

/// The alternative answers that KoboldAI stores for its actions. Each answer comes with the index
/// of the chunk that it follows.
fn alternatives<'a>(file: &'a Map<String, Value>, current: &[&str]) -> Vec<(usize, &'a str)> {
    let first = file.get("actions_metadata").and_then(Value::as_object);
    let united = || file.get("actions")?.get("actions")?.as_object();
    let mut found = Vec::new();
    for (key, action) in first.or_else(united).into_iter().flatten() {
        let number = key.parse::<usize>().ok();
        let Some(at) = number.filter(|at| at + 1 < current.len()) else {
            continue;
        };
        let others = ["Alternative Text", "Options"].map(|key| action.get(key));
        let others = others.into_iter().flatten().filter_map(Value::as_array);
        for other in others.flatten() {
            let said = ["Text", "text"]
                .into_iter()
                .find_map(|key| other.get(key)?.as_str());
            found.extend(other.as_str().or(said).map(|said| (at, said)));
        }
    }
    found
}

/// A tree of passages in which branches share their common beginning.
struct ChunkTree {
    style: Style,
    nodes: Vec<Node>,
    /// The speaker at the end of each chunk, keyed by the id of the chunk's last passage.
    speaking: HashMap<NodeId, Speaking>,
    known: HashMap<(Option<NodeId>, String), NodeId>,
}

impl ChunkTree {
    fn new(style: Style) -> ChunkTree {
        ChunkTree {
            style,
            nodes: Vec::new(),
            speaking: HashMap::new(),
            known: HashMap::new(),
        }
    }

    /// Adds the chunks of a branch. For each chunk, returns the last passage of the branch up to
    /// that chunk; None if there is no passage yet.
    fn path(&mut self, chunks: &[&str]) -> Vec<Option<NodeId>> {
        let mut parent = None;
        let mut places = Vec::new();
        for chunk in chunks {
            if !chunk.is_empty() {
                parent = Some(self.add(parent, chunk));
            }
            places.push(parent);
        }
        places
    }

    fn add(&mut self, parent: Option<NodeId>, chunk: &str) -> NodeId {
        if let Some(known) = self.known.get(&(parent, chunk.to_string())) {
            return *known;
        }
        let mut speaking = parent.and_then(|id| self.speaking.get(&id).cloned());
        let mut speaking = speaking.take().unwrap_or(Speaking::START);
        let turns = self.style.split(chunk, &mut speaking);
        let mut last = parent;
        for (at, turn) in turns.into_iter().enumerate() {
            let node = match self.style {
                Style::Plain => plain(chunk),
                Style::Instruct | Style::Chat { .. } => of_turn(turn, at > 0, last.is_some()),
            };
            let id = self.nodes.len() as NodeId;
            self.nodes.push(Node {
                id,
                parent: last,
                ..node
            });
            last = Some(id);
        }
        let id = last.unwrap_or_default();
        self.speaking.insert(id, speaking);
        self.known.insert((parent, chunk.to_string()), id);
        id
    }
}

fn plain(chunk: &str) -> Node {
    let shown = without_pictures(&words(chunk));
    let raw = (shown != chunk).then(|| Map::from_iter([(FORMAT.to_string(), json!(chunk))]));
    Node {
        author: author(chunk),
        text: shown,
        extra: raw.map(Box::new),
        ..Node::default()
    }
}

fn of_turn(turn: Turn, same_chunk: bool, follows: bool) -> Node {
    let mut extra = Map::from_iter([(FORMAT.to_string(), json!(turn.raw))]);
    if same_chunk {
        extra.insert(SAME_CHUNK.to_string(), json!(true));
    }
    if let Some(name) = turn.name {
        extra.insert(SPEAKER.to_string(), json!(words(&name)));
    }
    Node {
        author: turn.author,
        // Text before the first turn has no author.
        turn: turn.author != Author::Prompt,
        apart: turn.begins,
        joins: follows && !turn.begins,
        text: without_pictures(&words(&turn.text)),
        extra: Some(Box::new(extra)),
        ..Node::default()
    }
}

/// Guesses the author of a chunk of prose, since Kobold does not store authors. A chunk that starts
/// with `> `, like the player's actions in adventures, counts as the writer's text. Every other
/// chunk counts as a prompt.
fn author(chunk: &str) -> Author {
    match chunk.trim_start().starts_with("> ") {
        true => Author::User,
        false => Author::Prompt,
    }
}

/// Removes picture markers. The marker of a finished picture is `[<|h|…|h|>]`, and the marker of a
/// pending picture is `[<|p|…|p|>]`.
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

//! Imports AI Dungeon's adventures and scenarios from JSON.
//!
//! An adventure has `actions`, each with a text and a type. The types `do`, `say` and `story` are
//! the player's; the other types are `start` and `continue`. Actions that were undone have the
//! field `undoneAt` or `deletedAt`. The file also contains the memory (plot essentials), the
//! author's note, and `storyCards` (before 2024: `worldInfo`). A scenario has a prompt. Older
//! exports have `stories`, exports of the first release have `story_start` with `results`, and
//! exports of prompt archives have `promptContent` with `worldInfos`. Exporters that use AI
//! Dungeon's GraphQL API store the content in `data.adventure` or `data.scenario`. The formats were
//! learned from KoboldAI's importer and from public exporters.

use super::fields::{first_text, rows, words};
use super::lore::{self, ReadBook};
use super::skipped::Skipped;
use crate::store::lorebook::LoreFormat;
use serde_json::{Map, Value};
use story::Author;
use story::frame::Note;
use story::import::ImportedStory;
use story::sentence::count_noun;

const ACTIONS: [&str; 3] = ["actions", "actionWindow", "allActions"];
const CARDS: [&str; 4] = ["storyCards", "worldInfo", "worldInfos", "worldInfoCards"];
const PROMPTS: [&str; 4] = ["prompt", "promptContent", "promptTxt", "story_start"];

/// The adventure or scenario in a file, if there is one.
pub fn find(file: &Map<String, Value>) -> Option<&Map<String, Value>> {
    if is_own(file) {
        return Some(file);
    }
    let file = file.get("data").and_then(Value::as_object).unwrap_or(file);
    let inner = ["adventure", "scenario"].into_iter();
    let inner = inner.filter_map(|key| file.get(key)?.as_object());
    let stories = ["stories", "adventures", "scenarios"].into_iter();
    let stories = stories.filter_map(|key| file.get(key)?.get(0)?.as_object());
    inner.chain(stories).chain([file]).find(|it| is_own(it))
}

fn is_own(file: &Map<String, Value>) -> bool {
    let texts = |actions: &Value| {
        let rows = actions.as_array();
        rows.is_some_and(|rows| {
            rows.iter()
                .any(|row| row.get("text").is_some_and(Value::is_string))
        })
    };
    let told = ACTIONS.iter().any(|key| file.get(*key).is_some_and(texts));
    let cards = CARDS
        .iter()
        .any(|key| file.get(*key).is_some_and(Value::is_array));
    let prompt = PROMPTS
        .iter()
        .any(|key| file.get(*key).is_some_and(Value::is_string));
    told || (cards && (prompt || file.contains_key("memory")))
        || file.contains_key("promptContent")
        || (file.contains_key("story_start") && file.contains_key("results"))
}

/// Parses an adventure or scenario. The returned notices say what was left out.
pub fn parse_story(
    whole: &Map<String, Value>,
    own: &Map<String, Value>,
    name: &str,
) -> (ImportedStory, Vec<String>) {
    let mut tale = ImportedStory {
        memory: first_text(own, &["memory", "plotEssentials"]).unwrap_or_default(),
        note: first_text(own, &["authorsNote", "authors_note"]).map(|text| Note { text, depth: 3 }),
        ..ImportedStory::default()
    };
    let mut skipped = Skipped::default();
    let mut undone = 0;
    let told = ACTIONS.iter().find_map(|key| rows(own.get(*key)?));
    let mut said = Vec::new();
    for (place, action) in told.unwrap_or_default() {
        let text = action.as_str().or_else(|| action.get("text")?.as_str());
        let taken_back = |key| {
            action
                .get(key)
                .is_some_and(|it| !matches!(it, Value::Null | Value::Bool(false)))
        };
        match text {
            Some(_) if taken_back("undoneAt") || taken_back("deletedAt") => undone += 1,
            Some(text) => said.push((author(action), words(text))),
            None if action.is_null() => skipped.note(place, "is null"),
            None => skipped.note(place, "has no text"),
        }
    }
    interleave_results(own, &mut said);
    let prompt = first_text(own, &PROMPTS);
    let again = said.first().zip(prompt.as_ref());
    if let Some(prompt) = prompt.clone().filter(|_| {
        // An adventure already begins with its scenario's prompt.
        said.is_empty()
            || (own.contains_key("story_start") && again.is_some_and(|(it, p)| it.1 != *p))
    }) {
        said.insert(0, (Author::Prompt, prompt));
    }
    tale.append(said);
    let mut notices: Vec<String> = skipped.notice("action").into_iter().collect();
    if undone > 0 {
        notices.push(format!(
            "left out {} that were undone",
            count_noun(undone, "action")
        ));
    }
    let more = ["stories", "adventures", "scenarios"].into_iter();
    let more = more.filter_map(|key| Some(whole.get(key)?.as_array()?.len()));
    let others = more.sum::<usize>().saturating_sub(1);
    if others > 0 {
        notices.push(format!(
            "left out {} of the file, since a session has one story",
            count_noun(others, "other adventure")
        ));
    }
    let cards = CARDS
        .iter()
        .find_map(|key| own.get(*key).filter(|it| it.is_array()));
    let book = cards.and_then(|cards| lore::parse_list(cards, name, LoreFormat::AiDungeon));
    if let Some(ReadBook {
        book, notices: own, ..
    }) = book
    {
        tale.book = Some(book);
        notices.extend(own);
    }
    (tale, notices)
}

fn author(action: &Value) -> Author {
    match action.get("type").and_then(Value::as_str) {
        Some("continue" | "see") => Author::Model,
        Some("do" | "say" | "story" | "input") => Author::User,
        _ => Author::Prompt,
    }
}

/// For an export of the first release, merges the list of results into `said`, the list of the
/// player's actions.
fn interleave_results(own: &Map<String, Value>, said: &mut Vec<(Author, String)>) {
    let Some(results) = own.get("results").and_then(Value::as_array) else {
        return;
    };
    let mut both = Vec::new();
    let mut actions = std::mem::take(said).into_iter();
    for result in results.iter().filter_map(Value::as_str) {
        both.extend(
            actions
                .next()
                .map(|(_, text)| (Author::User, format!("\n> {text}\n"))),
        );
        both.push((Author::Model, words(result)));
    }
    both.extend(actions);
    *said = both;
}

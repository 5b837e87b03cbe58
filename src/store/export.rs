//! Exports stories, cards and lore for readers and for other programs.
//!
//! An export contains only what an allowlist permits: the text and the authors of the story, the
//! memory, notes and lore, and the stored fields of imported files. An export never contains the
//! program's settings, its environment or model paths.

mod card;
mod chapters;
pub mod direction;
mod epub;
mod html;
mod jsonl;
pub mod kobold;
mod pages;
mod tavern;
mod text;

use crate::store::files::{FileError, write_file};
use crate::store::lorebook;
use base::nearest::nearest;
use base::untrusted::{clean_line, is_visible};
use imagegen::picture_file::MAX_FILE_BYTES;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use story::lore::Lorebook;
use story::{NodeId, Picture, Story};

/// A file format for exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    Text,
    Markdown,
    Html,
    Epub,
    /// Conversations in OpenAI's `messages` format, one conversation per line.
    Messages,
    /// Preference pairs: each consists of the chosen version of a passage and a rejected version.
    Pairs,
    Kobold,
    Tavern,
    /// A character card. The file name decides whether it is a PNG, JSON or .charx file.
    Card,
    /// A lorebook in SillyTavern's World Info format.
    WorldInfo,
    /// A lorebook in the `lorebook_v3` format.
    Lorebook,
}

/// All formats, each with its names, its file extension and its description.
pub const FORMATS: &[(ExportFormat, &[&str], &str, &str)] = &[
    (ExportFormat::Text, &["txt", "text"], "txt", "plain text"),
    (
        ExportFormat::Markdown,
        &["md", "markdown"],
        "md",
        "Markdown",
    ),
    (
        ExportFormat::Html,
        &["html", "htm"],
        "html",
        "one HTML page with authors marked",
    ),
    (ExportFormat::Epub, &["epub"], "epub", "an e-book"),
    (
        ExportFormat::Messages,
        &["jsonl", "messages"],
        "jsonl",
        "JSON Lines: OpenAI messages, one conversation per line",
    ),
    (
        ExportFormat::Pairs,
        &["pairs"],
        "pairs.jsonl",
        "JSON Lines: preference pairs, one pair per line",
    ),
    (
        ExportFormat::Kobold,
        &["kobold"],
        "kobold.json",
        "a KoboldAI Lite story, with its branches",
    ),
    (
        ExportFormat::Tavern,
        &["tavern", "sillytavern"],
        "tavern.jsonl",
        "a SillyTavern chat, with swipes",
    ),
    (
        ExportFormat::Card,
        &["card", "charx", "png"],
        "png",
        "a character card",
    ),
    (
        ExportFormat::WorldInfo,
        &["worldinfo", "lore"],
        "worldinfo.json",
        "SillyTavern World Info",
    ),
    (
        ExportFormat::Lorebook,
        &["lorebook"],
        "lorebook.json",
        "a V3 lorebook",
    ),
];

/// The preferred name of every format.
pub fn names() -> Vec<&'static str> {
    FORMATS.iter().map(|(_, names, ..)| names[0]).collect()
}

/// The text of the current story. In a chat, each turn is on separate lines.
pub fn bare_text(story: &Story) -> String {
    pages::text_of(&story.path())
}

/// Returns the current story as messages. Each consists of its role, as in OpenAI's chat format,
/// and its text.
pub fn messages(story: &Story, system: &str) -> Vec<(&'static str, String)> {
    jsonl::turns(story, &story.path(), system)
}

/// A clause that tells which parts of the story the format cannot store; empty if it can store
/// everything.
pub fn left_out(story: &Story, format: ExportFormat) -> String {
    let branches = match format {
        ExportFormat::Kobold => kobold::left_out(story),
        _ => 0,
    };
    match branches {
        0 => String::new(),
        n => format!(
            "; left out {n} older branches, since a KoboldAI Lite file stores each as a whole story"
        ),
    }
}

/// The data that an export needs in addition to the story.
#[derive(Clone, Debug, Default)]
pub struct ExportMeta {
    pub title: String,
    /// The current time in UTC, in RFC 3339 format.
    pub now: String,
    /// The name and version of the program.
    pub build: String,
    /// The session's system message.
    pub system: String,
    /// The story's language, as a BCP 47 language tag; empty if unknown.
    pub language: String,
    /// The session's folder, which contains the pictures and the original file of an imported card.
    pub folder: Option<PathBuf>,
    /// The picture files of a private session, which are stored only in memory.
    pub held: BTreeMap<NodeId, Arc<[u8]>>,
    /// The name of the folder for the pictures, which is next to the exported file; None if the
    /// export is written to standard output.
    pub beside: Option<String>,
}

impl ExportMeta {
    /// Returns the title, or `other` if the title is blank or missing.
    pub fn title_or(title: Option<&str>, other: &str) -> String {
        let title = clean_line(title.unwrap_or_default());
        match is_visible(&title) {
            true => title.trim().to_string(),
            false => clean_line(other),
        }
    }

    /// Returns the file of a picture; None if the file is missing or too large.
    pub fn picture(&self, id: NodeId) -> Option<Arc<[u8]>> {
        if let Some(held) = self.held.get(&id) {
            return Some(held.clone());
        }
        let path = super::pictures::path(self.folder.as_deref()?, id);
        let small = fs::metadata(&path).is_ok_and(|it| it.len() <= MAX_FILE_BYTES as u64);
        let bytes = fs::read(&path).ok().filter(|_| small)?;
        Some(bytes.into())
    }
}

/// The part of a story that is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportScope {
    /// Only the current story.
    Path,
    /// All branches that are not hidden.
    Tree,
}

/// The reason why an export failed. The message is one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("Unknown format {0}; available formats: {formats}", formats = names().join(", "))]
    Format(String),
    #[error("Unknown format {0}; did you mean {1}?")]
    Near(String, &'static str),
    #[error(
        "\"{0}\" is not a language tag; use a BCP 47 tag, for example en, de-AT, he or az-Arab"
    )]
    Language(String),
    #[error("The story is empty; write something before exporting it")]
    Empty,
    #[error("There is no lore to export; add some with /lore add KEY: FACT")]
    NoLore,
    #[error("No passage has a second version to make pairs from; create one with /retry or /swipe")]
    NoPairs,
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "The character card's original file is damaged ({0}); export to a .json file to write the card only"
    )]
    Card(String),
}

impl ExportFormat {
    pub fn parse(word: &str) -> Result<ExportFormat, ExportError> {
        let wanted = word.to_lowercase();
        let known = FORMATS
            .iter()
            .find(|(_, names, ..)| names.contains(&wanted.as_str()));
        known.map(|(format, ..)| *format).ok_or_else(|| {
            let word = clean_line(&word.chars().take(40).collect::<String>());
            let names = FORMATS
                .iter()
                .flat_map(|(_, names, ..)| names.iter().copied());
            match nearest(&word, names) {
                Some(near) => ExportError::Near(word, near),
                None => ExportError::Format(word),
            }
        })
    }

    /// The format that a file name implies; None if the name implies no format.
    pub fn of_file(path: &Path) -> Option<ExportFormat> {
        let name = path.file_name()?.to_string_lossy().to_lowercase();
        let ends = |ending: &str| name.ends_with(&format!(".{ending}"));
        if ends("charx") {
            return Some(ExportFormat::Card);
        }
        // Longer extensions may end in shorter ones.
        let mut rows: Vec<_> = FORMATS
            .iter()
            .filter(|(_, _, ending, _)| ends(ending))
            .collect();
        rows.sort_by_key(|(_, _, ending, _)| std::cmp::Reverse(ending.len()));
        rows.first().map(|(format, ..)| *format)
    }

    /// The file extension for this format, without a dot.
    pub fn ending(self) -> &'static str {
        let row = FORMATS.iter().find(|(format, ..)| *format == self);
        row.map_or("txt", |(_, _, ending, _)| ending)
    }
}

/// Builds the contents of the exported file. For a card, `path` determines whether the file is a
/// PNG, JSON or .charx file.
pub fn encode_export(
    story: &Story,
    format: ExportFormat,
    extent: ExportScope,
    meta: &ExportMeta,
    path: &Path,
) -> Result<Vec<u8>, ExportError> {
    let of_story = !matches!(
        format,
        ExportFormat::Card | ExportFormat::WorldInfo | ExportFormat::Lorebook
    );
    let path_of = story.path();
    let says = path_of.iter().any(|passage| !passage.text.is_empty())
        || !story.pictures_on(&path_of).is_empty();
    if of_story && !says && extent == ExportScope::Path {
        return Err(ExportError::Empty);
    }
    Ok(match format {
        ExportFormat::Text => text::plain(story, extent, meta).into_bytes(),
        ExportFormat::Markdown => text::markdown(story, extent, meta).into_bytes(),
        ExportFormat::Html => html::page(story, extent, meta).into_bytes(),
        ExportFormat::Epub => epub::book(story, extent, meta)?,
        ExportFormat::Messages => jsonl::messages(story, extent, meta).into_bytes(),
        ExportFormat::Pairs => jsonl::pairs(story, meta)?.into_bytes(),
        ExportFormat::Kobold => line(&kobold::story_json(story)),
        ExportFormat::Tavern => tavern::chat_lines(story, meta).into_bytes(),
        ExportFormat::Card => card::encode_card(story, meta, path)?,
        ExportFormat::WorldInfo => line(&lorebook::tavern(&shelf(story)?)),
        ExportFormat::Lorebook => line(&lorebook::v3(&shelf(story)?)),
    })
}

/// The name of the folder for the pictures of an export to `path`. If the export may overwrite
/// files (`over`), the name is `NAME-pictures`. Otherwise, it is a name that is not in use yet.
pub fn pictures_folder_name(path: &Path, over: bool) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let folder = path.parent().unwrap_or(Path::new(""));
    let first = format!("{stem}-pictures");
    let others = (2..).map(|n| format!("{stem}-pictures-{n}"));
    let mut names = std::iter::once(first.clone()).chain(others);
    match over {
        true => first,
        false => names
            .find(|name| !folder.join(name).exists())
            .unwrap_or(first),
    }
}

/// Writes the picture files that an exported Markdown file refers to. For other formats, writes
/// nothing.
pub fn write_picture_files(
    story: &Story,
    format: ExportFormat,
    extent: ExportScope,
    meta: &ExportMeta,
    path: &Path,
) -> Result<(), ExportError> {
    let (ExportFormat::Markdown, Some(name)) = (format, &meta.beside) else {
        return Ok(());
    };
    let folder = path.parent().unwrap_or(Path::new("")).join(name);
    for id in pages::pictures(story, extent) {
        let Some(bytes) = meta.picture(id) else {
            continue;
        };
        fs::create_dir_all(&folder).map_err(|source| FileError::Io {
            path: folder.clone(),
            source,
        })?;
        write_file(&folder.join(Picture::file_name(id)), &bytes, true)?;
    }
    Ok(())
}

/// Merges all lorebooks of the session into one lorebook.
fn shelf(story: &Story) -> Result<Lorebook, ExportError> {
    let books: Vec<&Lorebook> = story.frame().books().map(|(book, _)| book).collect();
    let (first, others) = books.split_first().ok_or(ExportError::NoLore)?;
    let mut whole = (*first).clone();
    for book in others {
        for entry in &book.entries {
            let mut entry = entry.clone();
            let taken = whole.entries.iter().map(|other| other.uid).max();
            entry.uid = taken.map_or(0, |uid| uid.saturating_add(1));
            // Fields of other formats do not apply to this lorebook.
            entry.extra.retain(|_, _| false);
            whole.entries.push(entry);
        }
    }
    Ok(whole)
}

/// Formats a JSON value over several lines, with a line break at the end.
fn line(value: &serde_json::Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
#[cfg(test)]
mod tests;

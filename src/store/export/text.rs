//! Exports the story as plain text and as Markdown.

use super::pages::{self, ExportPassage};
use super::{ExportMeta, ExportScope};
use crate::store::import::tavern;
use base::untrusted::clean_line;
use story::sentence::excerpt;
use story::{Author, NodeId, Passage, Picture, Story};

pub fn plain(story: &Story, extent: ExportScope, meta: &ExportMeta) -> String {
    let names = SpeakerNames::of(story, meta);
    let line = |id| format!("[Picture: {}]", shown(story, id));
    let plain = |text: &str| text.to_string();
    let pieces = pages::with_pictures(story, &story.path());
    let mut text = flow(&pieces, &names, plain, &line);
    if extent == ExportScope::Tree {
        for branch in pages::branches(story) {
            let told = flow(&branch.pieces, &names, plain, &line);
            let title = title(story, &branch);
            text += &format!("\n\n\n{title}\n\n{}", told.trim_start());
        }
    }
    ended(text)
}

pub fn markdown(story: &Story, extent: ExportScope, meta: &ExportMeta) -> String {
    let names = SpeakerNames::of(story, meta);
    let pieces = pages::with_pictures(story, &story.path());
    let line = |id| {
        let title = bracketless(&shown(story, id));
        match meta.beside.as_ref().filter(|_| meta.picture(id).is_some()) {
            Some(folder) => format!("![{title}](<{folder}/{}>)", Picture::file_name(id)),
            None => format!("*Picture: {title}*"),
        }
    };
    let mut text = format!("# {}\n\n", escaped(&meta.title));
    text += flow(&pieces, &names, escaped, &line).trim_start();
    if extent == ExportScope::Tree {
        for branch in pages::branches(story) {
            let title = escaped(&title(story, &branch));
            let told = flow(&branch.pieces, &names, escaped, &line);
            text = format!("{}\n\n## {title}\n\n{}", text.trim_end(), told.trim_start());
        }
    }
    let by = authors(&pieces);
    format!("{}\n\n---\n\n*{by}*\n", text.trim_end())
}

/// The names of the two speakers in a chat.
pub struct SpeakerNames {
    pub user: String,
    pub model: String,
}

impl SpeakerNames {
    pub fn of(story: &Story, meta: &ExportMeta) -> SpeakerNames {
        if let Some(character) = &story.frame().character {
            return SpeakerNames {
                user: character.user.clone(),
                model: character.card.own_name(),
            };
        }
        // From an imported chat: the names in its header, or else the last speakers.
        let header = story.frame().kept.get(tavern::FORMAT);
        let path = story.path();
        let named = |key: &str, model: bool| {
            let own = |it: &&Passage| (it.author == Author::Model) == model;
            let spoke = || path.iter().rev().filter(own).find_map(|it| it.speaker());
            tavern::header_name(header, key)
                .or_else(spoke)
                .map(clean_line)
        };
        SpeakerNames {
            user: named("user_name", false).unwrap_or_else(|| "You".to_string()),
            model: named("character_name", true).unwrap_or_else(|| meta.title.clone()),
        }
    }

    /// The speaker's name to show before a piece: the name from the imported file, or else the name
    /// of the piece's author. None if the piece is not a turn of a chat.
    pub fn speaker<'a>(&'a self, piece: &'a ExportPassage) -> Option<&'a str> {
        let name = match piece.author {
            Author::Model => &self.model,
            Author::Prompt | Author::User => &self.user,
        };
        let name = piece.speaker.as_ref().unwrap_or(name);
        piece.turn.then_some(name)
    }
}

/// Joins pieces into one text. Each picture becomes a separate paragraph.
fn flow(
    pieces: &[ExportPassage],
    names: &SpeakerNames,
    shape: impl Fn(&str) -> String,
    picture: &dyn Fn(NodeId) -> String,
) -> String {
    let mut text = String::new();
    let mut apart = false;
    for piece in pieces {
        let words = shape(&piece.text());
        match apart && !piece.spans.is_empty() {
            true => text += "\n\n",
            false => text += piece.gap,
        }
        if let Some(name) = names.speaker(piece) {
            text += &format!("{}: ", shape(name));
        }
        text += match apart {
            true => words.trim_start(),
            false => &words,
        };
        apart &= piece.spans.is_empty();
        for id in &piece.pictures {
            let before = text.trim_end_matches([' ', '\n']).len();
            text.truncate(before);
            text += if before == 0 { "" } else { "\n\n" };
            text += &picture(*id);
            apart = true;
        }
    }
    text
}

/// The title of a picture, on one line.
fn shown(story: &Story, id: NodeId) -> String {
    let picture = story.picture(id);
    clean_line(&picture.map(|it| it.provenance.title()).unwrap_or_default())
}

/// Escapes brackets and other special characters, so that the text can be placed inside Markdown
/// brackets.
fn bracketless(text: &str) -> String {
    let open = |c: char| "[]*_`\\<".contains(c);
    let bits = text
        .chars()
        .flat_map(|c| open(c).then_some('\\').into_iter().chain([c]));
    bits.collect()
}

/// The title of a branch, which consists of the branch's mark, if it has one, and the place where
/// the branch starts.
pub fn title(story: &Story, branch: &pages::Branch) -> String {
    let after = branch.after.and_then(|id| story.node(id));
    let place = after.map_or("another beginning".to_string(), |node| {
        format!("after “{}”", excerpt(node.text.trim(), 40))
    });
    match &branch.name {
        Some(name) => format!("{name}: {place}"),
        None => format!("Alternative, {place}"),
    }
}

/// A sentence that says what percentage of the text each author wrote.
pub fn authors(pieces: &[ExportPassage]) -> String {
    let shares = pages::author_shares(pieces);
    let all: usize = shares.iter().map(|(_, count)| count).sum();
    let share = |(by, count): &(pages::SpanAuthor, usize)| {
        let percent = (count * 100 + all / 2) / all.max(1);
        let who = match by {
            pages::SpanAuthor::Prompt => "given",
            pages::SpanAuthor::Writer => "by the writer",
            pages::SpanAuthor::Model => "by a language model",
            pages::SpanAuthor::Edited => "edited by the writer",
        };
        format!("{percent} % {who}")
    };
    let parts: Vec<String> = shares.iter().map(share).collect();
    format!("Written with illumine: {}", parts.join(", "))
}

/// Escapes text that Markdown would parse as an HTML tag. All other Markdown is kept, since the
/// writer may have intended it.
fn escaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let tag = |next: &char| next.is_ascii_alphabetic() || "/!?".contains(*next);
        if c == '<' && rest.peek().is_some_and(tag) {
            plain.push('\\');
        }
        plain.push(c);
    }
    plain
}

fn ended(text: String) -> String {
    match text.ends_with('\n') {
        true => text,
        false => text + "\n",
    }
}

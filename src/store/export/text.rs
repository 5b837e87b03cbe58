//! The story as plain words and as Markdown.

use super::pages::{self, Piece};
use super::{Extent, Meta};
use crate::story::sentence::excerpt;
use crate::story::{Author, Story};

pub fn plain(story: &Story, extent: Extent, meta: &Meta) -> String {
    let names = Names::of(story, meta);
    let mut text = flow(&pages::pieces(&story.path()), &names, |text| {
        text.to_string()
    });
    if extent == Extent::Tree {
        for branch in pages::branches(story) {
            let told = flow(&branch.pieces, &names, |text| text.to_string());
            let title = title(story, &branch);
            text += &format!("\n\n\n{title}\n\n{}", told.trim_start());
        }
    }
    ended(text)
}

pub fn markdown(story: &Story, extent: Extent, meta: &Meta) -> String {
    let names = Names::of(story, meta);
    let pieces = pages::pieces(&story.path());
    let mut text = format!("# {}\n\n", escaped(&meta.title));
    text += flow(&pieces, &names, escaped).trim_start();
    if extent == Extent::Tree {
        for branch in pages::branches(story) {
            let title = escaped(&title(story, &branch));
            let told = flow(&branch.pieces, &names, escaped);
            text = format!("{}\n\n## {title}\n\n{}", text.trim_end(), told.trim_start());
        }
    }
    let by = authors(&pieces);
    format!("{}\n\n---\n\n*{by}*\n", text.trim_end())
}

/// Who speaks in a chat.
pub struct Names {
    user: String,
    model: String,
}

impl Names {
    pub fn of(story: &Story, meta: &Meta) -> Names {
        match &story.frame().character {
            Some(character) => Names {
                user: character.user.clone(),
                model: character.card.line("name"),
            },
            None => Names {
                user: "You".to_string(),
                model: meta.title.clone(),
            },
        }
    }

    pub fn speaker(&self, piece: &Piece) -> Option<&str> {
        let name = match piece.author {
            Author::Model => &self.model,
            _ => &self.user,
        };
        piece.turn.then_some(name)
    }
}

fn flow(pieces: &[Piece], names: &Names, shape: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    for piece in pieces {
        text += piece.gap;
        if let Some(name) = names.speaker(piece) {
            text += &format!("{}: ", shape(name));
        }
        text += &shape(&piece.text());
    }
    text
}

/// What a branch is called: its mark, or where it leaves the story.
pub fn title(story: &Story, branch: &pages::Branch) -> String {
    let after = branch.after.and_then(|id| story.node(id));
    let place = after.map_or("another beginning".to_string(), |node| {
        format!("after “{}”", excerpt(node.text.trim(), 40))
    });
    match &branch.name {
        Some(name) => format!("{name}: {place}"),
        None => format!("Another way, {place}"),
    }
}

/// Who wrote how much, in a sentence.
pub fn authors(pieces: &[Piece]) -> String {
    let shares = pages::shares(pieces);
    let all: usize = shares.iter().map(|(_, count)| count).sum();
    let share = |(by, count): &(pages::By, usize)| {
        let percent = (count * 100 + all / 2) / all.max(1);
        let who = match by {
            pages::By::Prompt => "given",
            pages::By::Writer => "by the writer",
            pages::By::Model => "by a language model",
            pages::By::Edited => "edited by the writer",
        };
        format!("{percent} % {who}")
    };
    let parts: Vec<String> = shares.iter().map(share).collect();
    format!("Written with illumine: {}", parts.join(", "))
}

/// What Markdown would read as a tag is words; the rest is the writer's own Markdown.
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

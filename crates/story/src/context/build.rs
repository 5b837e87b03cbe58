//! The order of a context's parts, in prose and in chat.

use super::insert::{Insert, into_messages, into_prose};
use super::{Author, Context, Kind, Message, Part, Passage, Role};
use crate::frame::Frame;
use crate::lore::{Fires, Position};
use crate::{Mode, Settings};

/// What stands beside the story for one passage alone.
#[derive(Default)]
pub struct Beside<'a> {
    /// Lore that fired, in the order in which it is kept.
    pub lore: Vec<Fires<'a>>,
    /// What was asked of this passage alone.
    pub instruct: Option<&'a str>,
    /// The summary that stands in for what no longer fits.
    pub summary: Option<&'a str>,
    /// What comes after the place where the model writes.
    pub after: Option<&'a str>,
}

/// The context in which a passage after the last of `path` is written.
pub fn build(settings: &Settings, frame: &Frame, path: &[Passage], beside: &Beside) -> Context {
    match settings.mode {
        Mode::Prose => prose(settings, frame, path, beside),
        Mode::Chat => chat(settings, frame, path, beside),
    }
}

/// What stands before the story, each with the part that it is.
fn opening(settings: &Settings, frame: &Frame, beside: &Beside) -> Vec<Part> {
    let voice = frame.voice.as_ref().map_or("", |voice| &voice.text);
    let mut parts = vec![
        (Kind::System, settings.system.as_str()),
        (Kind::Voice, voice),
    ];
    parts.extend(standing(beside, true));
    parts.push((Kind::Memory, &frame.memory));
    parts.extend(standing(beside, false));
    parts.push((Kind::Summary, beside.summary.unwrap_or_default()));
    let some = parts.into_iter().filter(|(_, text)| !text.is_empty());
    some.map(|(kind, text)| Part::plain(kind, text)).collect()
}

/// Lore that stands before the story: before or after the memory, by rising order.
fn standing<'a>(beside: &'a Beside, early: bool) -> impl Iterator<Item = (Kind, &'a str)> {
    let fires = beside.lore.iter().enumerate().filter(move |(_, fires)| {
        let before = matches!(
            fires.entry.position,
            Position::Before | Position::ExamplesTop
        );
        let after = matches!(
            fires.entry.position,
            Position::After | Position::ExamplesBottom
        );
        if early { before } else { after }
    });
    let mut fires: Vec<(usize, &Fires)> = fires.collect();
    fires.sort_by_key(|(_, fires)| fires.entry.order);
    fires
        .into_iter()
        .map(|(rank, fires)| (lore(rank, fires), fires.text()))
}

fn lore(rank: usize, fires: &Fires) -> Kind {
    Kind::Lore {
        title: base::untrusted::clean_line(fires.entry.title()),
        rank,
        budget: fires.book.token_budget,
    }
}

/// What is read near the story's end: the note with the lore around it, lore at a depth, and the
/// instruction for this passage.
fn inserts(frame: &Frame, beside: &Beside) -> Vec<Insert> {
    let mut inserts = Vec::new();
    let ranked = || beside.lore.iter().enumerate();
    let at = |position| ranked().filter(move |(_, fires)| fires.entry.position == position);
    let depth = frame.note.depth;
    let mut add = |kind: Kind, text: String, depth: usize, anchored: bool| {
        inserts.push(Insert {
            part: Part::plain(kind, text),
            depth,
            anchored,
        });
    };
    for (rank, fires) in at(Position::AtDepth) {
        let text = bracketed(fires.text());
        add(lore(rank, fires), text, fires.entry.depth, true);
    }
    for (rank, fires) in at(Position::NoteTop) {
        add(lore(rank, fires), bracketed(fires.text()), depth, true);
    }
    if !frame.note.text.is_empty() {
        let text = format!("[Author's note: {}]", frame.note.text);
        add(Kind::Note, text, depth, true);
    }
    for (rank, fires) in at(Position::NoteBottom) {
        add(lore(rank, fires), bracketed(fires.text()), depth, true);
    }
    if let Some(after) = beside.after.filter(|after| !after.trim().is_empty()) {
        let text = format!("[Later: {}]", after.trim());
        add(Kind::After, text, 1, false);
    }
    if let Some(instruct) = beside.instruct {
        add(Kind::Instruct, format!("[{instruct}]"), 1, false);
    }
    inserts
}

fn bracketed(content: &str) -> String {
    let content = content.trim();
    match content.starts_with('[') {
        true => content.to_string(),
        false => format!("[{content}]"),
    }
}

fn prose(settings: &Settings, frame: &Frame, path: &[Passage], beside: &Beside) -> Context {
    let mut parts = Vec::new();
    for part in opening(settings, frame, beside) {
        parts.push(part);
        parts.push(Part::plain(Kind::Gap, "\n\n"));
    }
    let mut words = Vec::new();
    let mut last: Option<&Passage> = None;
    for passage in path {
        if let Some(gap) = last.and_then(|before| gap(before, passage)) {
            words.push(Part::plain(Kind::Gap, gap));
        }
        words.push(Part::of(passage));
        if !passage.text.is_empty() {
            last = Some(passage);
        }
    }
    parts.extend(into_prose(words, inserts(frame, beside)));
    let after = beside.after.unwrap_or_default().to_string();
    Context::Prose { parts, after }
}

/// Chat turns stand apart when they are read as prose.
fn gap(before: &Passage, passage: &Passage) -> Option<&'static str> {
    let apart = (passage.turn || before.turn) && !before.text.ends_with('\n');
    (apart && before.author != passage.author).then_some("\n\n")
}

fn chat(settings: &Settings, frame: &Frame, path: &[Passage], beside: &Beside) -> Context {
    let mut messages: Vec<Message> = Vec::new();
    let mut system = Vec::new();
    for part in opening(settings, frame, beside) {
        if !system.is_empty() {
            system.push(Part::plain(Kind::Gap, "\n\n"));
        }
        system.push(part);
    }
    let role = |author| match author {
        Author::Model => Role::Assistant,
        Author::Prompt | Author::User => Role::User,
    };
    if !system.is_empty() {
        messages.push(Message {
            role: Role::System,
            parts: system,
        });
    }
    for passage in path.iter().filter(|passage| !passage.text.is_empty()) {
        let role = role(passage.author);
        match messages.last_mut() {
            Some(last) if last.role == role => last.parts.push(Part::of(passage)),
            _ => messages.push(Message {
                role,
                parts: vec![Part::of(passage)],
            }),
        }
    }
    into_messages(&mut messages, inserts(frame, beside));
    let open = messages
        .last()
        .is_some_and(|last| last.role == Role::Assistant);
    Context::Chat { messages, open }
}

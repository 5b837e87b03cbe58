//! Builds the context of a passage from its parts, in prose and in chat.

use super::insert::{Insert, insert_into_messages, insert_into_prose};
use super::{Author, Context, ContextPart, Message, PartKind, Passage, Role};
use crate::frame::Frame;
use crate::lore::{ActiveEntry, InsertPosition};
use crate::{Mode, Settings};

/// Parts of the context that apply only to one passage.
#[derive(Default)]
pub struct ContextExtras<'a> {
    /// The active lore entries, most important first.
    pub lore: Vec<ActiveEntry<'a>>,
    /// The one-off instruction for this passage.
    pub instruct: Option<&'a str>,
    /// The summary of those passages that no longer fit.
    pub summary: Option<&'a str>,
    /// The text that follows the place where the model writes.
    pub after: Option<&'a str>,
}

/// Builds the context of a passage that follows the passages of `path`.
pub fn build_context(
    settings: &Settings,
    frame: &Frame,
    path: &[Passage],
    beside: &ContextExtras,
) -> Context {
    match settings.mode {
        Mode::Prose => build_prose(settings, frame, path, beside),
        Mode::Chat => build_chat(settings, frame, path, beside),
    }
}

/// Returns the parts of the context that precede the story.
fn opening_parts(settings: &Settings, frame: &Frame, beside: &ContextExtras) -> Vec<ContextPart> {
    let voice = frame.voice.as_ref().map_or("", |voice| &voice.text);
    let mut parts = vec![
        (PartKind::System, settings.system.as_str()),
        (PartKind::Voice, voice),
    ];
    parts.extend(lore_before_story(beside, true));
    parts.push((PartKind::Memory, &frame.memory));
    parts.extend(lore_before_story(beside, false));
    parts.push((PartKind::Summary, beside.summary.unwrap_or_default()));
    let some = parts.into_iter().filter(|(_, text)| !text.is_empty());
    some.map(|(kind, text)| ContextPart::plain(kind, text))
        .collect()
}

/// Returns the lore that is placed before the story, in ascending `order`. If `early` is set, this
/// is the lore before the memory; otherwise, the lore after it.
fn lore_before_story<'a>(
    beside: &'a ContextExtras,
    early: bool,
) -> impl Iterator<Item = (PartKind, &'a str)> {
    let fires = beside.lore.iter().enumerate().filter(move |(_, fires)| {
        let before = matches!(
            fires.entry.position,
            InsertPosition::Before | InsertPosition::ExamplesTop
        );
        let after = matches!(
            fires.entry.position,
            InsertPosition::After | InsertPosition::ExamplesBottom
        );
        if early { before } else { after }
    });
    let mut fires: Vec<(usize, &ActiveEntry)> = fires.collect();
    fires.sort_by_key(|(_, fires)| fires.entry.order);
    fires
        .into_iter()
        .map(|(rank, fires)| (lore_kind(rank, fires), fires.text()))
}

fn lore_kind(rank: usize, fires: &ActiveEntry) -> PartKind {
    PartKind::Lore {
        title: base::untrusted::clean_line(fires.entry.title()),
        rank,
        budget: fires.book.token_budget,
    }
}

/// Returns the texts to insert near the story's end: the author's note with the lore around it,
/// lore at a depth, and the instruction for this passage.
fn collect_inserts(frame: &Frame, beside: &ContextExtras) -> Vec<Insert> {
    let mut inserts = Vec::new();
    let ranked = || beside.lore.iter().enumerate();
    let at = |position| ranked().filter(move |(_, fires)| fires.entry.position == position);
    let depth = frame.note.depth;
    let mut add = |kind: PartKind, text: String, depth: usize, anchored: bool| {
        inserts.push(Insert {
            part: ContextPart::plain(kind, text),
            depth,
            anchored,
        });
    };
    for (rank, fires) in at(InsertPosition::AtDepth) {
        let text = in_brackets(fires.text());
        add(lore_kind(rank, fires), text, fires.entry.depth, true);
    }
    for (rank, fires) in at(InsertPosition::NoteTop) {
        add(
            lore_kind(rank, fires),
            in_brackets(fires.text()),
            depth,
            true,
        );
    }
    if !frame.note.text.is_empty() {
        let text = format!("[Author's note: {}]", frame.note.text);
        add(PartKind::Note, text, depth, true);
    }
    for (rank, fires) in at(InsertPosition::NoteBottom) {
        add(
            lore_kind(rank, fires),
            in_brackets(fires.text()),
            depth,
            true,
        );
    }
    if let Some(after) = beside.after.filter(|after| !after.trim().is_empty()) {
        let text = format!("[Later: {}]", after.trim());
        add(PartKind::Following, text, 1, false);
    }
    if let Some(instruct) = beside.instruct {
        add(PartKind::Instruction, format!("[{instruct}]"), 1, false);
    }
    inserts
}

fn in_brackets(content: &str) -> String {
    let content = content.trim();
    match content.starts_with('[') {
        true => content.to_string(),
        false => format!("[{content}]"),
    }
}

fn build_prose(
    settings: &Settings,
    frame: &Frame,
    path: &[Passage],
    beside: &ContextExtras,
) -> Context {
    let mut parts = Vec::new();
    for part in opening_parts(settings, frame, beside) {
        parts.push(part);
        parts.push(ContextPart::plain(PartKind::Separator, "\n\n"));
    }
    let mut words = Vec::new();
    let mut last: Option<&Passage> = None;
    for passage in path {
        if let Some(gap) = last.and_then(|before| separator_between(before, passage)) {
            words.push(ContextPart::plain(PartKind::Separator, gap));
        }
        words.push(ContextPart::from_passage(passage));
        if !passage.text.is_empty() {
            last = Some(passage);
        }
    }
    parts.extend(insert_into_prose(words, collect_inserts(frame, beside)));
    let after = beside.after.unwrap_or_default().to_string();
    Context::Prose { parts, after }
}

/// The separator between two turns of a chat that is presented as prose; None if none is needed.
fn separator_between(before: &Passage, passage: &Passage) -> Option<&'static str> {
    let ended = before.text.ends_with('\n');
    (stand_apart(before, passage) && !ended).then_some("\n\n")
}

/// Whether two consecutive passages are separate messages of a chat.
pub fn stand_apart(before: &Passage, passage: &Passage) -> bool {
    let authors = before.author != passage.author && (passage.turn || before.turn);
    authors || passage.begins_message()
}

fn build_chat(
    settings: &Settings,
    frame: &Frame,
    path: &[Passage],
    beside: &ContextExtras,
) -> Context {
    let mut messages: Vec<Message> = Vec::new();
    let mut system = Vec::new();
    for part in opening_parts(settings, frame, beside) {
        if !system.is_empty() {
            system.push(ContextPart::plain(PartKind::Separator, "\n\n"));
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
    let mut before: Option<&Passage> = None;
    for passage in path.iter().filter(|passage| !passage.text.is_empty()) {
        let role = role(passage.author);
        let part = ContextPart::from_passage(passage);
        let line_end =
            before.is_some_and(|before| passage.begins_message() && !before.text.ends_with('\n'));
        match messages.last_mut() {
            Some(last) if last.role == role => {
                if line_end {
                    last.parts
                        .push(ContextPart::plain(PartKind::Separator, "\n"));
                }
                last.parts.push(part);
            }
            _ => messages.push(Message {
                role,
                parts: vec![part],
            }),
        }
        before = Some(passage);
    }
    insert_into_messages(&mut messages, collect_inserts(frame, beside));
    let open = messages
        .last()
        .is_some_and(|last| last.role == Role::Assistant);
    Context::Chat { messages, open }
}

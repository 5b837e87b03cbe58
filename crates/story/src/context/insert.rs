//! Inserts text into a story some paragraphs before its end, so that the KV cache stays valid as
//! long as possible.
//!
//! An anchored insert at depth `n` is at least `n` paragraphs (in chat, turns) before the end. The
//! number of paragraphs before the insert is a multiple of `n` (of 4 if `n` is smaller), so the
//! insert does not move until that many paragraphs have been added. Between moves, the tokens
//! before the insert stay cached.

use super::{ContextPart, Message, PartKind, Role};
use crate::sentence::{is_stop, is_unspaced_stop};

/// A text to insert near the end of the story.
pub(super) struct Insert {
    pub part: ContextPart,
    /// The minimum number of paragraphs (in chat, turns) that follow the inserted text.
    pub depth: usize,
    /// Whether the text may be placed further back than `depth`, so that its position rarely
    /// changes. Otherwise, the text moves with the story's end.
    pub anchored: bool,
}

/// Returns the index of the paragraph or turn before which to insert. `count` is the number of
/// paragraphs or turns.
fn place(count: usize, insert: &Insert) -> usize {
    let before = count.saturating_sub(insert.depth);
    if !insert.anchored {
        return before;
    }
    // A step of one would move the insert with each paragraph.
    let step = insert.depth.max(4);
    before / step * step
}

/// Inserts text between paragraphs; a paragraph starts after a line break.
pub(super) fn insert_into_prose(words: Vec<ContextPart>, inserts: Vec<Insert>) -> Vec<ContextPart> {
    if inserts.is_empty() {
        return words;
    }
    let starts = paragraphs(&words);
    let mut cuts: Vec<(usize, ContextPart)> = inserts
        .into_iter()
        .map(|insert| {
            let at = place(starts.len(), &insert);
            let end = words.iter().map(|part| part.text.len()).sum();
            (starts.get(at).copied().unwrap_or(end), insert.part)
        })
        .collect();
    cuts.sort_by_key(|(at, _)| *at);
    let mut cuts = cuts.into_iter().peekable();
    let (mut parts, mut at) = (Vec::new(), 0);
    for mut part in words {
        while let Some((cut, insert)) = cuts.next_if(|(cut, _)| *cut < at + part.text.len()) {
            if cut > at {
                let (before, after) = part.split(cut - at);
                parts.push(before);
                part = after;
                at = cut;
            }
            parts.push(insert);
            parts.push(ContextPart::plain(PartKind::Separator, "\n"));
        }
        at += part.text.len();
        parts.push(part);
    }
    for (_, insert) in cuts {
        let line_end = parts.last().is_none_or(|part| part.text.ends_with('\n'));
        if !line_end {
            parts.push(ContextPart::plain(PartKind::Separator, "\n"));
        }
        parts.push(insert);
        parts.push(ContextPart::plain(PartKind::Separator, "\n"));
    }
    parts
}

/// The length in bytes above which a paragraph is split at sentence ends and counts as several
/// paragraphs. Without this, an insert near the end of a story that is one long paragraph would
/// move to the beginning.
const LONG: usize = 400;

/// The byte offsets at which paragraphs start.
fn paragraphs(words: &[ContextPart]) -> Vec<usize> {
    let (mut starts, mut at, mut fresh) = (Vec::new(), 0, true);
    let mut before = ['\n'; 2];
    for part in words {
        for (offset, c) in part.text.char_indices() {
            let here = at + offset;
            let long = starts.last().is_some_and(|start| here - start >= LONG);
            let stop = |c: char| is_stop(c) || ".”\"»“」』".contains(c);
            let sentence = before[1] == ' ' && stop(before[0]);
            let unspaced = is_unspaced_stop(before[1]) && !"」』）".contains(c);
            if c == '\n' {
                fresh = true;
            } else if fresh || (long && (sentence || unspaced)) {
                starts.push(here);
                fresh = false;
            }
            before = [before[1], c];
        }
        at += part.text.len();
    }
    starts
}

/// Inserts each text at the beginning of one of the writer's turns. The text is not a message of
/// its own, since many templates allow a system message only at the start.
pub(super) fn insert_into_messages(messages: &mut Vec<Message>, inserts: Vec<Insert>) {
    for insert in inserts {
        let turns = messages.iter().filter(|m| m.role != Role::System).count();
        let system = messages.len() - turns;
        let at = system + place(turns, &insert);
        let host = (0..messages.len())
            .filter(|index| messages[*index].role == Role::User)
            .min_by_key(|index| (index.abs_diff(at), *index));
        match host {
            Some(host) => {
                let gap = ContextPart::plain(PartKind::Separator, "\n\n");
                messages[host].parts.splice(0..0, [insert.part, gap]);
            }
            None => messages.insert(
                system.min(messages.len()),
                Message {
                    role: Role::User,
                    parts: vec![insert.part],
                },
            ),
        }
    }
}

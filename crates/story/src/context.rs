//! The context of a passage: the preceding story, with the memory, lore and notes.
//!
//! This module handles only text and the tokens that the model generated; the engine counts tokens.
//! Generated tokens are sent back to the model unchanged, so that the KV cache stays valid.
//!
//! Parts that change from passage to passage (the author's note and lore at a depth) are anchored:
//! they move only occasionally while the story grows, so that the KV cache stays valid up to them.

mod build;
mod insert;

pub use build::{ContextExtras, build_context, stand_apart};
use insert::{Insert, insert_into_messages, insert_into_prose};

use super::node::{Author, NodeId, Passage};
use super::sentence::{are_unspaced, is_stop};
use super::tree::Story;
use base::hash::fnv1a;

/// All the text that the model reads before it generates a passage.
#[derive(Clone, Debug, PartialEq)]
pub enum Context {
    /// A single text for the model to continue.
    Prose {
        parts: Vec<ContextPart>,
        /// The text that follows the place where the model writes; empty if the model writes at the
        /// story's end.
        after: String,
    },
    /// The turns of a chat, for the chat template.
    Chat {
        messages: Vec<Message>,
        /// Whether the last message is unfinished and is to be continued.
        open: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub role: Role,
    pub parts: Vec<ContextPart>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    System,
    User,
    Assistant,
}

/// A piece of text in a context. If a model generated the text, the part also contains the tokens
/// and the model's SHA-256.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContextPart {
    pub kind: PartKind,
    pub text: String,
    pub model_sha256: String,
    /// Tokens that spell `text`, and possibly more text before and after it.
    pub ids: Vec<u32>,
    /// The number of bytes spelled by `ids` that are skipped, because they belong to text before
    /// this part.
    pub skip: usize,
    /// After the skipped bytes, `ids` spell this many bytes of the preceding text again, because of
    /// token healing.
    pub healed: usize,
}

/// The kind of a context part, which `/context` shows and which the token budget depends on.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum PartKind {
    /// Text that separates other parts.
    #[default]
    Separator,
    System,
    Voice,
    Memory,
    Summary,
    /// A lore entry. If the entries exceed the budget, those with the largest `rank`, the least
    /// important ones, are dropped first.
    Lore {
        title: String,
        rank: usize,
        budget: Option<usize>,
    },
    Note,
    Instruction,
    /// Text of an earlier passage that retrieval put back. The text starts at byte `from` of the
    /// passage.
    Retrieved {
        node: NodeId,
        from: usize,
    },
    /// Text of a passage of the story. The text starts at byte `from` of the passage.
    Story {
        node: NodeId,
        from: usize,
    },
    /// The text that follows the place where the model writes. Models without fill-in-the-middle
    /// tokens get this text as an instruction.
    Following,
    /// A line that the writer is still typing.
    TypedLine,
}

impl PartKind {
    /// The kind's name, for display.
    pub fn label(&self) -> String {
        match self {
            PartKind::Separator => "joint".to_string(),
            PartKind::System => "system".to_string(),
            PartKind::Voice => "voice".to_string(),
            PartKind::Memory => "memory".to_string(),
            PartKind::Summary => "summary".to_string(),
            PartKind::Lore { title, .. } => format!("lore: {title}"),
            PartKind::Note => "note".to_string(),
            PartKind::Instruction => "instruction".to_string(),
            PartKind::Retrieved { node, .. } => format!("retrieved #{node}"),
            PartKind::Story { node, .. } => format!("story #{node}"),
            PartKind::Following => "the text after".to_string(),
            PartKind::TypedLine => "your input".to_string(),
        }
    }
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

impl Message {
    pub fn text(&self) -> String {
        self.parts.iter().map(|part| part.text.as_str()).collect()
    }
}

impl ContextPart {
    pub fn plain(kind: PartKind, text: impl Into<String>) -> ContextPart {
        ContextPart {
            kind,
            text: text.into(),
            ..ContextPart::default()
        }
    }

    fn from_passage(passage: &Passage) -> ContextPart {
        let written = passage
            .provenance
            .as_ref()
            .filter(|_| !passage.ids.is_empty());
        ContextPart {
            kind: PartKind::Story {
                node: passage.id,
                from: 0,
            },
            text: passage.text.to_string(),
            model_sha256: written.map_or(String::new(), |how| how.maker.model_sha256.clone()),
            ids: passage.ids.clone(),
            skip: 0,
            healed: passage.healed,
        }
    }

    /// Splits the part into two at the byte offset `at` of its text.
    fn split(self, at: usize) -> (ContextPart, ContextPart) {
        let (before, after) = self.text.split_at(at);
        let kind = match &self.kind {
            PartKind::Story { node, from } => PartKind::Story {
                node: *node,
                from: from + at,
            },
            kind => kind.clone(),
        };
        let second = ContextPart {
            kind,
            text: after.to_string(),
            model_sha256: self.model_sha256.clone(),
            ids: self.ids.clone(),
            skip: self.skip + self.healed + at,
            healed: 0,
        };
        let first = ContextPart {
            text: before.to_string(),
            ..self
        };
        (first, second)
    }
}

impl Context {
    /// A context without text.
    pub fn empty() -> Context {
        Context::Prose {
            parts: Vec::new(),
            after: String::new(),
        }
    }

    /// Removes the story's text before byte `byte` of the passage `node`. This is used if the whole
    /// story does not fit.
    pub fn starting_at(mut self, node: NodeId, byte: usize) -> Context {
        let mut begun = false;
        let mut keep = |part: &mut ContextPart| -> bool {
            let PartKind::Story { node: own, from } = part.kind else {
                return true;
            };
            if !begun && own == node && (from..=from + part.text.len()).contains(&byte) {
                begun = true;
                part.text = part.text.get(byte - from..).unwrap_or_default().to_string();
                part.kind = PartKind::Story { node, from: byte };
                part.ids.clear();
            }
            begun
        };
        match &mut self {
            Context::Prose { parts, .. } => parts.retain_mut(&mut keep),
            Context::Chat { messages, .. } => {
                messages
                    .iter_mut()
                    .for_each(|message| message.parts.retain_mut(&mut keep));
                messages.retain(|message| !message.parts.is_empty());
            }
        }
        self
    }

    /// Begins a turn of the writer with the words that the writer has typed so far.
    pub fn begin_user_turn(&mut self, begun: &str) {
        let words = (!begun.is_empty()).then(|| ContextPart::plain(PartKind::TypedLine, begun));
        match self {
            Context::Prose { parts, .. } => parts.extend(words),
            Context::Chat { messages, open } => {
                messages.push(Message {
                    role: Role::User,
                    parts: words.into_iter().collect(),
                });
                *open = true;
            }
        }
    }

    /// Inserts retrieved passages a few paragraphs (in chat, a few turns) before the end.
    pub fn with_retrieved(mut self, found: Vec<ContextPart>) -> Context {
        const DEPTH: usize = 4;
        let insert = |part| Insert {
            part,
            depth: DEPTH,
            anchored: true,
        };
        let inserts = found.into_iter().map(insert).collect();
        match &mut self {
            Context::Prose { parts, .. } => {
                let story = |part: &ContextPart| matches!(part.kind, PartKind::Story { .. });
                let first = parts.iter().position(story).unwrap_or(parts.len());
                let words = parts.split_off(first);
                parts.extend(insert_into_prose(words, inserts));
            }
            Context::Chat { messages, .. } => insert_into_messages(messages, inserts),
        }
        self
    }

    /// The whole text of the context, for digests and for display.
    pub fn text(&self) -> String {
        match self {
            Context::Prose { parts, after } => {
                let words = parts.iter().map(|part| part.text.as_str());
                words.chain(std::iter::once(after.as_str())).collect()
            }
            Context::Chat { messages, .. } => messages
                .iter()
                .map(|message| format!("{}: {}\n", message.role.name(), message.text()))
                .collect(),
        }
    }

    /// The FNV-1a 64 hash of [`Context::text`] in hexadecimal, which identifies the context in
    /// provenance.
    pub fn digest(&self) -> String {
        format!("{:016x}", fnv1a(&self.text()))
    }
}

/// The maximum number of tokens in the prompt, if the model's context holds `holds` tokens. Room is
/// reserved for the `wanted` new tokens, up to a quarter of the context.
pub fn prompt_budget(holds: usize, wanted: usize) -> usize {
    holds - wanted.clamp(1, (holds / 4).max(1))
}

/// The separator that is put between the story and a line typed after it, so that words do not run
/// together.
///
/// The separator is one space. It is empty if the story is empty or ends in white space, or if the
/// line starts with white space or with punctuation that belongs to the preceding word. Chinese and
/// Japanese take no space.
pub fn separator_before(story: &Story, line: &str) -> &'static str {
    let path = story.path();
    let before = path.iter().rev().find(|passage| !passage.text.is_empty());
    let spaced =
        before.is_none_or(|passage| passage.turn || passage.text.ends_with(char::is_whitespace));
    let clings = |c: char| c.is_whitespace() || is_stop(c) || ".,;:)]}’”'»、，；：،؛".contains(c);
    let last = before.and_then(|passage| passage.text.chars().next_back());
    let unspaced = last
        .zip(line.chars().next())
        .is_some_and(|(before, after)| are_unspaced(before, after));
    if spaced || unspaced || line.starts_with(clings) {
        ""
    } else {
        " "
    }
}

#[cfg(test)]
mod tests;

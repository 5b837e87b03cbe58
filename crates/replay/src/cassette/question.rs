//! A request as a cassette stores it, with everything that the answer depends on. The ids of
//! passages and the names of sessions are left out, because the answer does not depend on them.

use base::hash::sha256;
use sampler::Ban;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use story::Context;
use story::context::{ContextPart, PartKind};
use story::message::{LengthGoal, Overflow, TextRequest};
use story::sampling::SETTINGS;

/// The kind of a request: what the engine is asked to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Passage,
    /// Several passages that continue the same context.
    Candidates,
    Alternatives,
    /// A list of the parts of the context.
    Explain,
    /// The number of tokens of a text.
    Count,
    /// The place where the story in the prompt starts.
    Start,
    /// The perplexity of a text.
    Perplexity,
}

impl Kind {
    /// Returns the kind as a phrase for use in a sentence, for example "a passage".
    pub fn name(self) -> &'static str {
        match self {
            Kind::Passage => "a passage",
            Kind::Candidates => "several passages",
            Kind::Alternatives => "the alternatives of a word",
            Kind::Explain => "the parts of the context",
            Kind::Count => "a number of tokens",
            Kind::Start => "the start of the context",
            Kind::Perplexity => "the perplexity of a text",
        }
    }
}

/// A request to a text engine, as a cassette stores it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    pub kind: Kind,
    /// The SHA-256 of the model.
    pub model: String,
    /// The requested passages. Only [`Kind::Candidates`] has more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<AskedPassage>,
    /// The text whose tokens are counted, or whose perplexity is measured.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The text that precedes `text` when the perplexity is measured.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub before: String,
}

/// A requested passage, with its context and settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AskedPassage {
    #[serde(skip_serializing_if = "is_false")]
    pub chat: bool,
    /// Whether the passage continues the last message of the chat.
    #[serde(skip_serializing_if = "is_false")]
    pub open: bool,
    pub context: Vec<AskedPart>,
    /// The text that follows the place where the passage is written; empty if the passage is
    /// written at the story's end.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub after: String,
    /// The samplers' settings and `max_tokens`, named as in `/set`. Settings that are off are left
    /// out.
    pub settings: BTreeMap<String, String>,
    pub seed: u64,
    pub goal: LengthGoal,
    /// Whether a context that is too long is an error.
    #[serde(skip_serializing_if = "is_false")]
    pub refuse_overflow: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub heal: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bans: Vec<Ban>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub begin: Vec<u32>,
}

/// A part of a requested passage's context.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AskedPart {
    /// The role of the chat message that starts with this part; None if no message starts with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    pub kind: String,
    pub text: String,
    /// The token ids of the text, if this model wrote the text; otherwise empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<u32>,
    #[serde(skip_serializing_if = "super::event::is_zero")]
    pub skip: usize,
    #[serde(skip_serializing_if = "super::event::is_zero")]
    pub healed: usize,
    /// The rank of a lore entry; entries with the largest rank are the least important.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// The maximum total length of all entries from the same lorebook, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<usize>,
}

/// Settings that are left out of `settings`, because the request stores them in separate fields or
/// has already applied them to its context.
const ELSEWHERE: [&str; 5] = [
    "seed",
    "banned_phrases",
    "whole_sentences",
    "heal",
    "retrieve",
];

impl Question {
    /// Creates a question from requests to a model. `model` is the model's SHA-256.
    pub fn new(kind: Kind, model: &str, requests: &[TextRequest]) -> Question {
        let asked = |request| AskedPassage::new(request, model);
        Question {
            kind,
            model: model.to_string(),
            requests: requests.iter().map(asked).collect(),
            text: String::new(),
            before: String::new(),
        }
    }

    /// Creates a question that asks for the number of tokens in `text`.
    pub fn count(model: &str, text: &str) -> Question {
        Question {
            text: text.to_string(),
            ..Question::new(Kind::Count, model, &[])
        }
    }

    /// Creates a question that asks for the perplexity of `text` when it follows `before`.
    pub fn perplexity(model: &str, before: &str, text: &str) -> Question {
        Question {
            text: text.to_string(),
            before: before.to_string(),
            ..Question::new(Kind::Perplexity, model, &[])
        }
    }

    /// Returns the digest by which the recorded answer to the question is looked up.
    pub fn key(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let mut digest = sha256(&json);
        digest.truncate(32);
        digest
    }

    /// Returns the question without the model's checksum and token ids, so that it is the same for
    /// every model.
    pub fn to_any_model(&self) -> Question {
        let mut question = self.clone();
        question.model.clear();
        let parts = question.requests.iter_mut().flat_map(|it| &mut it.context);
        for part in parts {
            part.ids.clear();
            (part.skip, part.healed) = (0, 0);
        }
        question
    }

    /// Returns the text that the model reads. This is the context of the first requested passage
    /// or, if no passage is requested, the text to be counted or measured.
    pub fn prompt(&self) -> String {
        match self.requests.first() {
            Some(first) => first.prompt(),
            None => format!("{}{}", self.before, self.text),
        }
    }
}

impl AskedPassage {
    fn new(request: &TextRequest, model: &str) -> AskedPassage {
        // Every field is named, so that a new one cannot be forgotten here.
        let TextRequest {
            node: _,
            context,
            sampling,
            seed,
            overflow,
            goal,
            bans,
            heal,
            begin,
            // Retrieval has changed the context already.
            retrieval: _,
        } = request;
        let (parts, after) = match context {
            Context::Prose { parts, after } => {
                let parts = parts.iter().map(|part| AskedPart::new(part, model));
                (parts.collect(), after.clone())
            }
            Context::Chat { messages, .. } => {
                let mut all = Vec::new();
                for message in messages {
                    let parts = message.parts.iter().map(|part| AskedPart::new(part, model));
                    let mut parts: Vec<AskedPart> = parts.collect();
                    if parts.is_empty() {
                        parts.push(AskedPart::default());
                    }
                    parts[0].role = Some(message.role.name().to_string());
                    all.extend(parts);
                }
                (all, String::new())
            }
        };
        let mut settings = BTreeMap::new();
        for row in SETTINGS {
            let value = row.get(sampling);
            let mut off = sampling.clone();
            let is_off = row.off.is_some() && row.set(&mut off, "off").is_ok();
            // A setting that is off changes nothing, so a new one does not change old keys.
            let changes_nothing = is_off && row.get(&off) == value;
            if !changes_nothing && !ELSEWHERE.contains(&row.name) {
                settings.insert(row.name.to_string(), value);
            }
        }
        AskedPassage {
            chat: matches!(context, Context::Chat { .. }),
            open: matches!(context, Context::Chat { open: true, .. }),
            context: parts,
            after,
            settings,
            seed: *seed,
            goal: goal.clone(),
            refuse_overflow: *overflow == Overflow::Refuse,
            heal: *heal,
            bans: bans.clone(),
            begin: begin.clone(),
        }
    }

    /// Returns the context as one text, in which each message begins with its role.
    pub fn prompt(&self) -> String {
        let mut text = String::new();
        for part in &self.context {
            if let Some(role) = &part.role {
                let gap = if text.is_empty() { "" } else { "\n" };
                text += &format!("{gap}{role}: ");
            }
            text += &part.text;
        }
        text
    }
}

impl AskedPart {
    fn new(part: &ContextPart, model: &str) -> AskedPart {
        let kind = match &part.kind {
            PartKind::Story { .. } => "story".to_string(),
            PartKind::Retrieved { .. } => "retrieved".to_string(),
            PartKind::Separator
            | PartKind::System
            | PartKind::Voice
            | PartKind::Memory
            | PartKind::Summary
            | PartKind::Lore { .. }
            | PartKind::Note
            | PartKind::Instruction
            | PartKind::Following
            | PartKind::TypedLine => part.kind.label(),
        };
        let (rank, budget) = match part.kind {
            PartKind::Lore { rank, budget, .. } => (Some(rank), budget),
            _ => (None, None),
        };
        // Tokens of another model are not read.
        let own = part.model_sha256 == model && !part.ids.is_empty();
        AskedPart {
            role: None,
            kind,
            text: part.text.clone(),
            ids: if own { part.ids.clone() } else { Vec::new() },
            skip: if own { part.skip } else { 0 },
            healed: if own { part.healed } else { 0 },
            rank,
            budget,
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

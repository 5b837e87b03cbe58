//! A request as a cassette stores it: everything that the answer depends on. The numbers of
//! passages and the names of sessions are not part of it.

use base::hash::sha256;
use sampler::Ban;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use story::Context;
use story::context::{ContextPart, PartKind};
use story::message::{LengthGoal, Overflow, TextRequest};
use story::sampling::SETTINGS;

/// What is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Passage,
    /// Several passages from one context.
    Candidates,
    Alternatives,
    /// The context, part by part.
    Explain,
    /// The number of tokens of a text.
    Count,
    /// Where the story starts in the prompt.
    Start,
    /// The perplexity of a text.
    Perplexity,
}

impl Kind {
    /// The kind in a sentence.
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

/// A request to an engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    pub kind: Kind,
    /// The SHA-256 of the model.
    pub model: String,
    /// The requested passages; one except for [`Kind::Candidates`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<AskedPassage>,
    /// The text whose tokens are counted, or whose perplexity is measured.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The text before the one whose perplexity is measured.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub before: String,
}

/// A requested passage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AskedPassage {
    #[serde(skip_serializing_if = "is_false")]
    pub chat: bool,
    /// Whether the last message is to be continued.
    #[serde(skip_serializing_if = "is_false")]
    pub open: bool,
    pub context: Vec<AskedPart>,
    /// The text after the passage.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub after: String,
    /// The samplers' settings and `max_tokens`, as in `/set`, except those that are off.
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

/// A part of the context.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AskedPart {
    /// The role of the message that starts with this part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    pub kind: String,
    pub text: String,
    /// The tokens of the text, if this model wrote it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<u32>,
    #[serde(skip_serializing_if = "super::event::is_zero")]
    pub skip: usize,
    #[serde(skip_serializing_if = "super::event::is_zero")]
    pub healed: usize,
    /// The rank and the budget of lore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<usize>,
}

/// Settings of which the request has its own fields, or that have taken effect in its context.
const ELSEWHERE: [&str; 5] = [
    "seed",
    "banned_phrases",
    "whole_sentences",
    "heal",
    "retrieve",
];

impl Question {
    /// The question that these requests ask the model with this checksum.
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

    /// How many tokens a text has.
    pub fn count(model: &str, text: &str) -> Question {
        Question {
            text: text.to_string(),
            ..Question::new(Kind::Count, model, &[])
        }
    }

    /// The perplexity of a text after another one.
    pub fn perplexity(model: &str, before: &str, text: &str) -> Question {
        Question {
            text: text.to_string(),
            before: before.to_string(),
            ..Question::new(Kind::Perplexity, model, &[])
        }
    }

    /// The digest by which the question is found again.
    pub fn key(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let mut digest = sha256(&json);
        digest.truncate(32);
        digest
    }

    /// The same question to any model, which may split the text into other tokens.
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

    /// The text that the model reads for the first passage.
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

    /// The text that the model reads.
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

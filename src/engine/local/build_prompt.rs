//! Builds the prompt: encodes the context of a passage as tokens, and drops text that does not fit
//! the model's context.

use super::encode::{Encoded, encode_chat, encode_prose};
use super::heal::heal;
use super::loaded::Loaded;
use super::prompt::{Prompt, PromptError};
use crate::engine::length;
use base::untrusted::clean_line;
use llm::ModelError;
use story::context::{ContextPart, Message, PartKind, Role, prompt_budget};
use story::message::{Overflow, TextRequest, Truncation};
use story::{Context, NodeId};

/// Returns the prompt of a request. The last prompt is cached, because a prefetched prompt is
/// usually requested again.
pub fn prompt(loaded: &mut Loaded, request: &TextRequest) -> Result<Prompt, PromptError> {
    let same = |last: &(TextRequest, Prompt)| {
        let (asked, _) = last;
        asked.context == request.context
            && asked.sampling.max_tokens == request.sampling.max_tokens
            && (asked.overflow, asked.heal) == (request.overflow, request.heal)
    };
    if let Some((_, prompt)) = loaded.prompted.as_deref().filter(|last| same(last)) {
        return Ok(prompt.clone());
    }
    let prompt = build(loaded, request)?;
    loaded.prompted = Some(Box::new((request.clone(), prompt.clone())));
    Ok(prompt)
}

/// Builds the prompt. If the prompt has to be cropped, room is left for the new tokens, up to a
/// quarter of the model's context.
pub fn build(loaded: &Loaded, request: &TextRequest) -> Result<Prompt, PromptError> {
    let wanted = request.sampling.max_tokens as usize;
    let (context, lore) = within_budget(loaded, &request.context)?;
    let mut prompt = match &context {
        Context::Prose { parts, after } => {
            let encoded = encode_prose(loaded, parts)?;
            let mut prompt = fit(loaded, parts, encoded, wanted, request.overflow)?;
            let own = parts.last().is_some_and(|part| !part.ids.is_empty());
            match loaded.tokenizer.fill_in_middle() {
                Some(fill) if !after.is_empty() => {
                    let after = loaded.tokenizer.encode(after)?;
                    prompt.ids.insert(0, fill.prefix);
                    prompt.ids.push(fill.suffix);
                    prompt.ids.extend(after);
                    prompt.ids.push(fill.middle);
                }
                _ if request.heal && !own => prompt.healing = heal(&loaded.tokenizer, &prompt.ids),
                _ => {}
            }
            prompt
        }
        Context::Chat { messages, open } => {
            let ids = encode_chat(loaded, messages, *open)?;
            fit_chat(loaded, messages, *open, ids, wanted, request.overflow)?
        }
    };
    prompt.cut.lore = lore;
    Ok(prompt)
}

fn fit(
    loaded: &Loaded,
    parts: &[ContextPart],
    whole: Encoded,
    wanted: usize,
    overflow: Overflow,
) -> Result<Prompt, PromptError> {
    let holds = loaded.model.context();
    let tokens = whole.ids.len();
    let room = match overflow {
        Overflow::Refuse if tokens < holds => tokens,
        Overflow::Refuse => {
            return Err(PromptError::Overflow {
                tokens,
                context: holds,
            });
        }
        Overflow::Crop => prompt_budget(loaded.model.context(), wanted),
    };
    match tokens <= room {
        true => Ok(Prompt {
            ids: whole.ids,
            ..Prompt::default()
        }),
        false => crop(parts, whole, room, holds),
    }
}

/// Drops the oldest tokens of the story. The number of dropped tokens is a multiple of an eighth of
/// the context, so that the remaining prompt begins at the same token for many turns and the KV
/// cache stays valid. Memory, lore and notes are not dropped.
fn crop(
    parts: &[ContextPart],
    whole: Encoded,
    room: usize,
    holds: usize,
) -> Result<Prompt, PromptError> {
    let step = (holds / 8).max(1);
    let is_story = |part: usize| {
        let kind = parts.get(part).map(|part| &part.kind);
        matches!(kind, Some(PartKind::Story { .. }))
    };
    let story = whole
        .places
        .iter()
        .filter(|(part, _)| is_story(*part))
        .count();
    let tokens = whole.ids.len();
    let over = tokens - room;
    if story <= over {
        return Err(PromptError::Beside {
            tokens,
            context: holds,
        });
    }
    let dropped = over.next_multiple_of(step).min(story - 1);
    let (mut left, mut ids, mut begins) = (dropped, Vec::with_capacity(tokens - dropped), None);
    for (id, (part, at)) in whole.ids.iter().zip(&whole.places) {
        if is_story(*part) {
            if left > 0 {
                left -= 1;
                continue;
            }
            begins = begins.or_else(|| story_place(&parts[*part], *at));
        }
        ids.push(*id);
    }
    let cut = Truncation {
        dropped,
        begins,
        lore: Vec::new(),
    };
    Ok(Prompt {
        ids,
        cut,
        ..Prompt::default()
    })
}

fn story_place(part: &ContextPart, at: usize) -> Option<(NodeId, usize)> {
    match part.kind {
        PartKind::Story { node, from } => Some((node, from + at)),
        _ => None,
    }
}

/// Drops whole messages, the oldest first. System messages at the start are not dropped.
fn fit_chat(
    loaded: &Loaded,
    messages: &[Message],
    open: bool,
    whole: Vec<u32>,
    wanted: usize,
    overflow: Overflow,
) -> Result<Prompt, PromptError> {
    let (tokens, context) = (whole.len(), loaded.model.context());
    let room = match overflow {
        Overflow::Refuse if tokens < context => tokens,
        Overflow::Refuse => return Err(PromptError::Overflow { tokens, context }),
        Overflow::Crop => prompt_budget(loaded.model.context(), wanted),
    };
    if tokens <= room {
        return Ok(Prompt {
            ids: whole,
            ..Prompt::default()
        });
    }
    let system = |message: &&Message| message.role == Role::System;
    let pinned = messages.iter().take_while(system).count();
    for first in pinned + 1..messages.len() {
        // A conversation must begin with the user.
        if messages[first].role == Role::Assistant && first + 1 < messages.len() {
            continue;
        }
        let kept = [&messages[..pinned], &messages[first..]].concat();
        let ids = encode_chat(loaded, &kept, open)?;
        if ids.len() <= room {
            let dropped = tokens - ids.len();
            let begins = messages[first]
                .parts
                .iter()
                .find_map(|part| story_place(part, 0));
            let cut = Truncation {
                dropped,
                begins,
                lore: Vec::new(),
            };
            return Ok(Prompt {
                ids,
                cut,
                ..Prompt::default()
            });
        }
    }
    Err(PromptError::Message { tokens, context })
}

/// Drops the lore that exceeds the budget. If the model can fill in the middle of a text, also
/// drops the instruction that quotes the text after the passage. Returns the new context and the
/// titles of the dropped lore.
pub fn within_budget(
    loaded: &Loaded,
    context: &Context,
) -> Result<(Context, Vec<String>), ModelError> {
    let fills = loaded.tokenizer.fill_in_middle().is_some();
    let count = |text: &str| Ok(loaded.tokenizer.encode(text)?.len());
    length::within_budget(context, loaded.model.context(), fills, count)
}

/// Counts the tokens of each part of a context, for display.
pub fn segments(
    loaded: &Loaded,
    context: &Context,
) -> Result<Vec<story::message::Segment>, ModelError> {
    use story::message::Segment;
    let segment = |label: String, text: &str, tokens| Segment {
        label,
        text: text.to_string(),
        tokens,
    };
    match context {
        Context::Prose { parts, .. } => {
            let places = encode_prose(loaded, parts)?.places;
            let count = |index| places.iter().filter(|(part, _)| *part == index).count();
            let parts = parts.iter().enumerate();
            Ok(parts
                .map(|(index, part)| segment(part.kind.label(), &part.text, count(index)))
                .collect())
        }
        Context::Chat { messages, open } => {
            let mut found = Vec::new();
            let mut before = 0;
            for end in 1..=messages.len() {
                let open = *open && end == messages.len();
                // Templates may reject a truncated conversation; its tokens are then counted later.
                let tokens = encode_chat(loaded, &messages[..end], open);
                let tokens = tokens.map_or(before, |ids| ids.len());
                let message = &messages[end - 1];
                let parts = message.parts.iter();
                let parts = parts.filter(|part| part.kind != PartKind::Separator);
                let kinds: Vec<String> = parts.map(|part| part.kind.label()).collect();
                let label = clean_line(&format!("{}: {}", message.role.name(), kinds.join(", ")));
                // The template's own marks are not shown, but they separate messages.
                let line_end = if end < messages.len() { "\n" } else { "" };
                found.push(segment(
                    label,
                    &format!("{}{line_end}", message.text()),
                    tokens.saturating_sub(before),
                ));
                before = tokens;
            }
            Ok(found)
        }
    }
}

//! From a context's words to the tokens that the model reads, within what it can hold.

use super::load::Loaded;
use crate::model::ModelError;
use crate::model::tokenizer::Decoder;
use crate::story::Context;
use crate::story::context::{Message, Part, Role};
use crate::story::message::Overflow;
use crate::story::untrusted::clean;

/// The tokens of a prompt, and how many of the oldest were left out to make it fit.
#[derive(Debug, PartialEq)]
pub struct Prompt {
    pub ids: Vec<u32>,
    pub dropped: usize,
}

/// Why there is no prompt.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(
        "The prompt has {tokens} tokens and the model holds {context}; shorten it, or let the oldest part be left out with --crop"
    )]
    Overflow { tokens: usize, context: usize },
    #[error(
        "The last message has {tokens} tokens and the model holds {context}; shorten it, or use a model with a longer context"
    )]
    Message { tokens: usize, context: usize },
}

/// Builds the prompt, leaving room for `wanted` new tokens where that is not asking too much.
pub fn prompt(
    loaded: &Loaded,
    context: &Context,
    wanted: usize,
    overflow: Overflow,
) -> Result<Prompt, PromptError> {
    let holds = loaded.model.context();
    let whole = encode(loaded, context)?;
    if overflow == Overflow::Refuse {
        let (tokens, context) = (whole.len(), holds);
        return match tokens < holds {
            true => Ok(Prompt {
                ids: whole,
                dropped: 0,
            }),
            false => Err(PromptError::Overflow { tokens, context }),
        };
    }
    let room = holds - wanted.clamp(1, (holds / 4).max(1));
    if whole.len() <= room {
        return Ok(Prompt {
            ids: whole,
            dropped: 0,
        });
    }
    match context {
        Context::Prose(_) => Ok(crop(loaded, whole, room, holds)),
        Context::Chat { messages, open } => drop_messages(loaded, messages, *open, room),
    }
}

/// Leaves out the oldest tokens, in steps of an eighth of the context: the cut then stays where
/// it is for many turns, and the KV cache with it.
fn crop(loaded: &Loaded, mut ids: Vec<u32>, room: usize, holds: usize) -> Prompt {
    let step = (holds / 8).max(1);
    let kept_at_start = usize::from(loaded.tokenizer.opening().is_some());
    let over = ids.len() - room;
    let dropped = over
        .next_multiple_of(step)
        .min(ids.len() - kept_at_start - 1);
    ids.drain(kept_at_start..kept_at_start + dropped);
    Prompt { ids, dropped }
}

/// Leaves out whole messages, oldest first; the system message stays.
fn drop_messages(
    loaded: &Loaded,
    messages: &[Message],
    open: bool,
    room: usize,
) -> Result<Prompt, PromptError> {
    let pinned = messages
        .iter()
        .take_while(|message| message.role == Role::System)
        .count();
    let before = encode_chat(loaded, messages, open)?.len();
    for first in pinned + 1..messages.len() {
        // A conversation begins with the user.
        if messages[first].role == Role::Assistant && first + 1 < messages.len() {
            continue;
        }
        let kept = [&messages[..pinned], &messages[first..]].concat();
        let ids = encode_chat(loaded, &kept, open)?;
        if ids.len() <= room {
            let dropped = before - ids.len();
            return Ok(Prompt { ids, dropped });
        }
    }
    Err(PromptError::Message {
        tokens: before,
        context: loaded.model.context(),
    })
}

/// The tokens of a whole context, whether they fit or not.
pub fn encode(loaded: &Loaded, context: &Context) -> Result<Vec<u32>, ModelError> {
    match context {
        Context::Prose(parts) => encode_prose(loaded, parts),
        Context::Chat { messages, open } => encode_chat(loaded, messages, *open),
    }
}

/// Neighbouring words are encoded as one text, so that a join inside a word is no matter; what
/// this model wrote goes back as the tokens that it wrote.
fn encode_prose(loaded: &Loaded, parts: &[Part]) -> Result<Vec<u32>, ModelError> {
    let mut ids: Vec<u32> = loaded.tokenizer.opening().into_iter().collect();
    let mut words = String::new();
    for part in parts {
        if wrote(loaded, part) {
            ids.extend(loaded.tokenizer.encode(&words)?);
            words.clear();
            ids.extend(&part.ids);
        } else {
            words.push_str(&part.text);
        }
    }
    ids.extend(loaded.tokenizer.encode(&words)?);
    Ok(ids)
}

fn encode_chat(loaded: &Loaded, messages: &[Message], open: bool) -> Result<Vec<u32>, ModelError> {
    let template = loaded.template.as_ref().ok_or(ModelError::NoTemplate)?;
    let tokenizer = &loaded.tokenizer;
    let (closed, unfinished) = match messages.split_last() {
        Some((last, before)) if open => (before, Some(last)),
        _ => (messages, None),
    };
    let mut rendered = template.render(tokenizer, closed)?;
    let mut ids = Vec::new();
    for message in closed
        .iter()
        .filter(|message| message.role == Role::Assistant)
    {
        // Where the template kept the model's own words as they were, its tokens are kept too.
        let words = tokenizer.guard(&message.text());
        let all_wrote = message.parts.iter().all(|part| wrote(loaded, part));
        if let Some(at) = rendered
            .find(&words)
            .filter(|_| all_wrote && !words.is_empty())
        {
            ids.extend(tokenizer.encode_rendered(&rendered[..at])?);
            ids.extend(message.parts.iter().flat_map(|part| &part.ids));
            rendered.drain(..at + words.len());
        }
    }
    ids.extend(tokenizer.encode_rendered(&rendered)?);
    let opening = tokenizer
        .opening()
        .filter(|opening| ids.first() != Some(opening));
    ids.splice(0..0, opening);
    if let Some(message) = unfinished {
        for part in &message.parts {
            match wrote(loaded, part) {
                true => ids.extend(&part.ids),
                false => ids.extend(tokenizer.encode(&part.text)?),
            }
        }
    }
    Ok(ids)
}

/// Whether a part's tokens are this model's and say exactly its text.
fn wrote(loaded: &Loaded, part: &Part) -> bool {
    if part.ids.is_empty() || part.model_sha256 != loaded.about.sha256 {
        return false;
    }
    let mut decoder = Decoder::default();
    let mut rest = part.text.as_str();
    for id in &part.ids {
        let piece = decoder.push(loaded.tokenizer.bytes(*id));
        match rest.strip_prefix(clean(&piece).as_ref()) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.is_empty() && !decoder.is_mid_character()
}

//! Turns a context into a prompt that fits: plain text, or messages for a chat template.

use super::{Prompt, TextSource, Turn};
use crate::engine::backend::Failure;
use crate::engine::length::within_budget;
use story::context::{ContextPart, Message, PartKind, Role, prompt_budget};
use story::message::{FailureKind, Overflow, TextRequest, Truncation};
use story::{Context, NodeId};

/// The instruction for a model that can only chat, asking it to continue the story.
const CONTINUE: &str = "You continue stories. The user gives you the story so far; write what comes next, in the same language, voice and tense. Answer only with the continuation: no title, no comment, and nothing of what is already there.";
const GO_ON: &str =
    "(Continue your last message from exactly where it stopped. Answer only with what follows.)";
/// The estimated overhead of one chat message, in tokens.
const MESSAGE: usize = 8;

/// A prompt that fits the context, and what was left out of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    pub prompt: Prompt,
    pub tokens: usize,
    pub cut: Truncation,
    /// The text to remove from the start of the answer if the model repeats it there.
    pub echo: String,
    /// Whether the text before the passage ends in a space that the prompt omits. If so, a leading
    /// space in the answer is dropped.
    pub space_is_there: bool,
    /// Whether the answer is a separate message. A space may then be missing between the story and
    /// the answer.
    pub joins: bool,
    /// Whether the last turn contains the story and a system message asks the model to continue it.
    pub instructs: bool,
}

impl Fitted {
    /// Returns the prompt extended by `said`, the passage so far. `prefills` says whether the
    /// source can continue an unfinished message.
    pub(super) fn after(&self, said: &str, prefills: bool) -> Fitted {
        let spaced = said.ends_with(char::is_whitespace);
        let mut after = Fitted {
            echo: String::new(),
            space_is_there: spaced,
            joins: !spaced,
            ..self.clone()
        };
        match &mut after.prompt {
            Prompt::Text(text) => text.push_str(said),
            Prompt::Turns { turns, open } => match turns.last_mut() {
                Some(last) if *open => last.text.push_str(said),
                Some(last) if self.instructs => {
                    let gap = if self.space_is_there { " " } else { "" };
                    last.text = [last.text.as_str(), gap, said.trim_end()].concat();
                }
                _ => {
                    let turn = |role, text: &str| Turn {
                        role,
                        text: text.to_string(),
                    };
                    turns.push(turn("assistant", said));
                    *open = prefills;
                    if !prefills {
                        turns.push(turn("user", GO_ON));
                        after.echo = said.to_string();
                    }
                }
            },
        }
        after
    }

    /// The text that the new passage follows: the whole prompt if it is plain text, otherwise its
    /// last message.
    pub(super) fn before(&self) -> &str {
        match &self.prompt {
            Prompt::Text(text) => text,
            Prompt::Turns { turns, .. } => turns.last().map_or("", |turn| turn.text.as_str()),
        }
    }
}

pub(super) fn count<S: TextSource>(source: &S, text: &str) -> Result<usize, Failure> {
    source.count(text).map_err(Into::into)
}

/// Builds the prompt of a passage. Drops old text if necessary, to leave room for the new tokens.
pub fn build<S: TextSource>(source: &S, request: &TextRequest) -> Result<Fitted, Failure> {
    let holds = source.context();
    // Text after the passage goes into an instruction: a model's fill-in-the-middle tokens are
    // not known here.
    let (context, lore) =
        within_budget(&request.context, holds, false, |text| count(source, text))?;
    let wanted = request.sampling.max_tokens as usize;
    let mut fitted = match context {
        Context::Prose { .. } => prose(source, context, wanted, request)?,
        Context::Chat { messages, open } => chat(source, messages, open, wanted, request)?,
    };
    fitted.cut.lore = lore;
    Ok(fitted)
}

fn overflow<S: TextSource>(source: &S, tokens: usize, what: &str) -> Failure {
    let (model, longer, context) = (S::MODEL, S::LONGER_CONTEXT, source.context());
    let why = format!(
        "{what} {tokens} tokens but the context of {model} is {context}; shorten it, or {longer}"
    );
    Failure::new(why, FailureKind::Overflow)
}

fn prose<S: TextSource>(
    source: &S,
    context: Context,
    wanted: usize,
    request: &TextRequest,
) -> Result<Fitted, Failure> {
    let (context, tokens, cut) = fit_prose(source, context, wanted, request.overflow)?;
    let text = context.text();
    // A final space in a prompt is a token that models rarely see: it belongs to the next word.
    let bare = text.trim_end_matches(' ');
    let heal = request.heal && bare.len() < text.len() && !bare.is_empty();
    let (prompt, joins) = match source.completes() {
        true if heal => (Prompt::Text(bare.to_string()), false),
        true => (Prompt::Text(text.clone()), false),
        false => {
            let turn = |role, text: &str| Turn {
                role,
                text: text.to_string(),
            };
            let turns = vec![turn("system", CONTINUE), turn("user", text.trim_end())];
            let open = false;
            (Prompt::Turns { turns, open }, true)
        }
    };
    Ok(Fitted {
        prompt,
        tokens,
        cut,
        echo: String::new(),
        space_is_there: heal || (joins && text.ends_with(char::is_whitespace)),
        joins: joins && !text.ends_with(char::is_whitespace),
        instructs: joins,
    })
}

/// Drops the oldest part of the story if the context is too long, in steps of about an eighth of
/// the context size. The shortened story keeps its starting place as long as it fits, so that a
/// cache of the prompt stays valid.
fn fit_prose<S: TextSource>(
    source: &S,
    context: Context,
    wanted: usize,
    overflows: Overflow,
) -> Result<(Context, usize, Truncation), Failure> {
    let holds = source.context();
    let whole = context.text();
    let tokens = count(source, &whole)?;
    let room = match overflows {
        Overflow::Refuse if tokens < holds => tokens,
        Overflow::Refuse => {
            return Err(overflow(source, tokens, "The prompt has"));
        }
        Overflow::Crop => prompt_budget(holds, wanted),
    };
    if tokens <= room {
        return Ok((context, tokens, Truncation::default()));
    }
    let step = (holds / 8).max(1);
    let cut = |node: NodeId, byte: usize| -> Result<(Context, usize), Failure> {
        let context = context.clone().starting_at(node, byte);
        let left = count(source, &context.text())?;
        Ok((context, left))
    };
    let done = |context, left: usize, begins| {
        let dropped = tokens.saturating_sub(left);
        let lore = Vec::new();
        Ok((
            context,
            left,
            Truncation {
                dropped,
                begins,
                lore,
            },
        ))
    };
    let before = source.memory().begins.get();
    if let Some((node, byte)) = before {
        let (context, left) = cut(node, byte)?;
        if left <= room && left + 2 * step > room {
            return done(context, left, before);
        }
    }
    let mut drop = (tokens - room).next_multiple_of(step);
    for _ in 0..6 {
        let bytes = drop * whole.len() / tokens.max(1);
        let Some((node, byte)) = place(&context, bytes) else {
            break;
        };
        let (context, left) = cut(node, byte)?;
        if left <= room {
            return done(context, left, Some((node, byte)));
        }
        drop += (left - room).next_multiple_of(step);
    }
    Err(overflow(
        source,
        tokens,
        "Even without most of the story, the prompt is too long because of memory, lore and notes: it has",
    ))
}

/// Finds the first white space after about `bytes` bytes of the story, as a place at which the
/// shortened story can start. Returns the passage and the byte offset in the passage; None if the
/// story is shorter.
fn place(context: &Context, bytes: usize) -> Option<(NodeId, usize)> {
    let Context::Prose { parts, .. } = context else {
        return None;
    };
    let mut left = bytes;
    for part in parts {
        let PartKind::Story { node, from } = part.kind else {
            continue;
        };
        if left < part.text.len() {
            let mut at = left;
            while !part.text.is_char_boundary(at) {
                at += 1;
            }
            let word = part.text[at..].find(char::is_whitespace);
            let at = word.map_or(at, |word| at + word);
            return Some((node, from + at));
        }
        left -= part.text.len();
    }
    None
}

fn chat<S: TextSource>(
    source: &S,
    messages: Vec<Message>,
    open: bool,
    wanted: usize,
    request: &TextRequest,
) -> Result<Fitted, Failure> {
    let holds = source.context();
    let costs = messages
        .iter()
        .map(|it| Ok(count(source, &it.text())? + MESSAGE));
    let costs = costs.collect::<Result<Vec<usize>, Failure>>()?;
    let tokens: usize = costs.iter().sum();
    let room = match request.overflow {
        Overflow::Refuse if tokens < holds => tokens,
        Overflow::Refuse => return Err(overflow(source, tokens, "The prompt has")),
        Overflow::Crop => prompt_budget(holds, wanted),
    };
    let system = |message: &&Message| message.role == Role::System;
    let pinned = messages.iter().take_while(system).count();
    let (mut first, mut left) = (pinned, tokens);
    while left > room && first < messages.len() {
        left -= costs[first];
        first += 1;
        // A conversation begins with the user.
        while first + 1 < messages.len() && messages[first].role == Role::Assistant {
            left -= costs[first];
            first += 1;
        }
    }
    if first >= messages.len() && tokens > room {
        return Err(overflow(
            source,
            tokens,
            "The last message is too long: the prompt has",
        ));
    }
    let story = |part: &ContextPart| match part.kind {
        PartKind::Story { node, from } => Some((node, from)),
        _ => None,
    };
    let begins = messages.get(first).filter(|_| first > pinned);
    let cut = Truncation {
        dropped: tokens - left,
        begins: begins.and_then(|message| message.parts.iter().find_map(story)),
        lore: Vec::new(),
    };
    let kept: Vec<&Message> = messages[..pinned]
        .iter()
        .chain(&messages[first..])
        .collect();
    let (prompt, echo) = turns(source, &kept, open);
    // An answer to an instruction continues the unfinished message as another one.
    let instructed = open && matches!(prompt, Prompt::Turns { open: false, .. });
    let unfinished = kept.last().map(|message| message.text());
    let spaced = unfinished.is_some_and(|text| text.ends_with(char::is_whitespace));
    Ok(Fitted {
        prompt,
        tokens: left,
        cut,
        space_is_there: instructed && spaced,
        joins: instructed && !spaced,
        instructs: false,
        echo,
    })
}

/// Builds the turns of a conversation. Also returns the text to remove from the start of the answer
/// if the model repeats it there.
fn turns<S: TextSource>(source: &S, messages: &[&Message], open: bool) -> (Prompt, String) {
    let mut turns: Vec<Turn> = Vec::new();
    let mut add = |role: Role, text: String| match turns.last_mut() {
        // Templates require turns to alternate.
        Some(last) if last.role == role.name() => {
            last.text.push_str("\n\n");
            last.text.push_str(&text);
        }
        _ => turns.push(Turn {
            role: role.name(),
            text,
        }),
    };
    let (last, before) = match messages.split_last() {
        Some((last, before)) if open => (Some(last), before),
        _ => (None, messages),
    };
    for message in before {
        add(message.role, message.text());
    }
    let Some(last) = last else {
        let open = false;
        return (Prompt::Turns { turns, open }, String::new());
    };
    let words = last.text();
    let mut prefilled = false;
    match last.role {
        Role::Assistant if words.trim().is_empty() => {}
        Role::Assistant => {
            add(Role::Assistant, words.clone());
            prefilled = source.prefills();
            if !prefilled {
                add(Role::User, GO_ON.to_string());
            }
        }
        Role::User | Role::System => {
            let begun = match words.trim().is_empty() {
                true => String::new(),
                false => format!(", beginning with \"{}\"", words.trim()),
            };
            add(
                Role::User,
                format!(
                    "(Write my next message in this conversation for me{begun}. Answer only with the message.)"
                ),
            );
        }
    }
    let open = prefilled;
    (Prompt::Turns { turns, open }, words)
}

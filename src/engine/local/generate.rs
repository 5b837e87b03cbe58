//! Generates one passage, from the prompt to the end of the passage. All local text models use this
//! loop.

use super::SLICE;
use super::build_prompt::prompt;
use super::heal::Healing;
use super::loaded::Loaded;
use super::passage::Passage;
use super::prompt::{Prompt, PromptError};
use crate::engine::backend::{Answer, Failure, Listener, Quiet};
use crate::engine::length::nothing_to_continue;
use base::progress::Observer;
use llm::{Logits, ModelError};
use std::rc::Rc;
use std::time::Instant;
use story::message::{FailureKind, PassageStats, TextRequest};
use story::{Event, NodeId, Status};

/// Generates one passage for a request.
pub fn text(loaded: &mut Loaded, request: &TextRequest, listener: &dyn Listener) -> Answer {
    let mut prompt = prompt(loaded, request)?;
    let mut stats = prompt.stats();
    if prompt.ids.is_empty() {
        return Err(nothing_to_continue());
    }
    let began = Instant::now();
    let read = prefill(loaded, &mut prompt, request.node, &mut stats, listener)?;
    stats.prefill_ms = ms(began);
    let status = match read {
        None => Status::Stopped,
        Some(logits) => {
            let (began, known) = (Instant::now(), loaded.accepted_drafts());
            let mut passage = Passage::new(loaded, Rc::new(request.clone()), &prompt)?;
            let status = passage.write(loaded, logits, &mut stats, listener)?;
            stats.decode_ms = ms(began);
            stats.accepted_drafts = loaded.accepted_drafts() - known;
            status
        }
    };
    stats.prompt_ids = prompt.ids;
    Ok((status, stats))
}

/// Prefills the prompt, and decides whether the last word of the prompt needs healing. Returns the
/// logits after the last token, or None if the request was stopped.
pub fn prefill(
    loaded: &mut Loaded,
    prompt: &mut Prompt,
    node: NodeId,
    stats: &mut PassageStats,
    listener: &dyn Listener,
) -> Result<Option<Vec<f32>>, Failure> {
    let Some(logits) = read(loaded, prompt, node, stats, listener)? else {
        return Ok(None);
    };
    if prompt.healing.is_needless(&loaded.tokenizer, &logits) {
        prompt.healing = Healing::default();
        return Ok(Some(logits));
    }
    prompt.healing.begin(&mut prompt.ids);
    stats.prompt_tokens = prompt.ids.len();
    let reused = stats.reused;
    let logits = read(loaded, prompt, node, stats, &Quiet(listener))?;
    stats.reused = reused.min(stats.reused);
    Ok(logits)
}

/// Prefills a prompt that may be requested soon. Does nothing if evaluating a prompt in pieces
/// would change the result, because the output must not depend on how quickly a line was typed.
pub fn read_ahead(loaded: &mut Loaded, request: &TextRequest, observer: &dyn Observer) {
    if !loaded.model.is_batch_invariant() {
        return;
    }
    if let Ok(prompt) = prompt(loaded, request)
        && !prompt.ids.is_empty()
    {
        let stats = &mut PassageStats::default();
        let _ = read(loaded, &prompt, request.node, stats, &Quiet(observer));
    }
}

/// Evaluates the tokens of the prompt that are not in the KV cache yet, in slices. Returns the
/// logits after the last token, or None if the request was stopped.
fn read(
    loaded: &mut Loaded,
    prompt: &Prompt,
    node: NodeId,
    stats: &mut PassageStats,
    listener: &dyn Listener,
) -> Result<Option<Vec<f32>>, Failure> {
    let total = prompt.ids.len();
    // The passage begins with the last token's logits: if they are no longer known, that token is
    // evaluated again.
    let known = loaded.latest(&prompt.ids).map(<[f32]>::to_vec);
    stats.reused = match known {
        Some(_) => total,
        None => loaded.common_prefix(&prompt.ids).min(total - 1),
    };
    loaded.rewind(stats.reused);
    let mut logits = known.unwrap_or_default();
    let mut done = stats.reused;
    loop {
        let progress = Event::Prefill {
            node,
            done,
            total,
            reused: stats.reused,
            cut: prompt.cut.clone(),
        };
        if !listener.tell(progress) || listener.is_cancelled() {
            return Ok(None);
        }
        if done == total {
            loaded.remember(&logits);
            return Ok(Some(logits));
        }
        let end = (done + SLICE).min(total);
        let rows = if end == total {
            Logits::Last
        } else {
            Logits::Skip
        };
        match loaded.forward(&prompt.ids[done..end], rows, &|| listener.is_cancelled())? {
            Some(rows) => logits = rows,
            None => return Ok(None),
        }
        done = end;
    }
}

pub fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

impl From<PromptError> for Failure {
    fn from(error: PromptError) -> Failure {
        let fault = match error {
            PromptError::Model(_) => FailureKind::Engine,
            PromptError::Overflow { .. }
            | PromptError::Message { .. }
            | PromptError::Beside { .. } => FailureKind::Overflow,
        };
        Failure::new(error.to_string(), fault)
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Failure {
        Failure::engine(error.to_string())
    }
}

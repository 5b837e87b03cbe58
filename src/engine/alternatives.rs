//! Which tokens could come next, and what a context is made of: answers that write nothing.

use super::Failure;
use super::generate::{prefill, sampler};
use super::loaded::Loaded;
use super::prompt::{prompt, segments, within_budget};
use crate::model::sampler::log_probability;
use crate::model::tokenizer::Decoder;
use crate::story::message::{Alternative, Explained, Fault, Stats, TextRequest};
use crate::story::untrusted::clean;
use crate::story::{Event, Status};

/// How many are told.
const MOST: usize = 20;

/// The likeliest next tokens, before and after the samplers.
pub fn alternatives(
    loaded: &mut Loaded,
    request: &TextRequest,
    emit: &dyn Fn(Event) -> bool,
    stopped: &dyn Fn() -> bool,
) -> Result<(Status, Stats), Failure> {
    let mut prompt = prompt(loaded, request)?;
    if prompt.ids.is_empty() {
        let why = "There is nothing before this word".to_string();
        return Err(Failure {
            why,
            fault: Fault::Engine,
        });
    }
    let mut stats = Stats::default();
    let Some(mut logits) = prefill(loaded, &mut prompt, request.node, &mut stats, emit, stopped)?
    else {
        return Ok((Status::Stopped, stats));
    };
    prompt.healing.allow_if_any(loaded, &mut logits);
    let after = sampler(loaded, request, &prompt.ids).distribution(&logits);
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let most = MOST.min(order.len());
    let better = |a: &u32, b: &u32| {
        logits[*b as usize]
            .total_cmp(&logits[*a as usize])
            .then(a.cmp(b))
    };
    order.select_nth_unstable_by(most.saturating_sub(1), better);
    order.truncate(most);
    order.sort_by(better);
    let found = order.into_iter().map(|id| Alternative {
        id,
        text: word(loaded, id),
        before: log_probability(&logits, id).exp(),
        after: after
            .iter()
            .find(|(token, _)| *token == id)
            .map_or(0.0, |(_, p)| *p),
    });
    emit(Event::Alternatives(found.collect()));
    Ok((Status::Complete, stats))
}

fn word(loaded: &Loaded, id: u32) -> String {
    if loaded.tokenizer.ends_generation(id) {
        return "(the end)".to_string();
    }
    let bytes = loaded.tokenizer.bytes(id);
    let text = Decoder::default().push(bytes);
    match text.is_empty() {
        // A part of a character.
        true => bytes.iter().map(|byte| format!("<{byte:02X}>")).collect(),
        false => clean(&text).into_owned(),
    }
}

/// What would be read, part by part.
pub fn explain(
    loaded: &mut Loaded,
    request: &TextRequest,
    emit: &dyn Fn(Event) -> bool,
) -> Result<(Status, Stats), Failure> {
    let (context, lore) = within_budget(loaded, &request.context)?;
    let fitted = prompt(loaded, request)?;
    let context = match fitted.cut.begins {
        Some((node, byte)) => context.from_place(node, byte),
        None => context,
    };
    emit(Event::Explained(Explained {
        segments: segments(loaded, &context)?,
        tokens: fitted.ids.len(),
        holds: loaded.model.context(),
        reused: loaded.keep_common(&fitted.ids),
        dropped: fitted.cut.dropped,
        lore,
    }));
    Ok((Status::Complete, Stats::default()))
}

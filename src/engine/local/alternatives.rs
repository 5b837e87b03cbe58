//! Answers two kinds of request that generate no text: one asks for the most likely next tokens,
//! the other for the parts of a context.

use super::build_prompt::{prompt, segments, within_budget};
use super::generate::prefill;
use super::loaded::Loaded;
use super::passage::sampler;
use crate::engine::backend::{Failure, Listener};
use llm::tokenizer::Decoder;
use sampler::log_probability;
use story::message::{Alternative, ContextReport, PassageStats, TextRequest};

/// The maximum number of alternatives that are returned.
const MOST: usize = 20;

/// Returns the most likely next tokens, with their probabilities before and after the samplers.
/// Returns None if the request was stopped.
pub fn alternatives(
    loaded: &mut Loaded,
    request: &TextRequest,
    listener: &dyn Listener,
) -> Result<Option<Vec<Alternative>>, Failure> {
    let mut prompt = prompt(loaded, request)?;
    if prompt.ids.is_empty() {
        return Err(Failure::engine("There is no text before this word"));
    }
    let mut stats = PassageStats::default();
    let read = prefill(loaded, &mut prompt, request.node, &mut stats, listener)?;
    let Some(mut logits) = read else {
        return Ok(None);
    };
    prompt.healing.allow_if_any(&loaded.tokenizer, &mut logits);
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
    Ok(Some(found.collect()))
}

fn word(loaded: &Loaded, id: u32) -> String {
    if loaded.tokenizer.ends_generation(id) {
        return "(the end)".to_string();
    }
    let bytes = loaded.tokenizer.bytes(id);
    let text = Decoder::default().push(bytes);
    match text.is_empty() {
        // Part of a character.
        true => bytes.iter().map(|byte| format!("<{byte:02X}>")).collect(),
        false => text,
    }
}

/// Describes the context of a request, part by part.
pub fn explain(loaded: &mut Loaded, request: &TextRequest) -> Result<ContextReport, Failure> {
    let (context, lore) = within_budget(loaded, &request.context)?;
    let fitted = prompt(loaded, request)?;
    let context = match fitted.cut.begins {
        Some((node, byte)) => context.starting_at(node, byte),
        None => context,
    };
    Ok(ContextReport {
        segments: segments(loaded, &context)?,
        tokens: fitted.ids.len(),
        holds: loaded.model.context(),
        reused: loaded.common_prefix(&fitted.ids),
        dropped: fitted.cut.dropped,
        lore,
    })
}

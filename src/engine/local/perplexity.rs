//! Computes the perplexity of a text, given the text before it. The expectations of replays use
//! this.

use super::loaded::Loaded;
use crate::engine::backend::Failure;
use base::progress::Observer;
use llm::Logits;
use sampler::log_probability;
use story::message::FailureKind;

/// The maximum number of tokens evaluated together. Each token has a row of logits, so this limits
/// the memory needed.
const ROWS: usize = 64;

/// The perplexity of `text` after `before`; None if stopped. Every token of `text` is scored. If
/// the context is too small for both texts, the beginning of `before` is left out.
pub fn perplexity_after(
    loaded: &mut Loaded,
    before: &str,
    text: &str,
    observer: &dyn Observer,
) -> Result<Option<f64>, Failure> {
    let opening = loaded.tokenizer.leading_bos();
    let alone = loaded.tokenizer.encode(before)?;
    let whole = loaded.tokenizer.encode(&format!("{before}{text}"))?;
    let shared = alone.iter().zip(&whole).take_while(|(a, b)| a == b).count();
    let mut ids: Vec<u32> = opening.into_iter().chain(whole).collect();
    // Nothing predicts the very first token.
    let mut first = (shared + usize::from(opening.is_some())).max(1);
    let context = loaded.model.context();
    let scored = ids.len().saturating_sub(first);
    if scored == 0 || scored >= context {
        let why = match scored {
            0 => "The text is too short to have a perplexity".to_string(),
            _ => {
                format!("The text has {scored} tokens, more than the model's context of {context}")
            }
        };
        return Err(Failure::new(why, FailureKind::Request));
    }
    let excess = ids.len().saturating_sub(context);
    ids.drain(..excess);
    first -= excess;
    if let (Some(opening), Some(start)) = (opening, ids.first_mut()) {
        *start = opening;
    }
    let stopped = || observer.is_cancelled();
    loaded.rewind(0);
    if first > 1
        && loaded
            .forward(&ids[..first - 1], Logits::Skip, &stopped)?
            .is_none()
        && stopped()
    {
        return Ok(None);
    }
    let width = loaded.model.vocabulary();
    let mut surprise = 0.0;
    let mut at = first - 1;
    while at + 1 < ids.len() {
        let end = (at + ROWS).min(ids.len() - 1);
        let Some(rows) = loaded.forward(&ids[at..end], Logits::All, &stopped)? else {
            return Ok(None);
        };
        for (logits, next) in rows.chunks_exact(width).zip(&ids[at + 1..=end]) {
            surprise -= log_probability(logits, *next);
        }
        at = end;
    }
    Ok(Some((surprise / scored as f64).exp()))
}

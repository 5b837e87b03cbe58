//! Measures the perplexity of a text, window by window.
//!
//! Uses the same windows as llama.cpp's perplexity tool (tools/perplexity/perplexity.cpp): the text
//! is split into windows of `window` tokens, each evaluated from scratch, and the second half of
//! each is scored: token i+1 by the logits of token i, for i from window/2 to window-2.

use super::backend::Failure;
use super::local::Loaded;
use base::progress::{Cancelled, Observer};
use llm::{Logits, ModelError};
use sampler::log_probability;
use serde::Serialize;
use story::message::FailureKind;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Perplexity {
    pub perplexity: f64,
    /// The number of tokens in the text.
    pub tokens: usize,
    pub chunks: usize,
    /// The number of scored tokens.
    pub scored: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum PerplexityError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("The text has {tokens} tokens but at least {window} are needed; use a longer text")]
    TooShort { tokens: usize, window: usize },
    #[error(transparent)]
    Stopped(#[from] Cancelled),
}

/// Scores `text`, window by window.
pub fn perplexity(
    loaded: &mut Loaded,
    text: &str,
    window: usize,
    observer: &dyn Observer,
) -> Result<Perplexity, PerplexityError> {
    let opening = loaded.tokenizer.leading_bos();
    let mut ids: Vec<u32> = opening.into_iter().collect();
    ids.extend(loaded.tokenizer.encode(text)?);
    let (tokens, chunks) = (ids.len(), ids.len() / window);
    if chunks == 0 {
        return Err(PerplexityError::TooShort { tokens, window });
    }
    let (mut surprise, mut scored) = (0f64, 0usize);
    for (index, chunk) in ids.chunks_exact(window).enumerate() {
        observer.check()?;
        observer.progress("Windows scored", index as u64, Some(chunks as u64));
        let mut chunk = chunk.to_vec();
        if let (Some(opening), Some(first)) = (opening, chunk.first_mut()) {
            *first = opening;
        }
        loaded.rewind(0);
        let half = window / 2;
        loaded.forward(&chunk[..half], Logits::Skip, &|| false)?;
        let rows = loaded.forward(&chunk[half..window - 1], Logits::All, &|| false)?;
        let rows = rows.unwrap_or_default();
        let width = loaded.model.vocabulary();
        for (logits, next) in rows.chunks_exact(width).zip(&chunk[half + 1..]) {
            surprise -= log_probability(logits, *next);
            scored += 1;
        }
    }
    observer.progress("Windows scored", chunks as u64, Some(chunks as u64));
    Ok(Perplexity {
        perplexity: (surprise / scored as f64).exp(),
        tokens,
        chunks,
        scored,
    })
}

/// How many tokens are evaluated together, since each has a row of logits.
const ROWS: usize = 64;

/// The perplexity of `text` after `before`. Every token of the text is scored; if the context is too
/// small, the beginning of `before` is left out. None if stopped.
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

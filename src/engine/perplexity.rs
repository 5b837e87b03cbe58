//! Measures the perplexity of a text, window by window.
//!
//! The windows are chosen as in llama.cpp's perplexity tool (tools/perplexity/perplexity.cpp). The
//! text is split into windows of `window` tokens, and each window is evaluated from scratch. Only
//! the second half of each window is scored: the logits of token i score token i+1, for i from
//! window/2 to window-2.

use super::local::Loaded;
use base::progress::{Cancelled, Observer};
use llm::{Logits, ModelError};
use sampler::log_probability;
use serde::Serialize;

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

/// Computes the perplexity of `text`, window by window.
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

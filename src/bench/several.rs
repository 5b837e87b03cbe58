//! Measures how long it takes to write several continuations of the same story, first in one batch
//! and then one after the other.

use crate::engine::{Backend, Failure, Loaded};
use base::progress::Unobserved;
use std::time::Instant;
use story::message::TextRequest;

/// The story that the passages continue.
const STORY: &str = "The storm came in from the west a little after midnight, and by the time \
    the bells rang one o'clock the whole of the lower town was under water. Old Tobias stood at the \
    top of the slipway with a lantern in each hand and watched the river swallow the steps one by one.";

/// Writes `count` passages of `tokens` tokens in one batch, and then again one after the other.
/// Returns both durations in milliseconds. The story is already in the KV cache when the
/// measurement starts.
pub fn measure(
    loaded: &mut Loaded,
    count: usize,
    tokens: usize,
) -> Result<(f64, f64), super::BenchError> {
    let request = |at: u64, tokens| super::request(at + 1, STORY, tokens, false);
    let requests: Vec<TextRequest> = (0..count).map(|at| request(at as u64, tokens)).collect();
    let failed = |failure: Failure| super::BenchError::Engine(failure.why);
    loaded.write(&request(0, 1), &Unobserved).map_err(failed)?;
    let began = Instant::now();
    loaded.candidates(&requests, &Unobserved).map_err(failed)?;
    let together = began.elapsed();
    let began = Instant::now();
    for request in &requests {
        loaded.write(request, &Unobserved).map_err(failed)?;
    }
    let apart = began.elapsed();
    Ok((
        together.as_secs_f64() * 1000.0,
        apart.as_secs_f64() * 1000.0,
    ))
}

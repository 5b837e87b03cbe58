//! Measures the time from the Enter key to the model's first words. The time covers all stages of a
//! passage, including the encoding of the story as tokens.

use super::BenchError;
use crate::engine::{Backend, Failure, Listener, Loaded};
use base::progress::{Cancelled, Observer, Unobserved};
use std::cell::Cell;
use std::time::Instant;
use story::Event;

const SENTENCE: &str =
    "The storm came in from the west a little after midnight, and nobody slept. ";
/// The approximate number of tokens in `SENTENCE`.
const TOKENS: usize = 15;
const LINE: &str = "Then the bells of the lower town began to ring.";

/// Measures how long the model's first words take after a line is typed, in milliseconds. The story
/// before the line has about `story` tokens and is already in the KV cache. If `paused` is true,
/// the line is in the cache as well, as if the writer had paused before pressing Enter.
pub fn measure(loaded: &mut Loaded, story: usize, paused: bool) -> Result<f64, BenchError> {
    loaded.rewind(0);
    let request = |words: &str| super::request(1, words, 2, true);
    let story = SENTENCE.repeat(story / TOKENS);
    if !story.is_empty() {
        loaded.prefetch(&request(&story), &Unobserved);
    }
    let asked = request(&format!("{story}{LINE}"));
    if paused {
        loaded.prefetch(&asked, &Unobserved);
    }
    let began = Instant::now();
    let first = FirstPiece::default();
    let failed = |failure: Failure| BenchError::Engine(failure.why);
    loaded.write(&asked, &first).map_err(failed)?;
    let first = match first.0.get() {
        Some(at) => at - began,
        None => began.elapsed(),
    };
    Ok(first.as_secs_f64() * 1000.0)
}

/// A listener that stores the time at which the first words arrived.
#[derive(Default)]
struct FirstPiece(Cell<Option<Instant>>);

impl Observer for FirstPiece {
    fn progress(&self, _: &str, _: u64, _: Option<u64>) {}

    fn check(&self) -> Result<(), Cancelled> {
        Ok(())
    }
}

impl Listener for FirstPiece {
    fn tell(&self, event: Event) -> bool {
        if matches!(event, Event::Piece { .. }) && self.0.get().is_none() {
            self.0.set(Some(Instant::now()));
        }
        true
    }
}

//! Measures the time from Enter to the model's first words. It covers all stages of a passage,
//! including the encoding of the story as tokens.

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

/// Returns how many milliseconds the model's first words take after a line is typed. The story
/// before the line, of about `story` tokens, is already in the KV cache. With `paused`, the line
/// is, too, as if the writer had paused before Enter.
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

/// The time at which the first words arrived.
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

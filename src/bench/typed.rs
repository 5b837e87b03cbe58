//! How long after Enter the first words of the model stand there: the whole way of a passage, with
//! the story turned into tokens anew.

use super::BenchError;
use crate::engine::{Failure, Loaded, read_ahead, text};
use crate::story::Event;
use std::cell::Cell;
use std::time::Instant;

const SENTENCE: &str =
    "The storm came in from the west a little after midnight, and nobody slept. ";
/// Tokens of the sentence, about.
const TOKENS: usize = 15;
const LINE: &str = "Then the bells of the lower town began to ring.";

/// Milliseconds until the first words after a line, in a story of about `story` tokens that was
/// read before. With `paused` the writer paused before Enter, and the line was read meanwhile.
pub fn measure(loaded: &mut Loaded, story: usize, paused: bool) -> Result<f64, BenchError> {
    loaded.rewind(0);
    let request = |words: &str| super::request(1, words, 2, true);
    let story = SENTENCE.repeat(story / TOKENS);
    if !story.is_empty() {
        read_ahead(loaded, &request(&story), &|| false);
    }
    let asked = request(&format!("{story}{LINE}"));
    if paused {
        read_ahead(loaded, &asked, &|| false);
    }
    let began = Instant::now();
    let first = Cell::new(None);
    let emit = |event| {
        if matches!(event, Event::Piece { .. }) && first.get().is_none() {
            first.set(Some(began.elapsed()));
        }
        true
    };
    let failed = |failure: Failure| BenchError::Engine(failure.why);
    text(loaded, &asked, &emit, &|| false).map_err(failed)?;
    let first = first.get().unwrap_or_else(|| began.elapsed());
    Ok(first.as_secs_f64() * 1000.0)
}

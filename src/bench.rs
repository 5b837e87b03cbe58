//! Measures how fast a model prefills and generates on this machine.
//!
//! This module takes a loaded model and returns measurements. It prints nothing and makes no
//! comparisons.

#[cfg(feature = "train")]
pub mod pictures;
pub mod sessions;
mod several;
pub mod typed;

use crate::engine::Loaded;
use llm::{Logits, ModelError};
use serde::Serialize;
use std::time::Instant;
use story::context::{ContextPart, PartKind};
use story::message::{LengthGoal, Overflow, TextRequest};
use story::{Context, Sampling};

/// A measurement of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// The speed of prefilling a prompt into an empty cache, like llama-bench's `pp` test.
    Read { tokens: usize },
    /// The speed of generating tokens after a story of `depth` tokens, without sampling, like
    /// llama-bench's `tg` test.
    Write { tokens: usize, depth: usize },
    /// The time to the first token after a short prompt, with an empty cache.
    First { line: usize },
    /// The time to the first token after a line is added to a story.
    FollowUp { story: usize, line: usize },
    /// The time to the first token after a line is added to another branch of a story. Only the
    /// first half of the story belongs to both branches.
    Switch { story: usize, line: usize },
}

pub use several::measure as several;

/// The reason why a measurement failed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("{0}")]
    Engine(String),
}

/// The minimum, median and maximum of several measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Task {
    /// The name of the measurement, as shown to the user.
    pub fn name(&self) -> String {
        match self {
            Task::Read { tokens } => format!("read {tokens} tokens"),
            Task::Write { tokens, depth: 0 } => format!("write {tokens} tokens"),
            Task::Write { tokens, depth } => format!("write {tokens} tokens after {depth}"),
            Task::First { .. } => "first token of a short prompt".to_string(),
            Task::FollowUp { story, .. } => format!("next line in a story of {story}"),
            Task::Switch { story, .. } => format!("another branch of a story of {story}"),
        }
    }

    /// The unit of the measurement: tokens per second, for which higher is better, or milliseconds.
    pub fn unit(&self) -> &'static str {
        match self {
            Task::Read { .. } | Task::Write { .. } => "tok/s",
            _ => "ms",
        }
    }

    /// Takes one measurement and returns its value in the unit of [`Task::unit`].
    pub fn measure(&self, loaded: &mut Loaded) -> Result<f64, ModelError> {
        loaded.rewind(0);
        match *self {
            Task::Read { tokens } => {
                let began = Instant::now();
                read(loaded, 0, tokens)?;
                Ok(tokens as f64 / began.elapsed().as_secs_f64())
            }
            Task::Write { tokens, depth } => {
                // The first token in an empty cache also wakes threads and maps pages;
                // llama-bench warms up as well.
                read(loaded, 0, depth.max(1))?;
                let began = Instant::now();
                for at in 0..tokens {
                    loaded.forward(&[some_token(loaded, depth + at + 7)], Logits::Last, &|| {
                        false
                    })?;
                }
                Ok(tokens as f64 / began.elapsed().as_secs_f64())
            }
            Task::First { line } => first_token(loaded, 0, line),
            Task::FollowUp { story, line } => {
                read(loaded, 0, story)?;
                first_token(loaded, story, line)
            }
            Task::Switch { story, line } => {
                read(loaded, 0, story)?;
                first_token(loaded, story / 2, line)
            }
        }
    }
}

/// Measures the time to the first token after a line of `line` new tokens, in milliseconds. `kept`
/// is the number of tokens of the story that stay in the cache.
fn first_token(loaded: &mut Loaded, kept: usize, line: usize) -> Result<f64, ModelError> {
    let ids: Vec<u32> = (0..line)
        .map(|at| some_token(loaded, at + 99_991))
        .collect();
    let began = Instant::now();
    loaded.rewind(kept);
    loaded.forward(&ids, Logits::Last, &|| false)?;
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}

/// Creates a request for a passage of `tokens` tokens that continues the text `words`. `number` is
/// both the id of the passage and the seed.
fn request(number: u64, words: &str, tokens: usize, heal: bool) -> TextRequest {
    let kind = PartKind::Story { node: 0, from: 0 };
    TextRequest {
        node: number,
        context: Context::Prose {
            parts: vec![ContextPart::plain(kind, words)],
            after: String::new(),
        },
        sampling: Sampling {
            max_tokens: tokens as u32,
            ..Sampling::default()
        },
        seed: number,
        overflow: Overflow::Crop,
        goal: LengthGoal::Exact,
        bans: Vec::new(),
        heal,
        begin: Vec::new(),
        retrieval: None,
    }
}

/// Prefills the tokens from index `from` up to index `to` of an artificial text.
fn read(loaded: &mut Loaded, from: usize, to: usize) -> Result<(), ModelError> {
    let ids: Vec<u32> = (from..to).map(|at| some_token(loaded, at)).collect();
    for slice in ids.chunks(crate::engine::SLICE) {
        // Requests only the last token's logits, as for a passage and as in llama-bench.
        let rows = match slice.as_ptr_range().end == ids.as_ptr_range().end {
            true => Logits::Last,
            false => Logits::Skip,
        };
        loaded.forward(slice, rows, &|| false)?;
    }
    Ok(())
}

fn some_token(loaded: &Loaded, at: usize) -> u32 {
    ((at * 7919 + 1) % loaded.model.vocabulary()) as u32
}

/// Returns the minimum, median and maximum of values. All three are 0 if there are no values.
pub fn spread(mut values: Vec<f64>) -> Spread {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    let middle = match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => at(n / 2),
        n => (at(n / 2 - 1) + at(n / 2)) / 2.0,
    };
    Spread {
        min: at(0),
        median: middle,
        max: at(values.len().saturating_sub(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_an_odd_and_an_even_number_of_runs() {
        let odd = spread(vec![3.0, 1.0, 2.0]);
        assert_eq!((odd.min, odd.median, odd.max), (1.0, 2.0, 3.0));
        assert_eq!(spread(vec![4.0, 1.0]).median, 2.5);
        assert_eq!(spread(vec![]).median, 0.0);
    }
}

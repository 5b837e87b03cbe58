//! How fast this machine reads and writes with a model.
//!
//! Takes a loaded model and returns numbers; prints nothing and compares with nobody.

use crate::engine::Loaded;
use crate::model::{ModelError, Rows};
use serde::Serialize;
use std::time::Instant;

/// One measurement of each kind, in tokens a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Run {
    pub prefill: f64,
    pub decode: f64,
}

/// Several runs' figures of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

/// Reads `prompt` tokens into an empty cache and writes `generate` after them, as llama-bench's
/// pp and tg do: the tokens do not matter, and nothing is sampled.
pub fn measure(loaded: &mut Loaded, prompt: usize, generate: usize) -> Result<Run, ModelError> {
    let vocabulary = loaded.model.vocabulary() as u32;
    let ids: Vec<u32> = (0..prompt as u32)
        .map(|n| (n * 7919 + 1) % vocabulary)
        .collect();
    loaded.rewind(0);
    let began = Instant::now();
    for slice in ids.chunks(crate::engine::SLICE) {
        loaded.feed(slice, Rows::Last, &|| false)?;
    }
    let prefill = began.elapsed();
    loaded.rewind(0);
    // The first token of an empty cache wakes threads and pages; llama-bench warms up as well.
    loaded.feed(&[1], Rows::Last, &|| false)?;
    let began = Instant::now();
    for n in 0..generate as u32 {
        loaded.feed(&[(n * 104_729 + 3) % vocabulary], Rows::Last, &|| false)?;
    }
    let decode = began.elapsed();
    Ok(Run {
        prefill: prompt as f64 / prefill.as_secs_f64(),
        decode: generate as f64 / decode.as_secs_f64(),
    })
}

/// How long until the first token of a line added to a story of `story` tokens, in milliseconds,
/// and how many tokens the cache still held.
pub fn follow_up(
    loaded: &mut Loaded,
    story: usize,
    line: usize,
) -> Result<(f64, usize), ModelError> {
    let vocabulary = loaded.model.vocabulary() as u32;
    let ids: Vec<u32> = (0..(story + line) as u32)
        .map(|n| (n * 7919 + 1) % vocabulary)
        .collect();
    loaded.rewind(0);
    for slice in ids[..story].chunks(crate::engine::SLICE) {
        loaded.feed(slice, Rows::None, &|| false)?;
    }
    let began = Instant::now();
    let kept = loaded.keep_common(&ids);
    loaded.rewind(kept);
    loaded.feed(&ids[kept..], Rows::Last, &|| false)?;
    Ok((began.elapsed().as_secs_f64() * 1000.0, kept))
}

/// Smallest, middle and largest; zeros of nothing.
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

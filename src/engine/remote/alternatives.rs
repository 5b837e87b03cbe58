//! Finds the words that could come next, if the server reports them.

use super::Remote;
use super::asking::Wish;
use crate::engine::backend::{Failure, Listener};
use crate::engine::text::{TextSource, build};
use base::hash::fnv1a;
use remote::{Kind, Likely};
use sampler::dry::SequenceBreakers;
use sampler::{Sampler, Sampling};
use story::message::{Alternative, FailureKind, TextRequest};

/// The number of words that are requested. Some servers refuse a higher number.
const MOST: usize = 20;

/// Returns the most likely next tokens, with their probabilities before and after the samplers.
/// Returns None if the request was stopped.
pub fn alternatives(
    remote: &mut Remote,
    request: &TextRequest,
    listener: &dyn Listener,
) -> Result<Option<Vec<Alternative>>, Failure> {
    if !remote.completes() || !remote.flavour().tells_likely() {
        let why =
            "This server does not report which words could come next; /gen writes whole passages";
        return Err(Failure::new(why, FailureKind::Request));
    }
    let fitted = build(remote, request)?;
    let wish = Wish {
        prompt: fitted.prompt,
        seed: request.seed,
        most: 1,
        likely: MOST,
        bias: Vec::new(),
        choices: 1,
        stream: false,
    };
    let chunk = match remote.ask_whole(request, wish, listener) {
        Ok(chunk) => chunk,
        Err(error) if error.kind == Kind::Stopped => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if chunk.likely.is_empty() {
        let why = "The server reported no other words; /gen writes whole passages";
        return Err(Failure::engine(why));
    }
    let after = after(&request.sampling, request.seed, &chunk.likely);
    let found = chunk.likely.iter().zip(after).map(|(likely, after)| {
        let text = likely.text.clone();
        let id = likely.id.unwrap_or(fnv1a(&text) as u32);
        remote.words.insert(id, text.clone());
        Alternative {
            id,
            text: if text.is_empty() {
                "(the end)".to_string()
            } else {
                text
            },
            before: likely.log_probability.exp(),
            after,
        }
    });
    Ok(Some(found.collect()))
}

/// The probabilities of the likely tokens after truncation and temperature. Penalties are not
/// applied: they depend on the tokens of the story, which only the server has.
pub(super) fn after(sampling: &Sampling, seed: u64, likely: &[Likely]) -> Vec<f64> {
    let sampling = Sampling {
        repetition_penalty: 1.0,
        presence_penalty: 0.0,
        frequency_penalty: 0.0,
        dry_multiplier: 0.0,
        ..sampling.clone()
    };
    let logits: Vec<f32> = likely.iter().map(|it| it.log_probability as f32).collect();
    let kept = Sampler::new(&sampling, seed, SequenceBreakers::none()).distribution(&logits);
    let probability = |index: usize| {
        let found = kept.iter().find(|(id, _)| *id as usize == index);
        found.map_or(0.0, |(_, probability)| *probability)
    };
    (0..likely.len()).map(probability).collect()
}

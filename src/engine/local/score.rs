//! Scores a passage that was written earlier. All tokens of the passage are evaluated in one pass,
//! and each token is looked up in the distribution that the model predicts at its position.

use super::SLICE;
use super::build_prompt::prompt;
use super::generate::prefill;
use super::loaded::Loaded;
use super::passage::sampler;
use crate::engine::backend::{Failure, Listener, Quiet};
use base::untrusted::clean;
use llm::Logits;
use llm::tokenizer::Decoder;
use sampler::{Sampler, log_probability};
use std::borrow::Cow;
use story::Status;
use story::message::{FailureKind, PassageScore, TextRequest, TokenScore, WrittenPassage};

/// The log-probability reported for a token that is ruled out.
const LOWEST: f64 = -9999.0;

/// Scores the tokens of a passage: how likely each is for the model, and whether the samplers could
/// choose it. Returns None if stopped.
pub fn score(
    loaded: &mut Loaded,
    request: &TextRequest,
    passage: &WrittenPassage,
    slack: f64,
    listener: &dyn Listener,
) -> Result<Option<PassageScore>, Failure> {
    let ids = tokens(loaded, passage)?;
    let exact = loaded.model.is_batch_invariant();
    if !exact {
        // What earlier requests left in the cache could change the numbers.
        loaded.forget();
    }
    let scored = forced(loaded, request, passage, (&ids, slack), listener);
    if !exact {
        loaded.forget();
    }
    scored
}

/// Returns the tokens of the passage. Recorded tokens that do not spell the text of the passage are
/// an error.
fn tokens(loaded: &Loaded, passage: &WrittenPassage) -> Result<Vec<u32>, Failure> {
    if passage.ids.is_empty() {
        return Ok(loaded.tokenizer.encode(&passage.text)?);
    }
    let known = |id: &u32| (*id as usize) < loaded.model.vocabulary();
    let mut decoder = Decoder::default();
    let spelled: String = match passage.ids.iter().all(known) {
        true => {
            let bytes = passage.ids.iter().map(|id| loaded.tokenizer.bytes(*id));
            bytes.map(|bytes| decoder.push(bytes)).collect()
        }
        false => String::new(),
    };
    let spelled = clean(&spelled);
    let own = spelled.get(passage.healed..).unwrap_or_default();
    match own.starts_with(clean(&passage.text).as_ref()) {
        true => Ok(passage.ids.clone()),
        false => {
            let why = "The recorded tokens do not spell the recorded text";
            Err(Failure::new(why, FailureKind::Request))
        }
    }
}

fn forced(
    loaded: &mut Loaded,
    request: &TextRequest,
    passage: &WrittenPassage,
    (ids, slack): (&[u32], f64),
    listener: &dyn Listener,
) -> Result<Option<PassageScore>, Failure> {
    let mut prompt = prompt(loaded, request)?;
    let mut stats = prompt.stats();
    let quiet = Quiet(listener);
    let Some(mut logits) = prefill(loaded, &mut prompt, request.node, &mut stats, &quiet)? else {
        return Ok(None);
    };
    let mut score = PassageScore {
        prompt_tokens: stats.prompt_tokens,
        lead: prompt.healing.bytes,
        ..PassageScore::default()
    };
    let mut sampler = sampler(loaded, request, &prompt.ids);
    let mut healing = prompt.healing;
    let ended = passage.status == Status::Complete;
    // The last token's logits are needed only for the end after it.
    let fed = ids.len() - usize::from(!ended).min(ids.len());
    for (at, chunk) in ids.chunks(SLICE).enumerate() {
        let first = at * SLICE;
        let feed = chunk.len().min(fed.saturating_sub(first));
        let rows = match feed {
            0 => Vec::new(),
            feed => {
                let stopped = || listener.is_cancelled();
                match loaded.forward(&chunk[..feed], Logits::All, &stopped)? {
                    Some(rows) => rows,
                    None => return Ok(None),
                }
            }
        };
        let mut rows = rows.chunks_exact(loaded.model.vocabulary());
        for (offset, id) in chunk.iter().enumerate() {
            let number = first + offset;
            let mut seen = Cow::Borrowed(&logits[..]);
            if number == 0 {
                // A passage may not start with its end.
                for end in loaded.tokenizer.end_ids() {
                    rule_out(seen.to_mut(), end);
                }
            }
            if !healing.is_over() {
                healing.allow(&loaded.tokenizer, seen.to_mut());
            }
            // The writer chose the first tokens, or other logits had been changed.
            let free = number >= request.begin.len() && !passage.rewound;
            let admissible = free.then(|| admissible(&sampler, &seen, &[*id], slack));
            let bytes = loaded.tokenizer.bytes(*id);
            score.tokens.push(TokenScore {
                bytes: bytes.len(),
                log_probability: log_probability(&logits, *id).max(LOWEST),
                admissible,
                likelier: likelier(loaded, &seen, &[*id]),
            });
            healing.spell(bytes);
            sampler.accept(*id);
            if let Some(row) = rows.next() {
                logits = row.to_vec();
            }
        }
    }
    if ended {
        score.end = Some(end_score(loaded, &sampler, &logits, passage, slack));
    }
    Ok(Some(score))
}

/// The score of ending the model's turn. Several tokens can end the turn, so their probabilities
/// are added.
fn end_score(
    loaded: &Loaded,
    sampler: &Sampler,
    logits: &[f32],
    passage: &WrittenPassage,
    slack: f64,
) -> TokenScore {
    let ends: Vec<u32> = loaded.tokenizer.end_ids().collect();
    let probabilities = ends.iter().map(|end| log_probability(logits, *end).exp());
    TokenScore {
        bytes: 0,
        log_probability: probabilities.sum::<f64>().ln().max(LOWEST),
        admissible: (!passage.rewound).then(|| admissible(sampler, logits, &ends, slack)),
        likelier: likelier(loaded, logits, &ends),
    }
}

/// Whether the samplers could choose one of the tokens `ids`, if its log-probability were higher by
/// at most `slack`.
fn admissible(sampler: &Sampler, logits: &[f32], ids: &[u32], slack: f64) -> bool {
    let can = |id: &u32, logits: &[f32]| {
        let chosen = |(own, share): &(u32, f64)| own == id && *share > 0.0;
        sampler.distribution(logits).iter().any(chosen)
    };
    let with_slack = |id: &u32| {
        let mut raised = logits.to_vec();
        if let Some(logit) = raised.get_mut(*id as usize) {
            *logit += slack as f32;
        }
        can(id, &raised)
    };
    ids.iter().any(|id| can(id, logits)) || (slack > 0.0 && ids.iter().any(with_slack))
}

/// The text of the most likely token; None if that token is one of `ids`.
fn likelier(loaded: &Loaded, logits: &[f32], ids: &[u32]) -> Option<String> {
    let numbered = (0..).zip(logits);
    let best = numbered.max_by(|(_, a), (_, b)| a.total_cmp(b));
    let (best, _) = best.filter(|(id, _)| !ids.contains(id))?;
    match loaded.tokenizer.ends_generation(best) {
        true => Some("(the end)".to_string()),
        false => Some(String::from_utf8_lossy(loaded.tokenizer.bytes(best)).into_owned()),
    }
}

fn rule_out(logits: &mut [f32], id: u32) {
    if let Some(logit) = logits.get_mut(id as usize) {
        *logit = f32::NEG_INFINITY;
    }
}

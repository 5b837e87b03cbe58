//! Generates several continuations of one story in a batch. The prompt is evaluated once, and then
//! each step evaluates one token of every continuation. Each continuation is bit-identical to what
//! would be generated without the others.

use super::build_prompt::prompt;
use super::generate::{ms, prefill};
use super::loaded::Loaded;
use super::passage::{Passage, Step};
use super::prompt::Prompt;
use crate::engine::backend::{Answer, Failure, Listener, one_after_another};
use llm::Branch;
use std::rc::Rc;
use std::time::Instant;
use story::message::{PassageStats, TextRequest};
use story::{Event, Status};

/// A continuation in progress.
struct Way {
    passage: Passage,
    logits: Vec<f32>,
    stats: PassageStats,
    over: Option<Status>,
}

/// Writes a passage for each request. The end of each passage except the last is reported by an
/// event; the end of the last passage is returned.
pub fn candidates(
    loaded: &mut Loaded,
    requests: &[TextRequest],
    listener: &dyn Listener,
) -> Answer {
    let Some(mut prompt) = shared(loaded, requests)? else {
        return one_after_another(loaded, requests, listener);
    };
    let mut stats = prompt.stats();
    let began = Instant::now();
    let node = requests[0].node;
    let read = prefill(loaded, &mut prompt, node, &mut stats, listener)?;
    stats.prefill_ms = ms(began);
    stats.prompt_ids.clone_from(&prompt.ids);
    let way = |request: &TextRequest| {
        let over = read.is_none().then_some(Status::Stopped);
        Ok(Way {
            passage: Passage::new(loaded, Rc::new(request.clone()), &prompt)?,
            logits: read.clone().unwrap_or_default(),
            stats: stats.clone(),
            over,
        })
    };
    let mut ways = requests
        .iter()
        .map(way)
        .collect::<Result<Vec<_>, Failure>>()?;
    let began = Instant::now();
    write(loaded, &mut ways, listener)?;
    let spent = ms(began);
    let mut last = (Status::Stopped, stats);
    for (index, way) in ways.into_iter().enumerate() {
        let status = way.over.unwrap_or(Status::Stopped);
        let stats = PassageStats {
            decode_ms: spent,
            ..way.stats
        };
        if index + 1 == requests.len() {
            last = (status, stats);
        } else {
            let node = requests[index].node;
            listener.tell(Event::Ended {
                node,
                status,
                stats,
            });
        }
    }
    Ok(last)
}

/// Returns the prompt that the requests have in common, or None if the prompts differ or the
/// passages cannot be generated in a batch.
fn shared(loaded: &mut Loaded, requests: &[TextRequest]) -> Result<Option<Prompt>, Failure> {
    let [first, rest @ ..] = requests else {
        return Ok(None);
    };
    // Banned phrases need a rewind, which branches do not support.
    let alone = rest.is_empty() || requests.iter().any(|request| !request.bans.is_empty());
    if alone || loaded.model.branch(0).is_none() {
        return Ok(None);
    }
    let mut prompt_of = |request| prompt(loaded, request);
    let prompt = prompt_of(first)?;
    for request in rest {
        if prompt_of(request)? != prompt {
            return Ok(None);
        }
    }
    Ok(Some(prompt).filter(|prompt| !prompt.ids.is_empty()))
}

/// Generates tokens until every continuation has ended.
fn write(loaded: &mut Loaded, ways: &mut [Way], listener: &dyn Listener) -> Result<(), Failure> {
    let shared = loaded.model.len();
    let branches = ways.iter().filter_map(|_| loaded.model.branch(shared));
    let mut branches: Vec<Branch> = branches.collect();
    let mut first = None;
    let stopped = || listener.is_cancelled();
    loop {
        let mut tokens = Vec::new();
        for (index, way) in ways.iter_mut().enumerate() {
            if way.over.is_some() {
                continue;
            }
            match way.step(loaded, listener)? {
                Some(id) => tokens.push(id),
                None => {
                    let branch = branches.remove(tokens.len());
                    first = first.or((index == 0).then_some(branch));
                }
            }
        }
        if tokens.is_empty() {
            break;
        }
        let each: Vec<&[u32]> = tokens.chunks(1).collect();
        let rows = loaded
            .model
            .forward_branches(&mut branches, &each, &stopped)?;
        let Some(rows) = rows.filter(|_| !stopped()) else {
            break;
        };
        let writing = ways.iter_mut().filter(|way| way.over.is_none());
        let width = rows.len() / tokens.len();
        for (way, row) in writing.zip(rows.chunks_exact(width.max(1))) {
            way.logits = row.to_vec();
        }
    }
    for way in ways.iter_mut().filter(|way| way.over.is_none()) {
        way.over = Some(way.passage.finish(Status::Stopped, listener));
    }
    // The first continuation stays in the cache, because the story usually continues from it.
    if let (Some(branch), Some(way)) = (first, ways.first()) {
        loaded.adopt(&branch, way.passage.tokens());
    }
    Ok(())
}

impl Way {
    /// Samples the next token; returns None at the end of the continuation.
    fn step(
        &mut self,
        loaded: &mut Loaded,
        listener: &dyn Listener,
    ) -> Result<Option<u32>, Failure> {
        loop {
            let logits = std::mem::take(&mut self.logits);
            match self
                .passage
                .step(loaded, &logits, &mut self.stats, listener)?
            {
                Step::Feed(id) => return Ok(Some(id)),
                Step::Again(logits) => self.logits = logits,
                Step::Over(status) => {
                    self.over = Some(status);
                    return Ok(None);
                }
            }
        }
    }
}

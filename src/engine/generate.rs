//! One passage, from prompt to end: the loop that every text model shares.

use super::Failure;
use super::load::Loaded;
use super::prompt::{Prompt, PromptError, prompt};
use crate::model::sampler::Sampler;
use crate::model::sampler::dry::Breakers;
use crate::model::tokenizer::Decoder;
use crate::model::{ModelError, Rows};
use crate::story::message::{Fault, Stats, TextRequest};
use crate::story::untrusted::clean;
use crate::story::{Event, NodeId, Status};
use std::time::Instant;

/// Tokens of a prompt that are read in one go. Fixed, since results may depend on it; the stop
/// mark is looked at between layers, so it does not bound how soon a stop is heard.
pub const SLICE: usize = 128;

type Emit<'a> = &'a dyn Fn(Event) -> bool;
type Stopped<'a> = &'a dyn Fn() -> bool;

/// Writes one passage.
pub fn text(
    loaded: &mut Loaded,
    request: &TextRequest,
    emit: Emit,
    stopped: Stopped,
) -> Result<(Status, Stats), Failure> {
    let wanted = request.sampling.max_tokens as usize;
    let prompt = prompt(loaded, &request.context, wanted, request.overflow)?;
    let mut stats = Stats {
        prompt_tokens: prompt.ids.len(),
        dropped: prompt.dropped,
        ..Stats::default()
    };
    if prompt.ids.is_empty() {
        let why = "There is nothing to continue; write a first line".to_string();
        let fault = Fault::Engine;
        return Err(Failure { why, fault });
    }
    let began = Instant::now();
    let read = prefill(loaded, &prompt, request.node, &mut stats, emit, stopped)?;
    stats.prefill_ms = ms(began);
    let status = match read {
        None => Status::Stopped,
        Some(logits) => {
            let began = Instant::now();
            let mut passage = Passage::new(loaded, request, &prompt.ids);
            let status = passage.write(logits, &mut stats, emit, stopped)?;
            stats.decode_ms = ms(began);
            status
        }
    };
    stats.prompt_ids = prompt.ids;
    Ok((status, stats))
}

/// Reads what the cache does not hold yet, in slices. Returns the last token's logits, or None
/// when stopped.
fn prefill(
    loaded: &mut Loaded,
    prompt: &Prompt,
    node: NodeId,
    stats: &mut Stats,
    emit: Emit,
    stopped: Stopped,
) -> Result<Option<Vec<f32>>, Failure> {
    let total = prompt.ids.len();
    // The last token is always read again: its logits are what the passage begins with.
    stats.reused = loaded.keep_common(&prompt.ids).min(total - 1);
    loaded.rewind(stats.reused);
    let mut logits = Vec::new();
    let mut done = stats.reused;
    loop {
        let progress = Event::Prefill {
            node,
            done,
            total,
            reused: stats.reused,
            dropped: stats.dropped,
        };
        if !emit(progress) || stopped() {
            return Ok(None);
        }
        if done == total {
            return Ok(Some(logits));
        }
        let end = (done + SLICE).min(total);
        let rows = if end == total { Rows::Last } else { Rows::None };
        match loaded.feed(&prompt.ids[done..end], rows, stopped)? {
            Some(rows) => logits = rows,
            None => return Ok(None),
        }
        done = end;
    }
}

/// A passage while it is being written.
struct Passage<'a> {
    loaded: &'a mut Loaded,
    request: &'a TextRequest,
    sampler: Sampler,
    decoder: Decoder,
    /// Text that may be the beginning of a stop string, and the tokens not sent yet.
    held: String,
    ids: Vec<u32>,
}

impl<'a> Passage<'a> {
    fn new(loaded: &'a mut Loaded, request: &'a TextRequest, prompt: &[u32]) -> Passage<'a> {
        let sampling = &request.sampling;
        let breakers = match sampling.dry_multiplier > 0.0 {
            true => loaded.breakers(&sampling.dry_sequence_breakers),
            false => Breakers::none(),
        };
        let ends: Vec<u32> = loaded.tokenizer.end_ids().chain(loaded.newline()).collect();
        let mut sampler = Sampler::new(sampling, request.seed, breakers).protecting(ends);
        for id in prompt {
            sampler.accept(*id);
        }
        Passage {
            loaded,
            request,
            sampler,
            decoder: Decoder::default(),
            held: String::new(),
            ids: Vec::new(),
        }
    }

    fn write(
        &mut self,
        mut logits: Vec<f32>,
        stats: &mut Stats,
        emit: Emit,
        stopped: Stopped,
    ) -> Result<Status, Failure> {
        // A passage of nothing helps nobody: the first token may not be an end.
        for id in self.loaded.tokenizer.end_ids() {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        loop {
            if stats.new_tokens == self.request.sampling.max_tokens as usize {
                return self.finish(Status::Length, emit);
            }
            let choice = self.sampler.sample_with(&logits);
            if choice.kept == 0 {
                let broken = "the model gave no usable numbers".to_string();
                return Err(ModelError::Compute(broken).into());
            }
            let id = choice.token;
            self.sampler.accept(id);
            stats.new_tokens += 1;
            if self.loaded.tokenizer.ends_generation(id) {
                return self.finish(Status::Complete, emit);
            }
            self.ids.push(id);
            if let Some(status) = self.say(id, emit) {
                return Ok(status);
            }
            if self.loaded.model.len() == self.loaded.model.context() {
                return self.finish(Status::ContextFull, emit);
            }
            if stats.new_tokens == self.request.sampling.max_tokens as usize {
                continue;
            }
            match self.loaded.feed(&[id], Rows::Last, stopped)? {
                Some(rows) if !stopped() => logits = rows,
                _ => return self.finish(Status::Stopped, emit),
            }
        }
    }

    /// Sends what has become certain. Returns how the passage ended, if it did.
    fn say(&mut self, id: u32, emit: Emit) -> Option<Status> {
        let text = self.decoder.push(self.loaded.tokenizer.bytes(id));
        self.held.push_str(&clean(&text));
        let stops = self
            .request
            .sampling
            .stop
            .iter()
            .filter(|stop| !stop.is_empty());
        let met = stops
            .clone()
            .filter_map(|stop| self.held.find(stop.as_str()))
            .min();
        if let Some(at) = met {
            self.held.truncate(at);
            self.send(emit);
            return Some(Status::StopString);
        }
        let begun = stops.filter_map(|stop| overlap(&self.held, stop)).min();
        let rest = self.held.split_off(begun.unwrap_or(self.held.len()));
        let sent = self.held.is_empty() || self.send(emit);
        self.held = rest;
        (!sent).then_some(Status::Stopped)
    }

    fn finish(&mut self, status: Status, emit: Emit) -> Result<Status, Failure> {
        self.send(emit);
        Ok(status)
    }

    fn send(&mut self, emit: Emit) -> bool {
        if self.held.is_empty() && self.ids.is_empty() {
            return true;
        }
        emit(Event::Piece {
            node: self.request.node,
            text: std::mem::take(&mut self.held),
            ids: std::mem::take(&mut self.ids),
        })
    }
}

/// Where a beginning of `stop` stands at the end of `text`.
fn overlap(text: &str, stop: &str) -> Option<usize> {
    let longest = text.len().min(stop.len() - 1);
    let from = text.len() - longest;
    (from..text.len()).find(|at| text.is_char_boundary(*at) && stop.starts_with(&text[*at..]))
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

impl From<PromptError> for Failure {
    fn from(error: PromptError) -> Failure {
        let fault = match error {
            PromptError::Model(_) => Fault::Engine,
            PromptError::Overflow { .. } | PromptError::Message { .. } => Fault::Overflow,
        };
        let why = error.to_string();
        Failure { why, fault }
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Failure {
        let why = error.to_string();
        let fault = Fault::Engine;
        Failure { why, fault }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_begin_a_stop_string_is_found() {
        assert_eq!(overlap("and so\nUs", "\nUser:"), Some(6));
        assert_eq!(overlap("and so", "\nUser:"), None);
        assert_eq!(overlap("né", "é!"), Some(1));
    }
}

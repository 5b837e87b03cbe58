//! The local backend: runs a model in this process.

mod alternatives;
mod batch;
mod build_prompt;
mod candidates;
pub(super) mod draft;
mod encode;
mod generate;
mod heal;
mod loaded;
mod passage;
mod perplexity;
mod prompt;
mod score;
mod speculate;
mod spelled;

pub use encode::encode;
pub use loaded::Loaded;

use super::backend::{Answer, Backend, Failure, Listener, Queue, one_by_one};
use base::progress::Observer;
use story::message::{
    Alternative, Capabilities, ContextReport, PassageScore, TextRequest, WarmCache, WrittenPassage,
};
use story::{ModelInfo, NodeId};

/// The number of prompt tokens that are evaluated in one batch. This number is fixed, because
/// results may depend on it. Stop requests are checked between layers, so a large batch does not
/// delay a stop.
pub const SLICE: usize = 128;

impl Backend for Loaded {
    fn about(&self) -> &ModelInfo {
        &self.about
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            // Otherwise, prefilling in pieces would give different numbers.
            prefetch: self.model.is_batch_invariant(),
            reproducible: self.model.is_batch_invariant(),
            ..Capabilities::all()
        }
    }

    fn write(&mut self, request: &TextRequest, listener: &dyn Listener) -> Answer {
        generate::text(self, request, listener)
    }

    fn write_queue(&mut self, queue: &mut dyn Queue) {
        match self.model.is_batch_invariant() && self.model.branch(0).is_some() {
            true => batch::batch(self, queue),
            false => one_by_one(self, queue),
        }
    }

    fn candidates(&mut self, requests: &[TextRequest], listener: &dyn Listener) -> Answer {
        candidates::candidates(self, requests, listener)
    }

    fn alternatives(
        &mut self,
        request: &TextRequest,
        listener: &dyn Listener,
    ) -> Result<Option<Vec<Alternative>>, Failure> {
        alternatives::alternatives(self, request, listener)
    }

    fn explain(&mut self, request: &TextRequest) -> Result<ContextReport, Failure> {
        alternatives::explain(self, request)
    }

    fn score(
        &mut self,
        request: &TextRequest,
        passage: &WrittenPassage,
        slack: f64,
        listener: &dyn Listener,
    ) -> Result<Option<PassageScore>, Failure> {
        score::score(self, request, passage, slack, listener)
    }

    fn perplexity(
        &mut self,
        before: &str,
        text: &str,
        observer: &dyn Observer,
    ) -> Result<Option<f64>, Failure> {
        perplexity::perplexity_after(self, before, text, observer)
    }

    fn prefetch(&mut self, request: &TextRequest, observer: &dyn Observer) {
        generate::read_ahead(self, request, observer);
    }

    fn save_cache(&self) -> Option<WarmCache> {
        let (ids, bytes) = self.save()?;
        let model_sha256 = self.about.sha256.clone();
        Some(WarmCache {
            model_sha256,
            ids,
            bytes,
        })
    }

    fn restore_cache(&mut self, warm: &WarmCache) {
        // A cache that does not match is ignored, and the story is evaluated again.
        if warm.model_sha256 == self.about.sha256 {
            let _ = self.restore(&warm.ids, &warm.bytes);
        }
    }

    fn clear_cache(&mut self) {
        self.forget();
    }

    fn count_tokens(&self, text: &str) -> Result<usize, Failure> {
        Ok(self.tokenizer.encode(text)?.len())
    }

    fn context_start(&self, request: &TextRequest) -> Result<Option<(NodeId, usize)>, Failure> {
        Ok(build_prompt::build(self, request)?.cut.begins)
    }
}

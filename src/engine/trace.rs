//! Logs requests for `--log`: their kinds, sizes and times, for use in bug reports, but none of the
//! writer's words.
//!
//! Events that quote the writer have a separate target, [`WORDS`], which the subscriber enables
//! only with `--log-words`. Without a subscriber, logging takes almost no time.

use super::remote::Backends;
use std::time::Instant;
use story::message::FailureKind;
use story::{Event, Request};
use tracing::{Span, debug, error, info, info_span, trace};

/// The target of log events that quote the writer.
pub const WORDS: &str = "words";

/// The log entries of a request in progress. Each entry contains the request's number.
pub(super) struct RequestTrace {
    span: Span,
    picture: bool,
    began: Instant,
}

impl RequestTrace {
    pub(super) fn new(number: u64, request: &Request) -> RequestTrace {
        let span = info_span!("request", number, kind = request.kind());
        span.in_scope(|| {
            match request {
                // An address that is refused may contain a secret, so it is not logged.
                Request::Load { model } if Backends::problem_with(model).is_some() => {
                    info!("asked")
                }
                Request::Load { model } => info!(model, "asked"),
                Request::Candidates(several) => info!(passages = several.len(), "asked"),
                Request::RestoreCache(warm) => info!(tokens = warm.ids.len(), "asked"),
                Request::Picture(picture) => info!(node = picture.node, "asked"),
                Request::Text(text) => {
                    info!(
                        node = text.node,
                        max_tokens = text.sampling.max_tokens,
                        "asked"
                    );
                }
                _ => info!("asked"),
            }
            if !matches!(request, Request::RestoreCache(_)) {
                trace!(target: WORDS, ?request);
            }
        });
        RequestTrace {
            span,
            picture: matches!(request, Request::Picture(_)),
            began: Instant::now(),
        }
    }

    /// Logs an event of the request.
    pub(super) fn event(&self, event: &Event) {
        self.span.in_scope(|| match event {
            Event::Ready(about, _) => info!(
                model = about.name,
                sha256 = about.sha256,
                architecture = about.architecture,
                backend = about.backend,
                context = about.context,
                vocabulary = about.vocabulary,
                load_ms = about.load_ms,
                "model loaded"
            ),
            Event::Piece { ids, text, .. } => {
                debug!(tokens = ids.len(), bytes = text.len(), "piece");
                trace!(target: WORDS, ?text);
            }
            Event::Drawn { drawings, .. } => info!(pictures = drawings.len(), "drawn"),
            Event::Done { .. } | Event::Failed { .. } => self.end(event),
            _ => {}
        });
    }

    /// Logs the event that ends the request.
    fn end(&self, event: &Event) {
        let ms = self.began.elapsed().as_secs_f64() * 1000.0;
        match event {
            Event::Done { status, stats, .. } => info!(
                ?status,
                ms,
                prompt_tokens = stats.prompt_tokens,
                reused = stats.reused,
                dropped = stats.dropped,
                prefill_ms = stats.prefill_ms,
                new_tokens = stats.new_tokens,
                accepted_drafts = stats.accepted_drafts,
                decode_ms = stats.decode_ms,
                "done"
            ),
            Event::Failed { why, fault, .. } => {
                // An error about a text model quotes only its file; others may quote a prompt.
                let plain = matches!(fault, FailureKind::Model) && !self.picture;
                let said = if plain { why.as_str() } else { "" };
                error!(?fault, ms, why = said, "failed");
                trace!(target: WORDS, why);
            }
            _ => {}
        }
    }
}

//! The backend for a model on a server: sends prompts as text and streams the answers.
//!
//! `text.rs` provides most features that a server may lack: stop strings, length goals, and bans
//! (if a banned phrase appears, it requests the text again). Other missing features are reported
//! once, before the passage is written. The server's text is untrusted: sizes and waits are
//! bounded, and control characters never become part of a passage.

mod ahead;
mod alternatives;
mod asking;
mod candidates;
mod connect;
mod counts;
mod keys;
mod nearby;
mod replicas;
mod score;
mod settings;
mod source;
mod stream;
mod write;

pub use connect::NotConnected;
pub use keys::{KeyCommand, KeySource};
pub use nearby::{NearbyServers, local_roots};
pub use settings::{Backends, NamedBackend, Target};

use super::backend::{Answer, Backend, Failure, Listener, Replicas, Retry};
use super::text::{self, Memory, TextSource};
use base::progress::Observer;
use counts::Counts;
use remote::{Client, Flavour, Kind, RemoteError, Server};
use source::OwnShare;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use story::message::{
    Alternative, Capabilities, ContextReport, FailureKind, PassageScore, TextRequest,
    WrittenPassage,
};
use story::{ModelInfo, NodeId};

/// A model on a server.
#[derive(Clone)]
pub struct Remote {
    about: ModelInfo,
    client: Client,
    server: Server,
    counts: Counts,
    /// Whether the server is on this machine.
    local: bool,
    /// Whether this is a replica. A replica requests each answer in one piece, and does not retry
    /// failed requests, since its caller retries them.
    whole: bool,
    /// Whether the server is now known to offer only chat, and no raw completion.
    only_chats: bool,
    /// Whether the server has refused to continue an unfinished message of the model.
    refuses_prefill: bool,
    /// The names of the sampling fields that the server has refused.
    refused: HashSet<String>,
    /// The warnings already shown to the writer, so that none is shown twice.
    said: HashSet<String>,
    /// The texts of the tokens that the server has reported as alternatives. The keys are token
    /// ids.
    words: HashMap<u32, String>,
    memory: Memory,
    /// For a candidate: its part of a stream that several candidates share. It is used for the
    /// candidate's first request.
    share: OwnShare,
}

impl Remote {
    fn flavour(&self) -> Flavour {
        self.server.flavour
    }

    /// Shows a warning to the writer, unless it has been shown before.
    fn say_once(&mut self, sentence: String, listener: &dyn Listener) {
        if self.said.insert(sentence.clone()) {
            listener.tell(story::Event::Warned(sentence));
        }
    }
}

impl Backend for Remote {
    fn about(&self) -> &ModelInfo {
        &self.about
    }

    fn capabilities(&self) -> Capabilities {
        let flavour = self.flavour();
        Capabilities {
            alternatives: self.completes() && flavour.tells_likely(),
            explain: true,
            prefetch: self.local && flavour == Flavour::LlamaServer,
            warm_cache: false,
            banned_phrases: self.completes() && self.forbids_tokens(),
            reproducible: false,
            exact_token_counts: self.counts.are_exact(),
        }
    }

    fn write(&mut self, request: &TextRequest, listener: &dyn Listener) -> Answer {
        write::write(self, request, listener)
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
        text::explain(self, request)
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

    fn prefetch(&mut self, request: &TextRequest, observer: &dyn Observer) {
        ahead::read_ahead(self, request, observer);
    }

    fn replicas(&self, most: usize, limit: Duration) -> Option<Box<dyn Replicas>> {
        Some(Box::new(replicas::Source::new(self, most, limit)))
    }

    fn count_tokens(&self, text: &str) -> Result<usize, Failure> {
        Ok(Remote::count(self, text)?)
    }

    fn context_start(&self, request: &TextRequest) -> Result<Option<(NodeId, usize)>, Failure> {
        text::context_start(self, request)
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Failure {
        let fault = match error.kind {
            Kind::TooLong(_) => FailureKind::Overflow,
            Kind::Unreachable(_)
            | Kind::Unauthorized { .. }
            | Kind::NotFound(_)
            | Kind::NoModel { .. }
            | Kind::Loading
            | Kind::Redirects(_) => FailureKind::Model,
            Kind::Stopped
            | Kind::Silent { .. }
            | Kind::Busy { .. }
            | Kind::Refused { .. }
            | Kind::Garbage
            | Kind::Empty
            | Kind::Broke(_)
            | Kind::Gone => FailureKind::Engine,
        };
        let (why, retry) = (error.to_string(), retry(&error.kind));
        Failure { why, fault, retry }
    }
}

/// Whether and how soon a request may be retried after an error of this kind.
fn retry(kind: &Kind) -> Retry {
    match kind {
        Kind::Busy { status: 502, .. } => Retry::Soon,
        Kind::Busy { retry_after, .. } => Retry::Overloaded {
            after: *retry_after,
        },
        Kind::Loading | Kind::Silent { .. } => Retry::Overloaded { after: None },
        Kind::Refused { status, .. } if *status >= 500 => Retry::Soon,
        Kind::Unreachable(_) | Kind::Garbage | Kind::Empty | Kind::Broke(_) | Kind::Gone => {
            Retry::Soon
        }
        Kind::Stopped
        | Kind::Unauthorized { .. }
        | Kind::NotFound(_)
        | Kind::NoModel { .. }
        | Kind::TooLong(_)
        | Kind::Refused { .. }
        | Kind::Redirects(_) => Retry::Never,
    }
}

#[cfg(test)]
mod tests;

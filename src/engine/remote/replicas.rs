//! Creates copies of a connected server's backend, each for a separate thread. A copy requests each
//! answer in one piece instead of a stream, so that a router can retry the request.

use super::Remote;
use super::counts::Counts;
use super::source::OwnShare;
use crate::engine::backend::{Backend, Failure, Replicas};
use crate::engine::text::Memory;
use remote::Client;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A source of replicas of a connected server. All replicas share the connections of `client`.
pub(super) struct Source {
    pattern: Parts,
    client: Client,
}

/// The initial state of every replica.
struct Parts {
    about: story::ModelInfo,
    server: remote::Server,
    exact: bool,
    local: bool,
    only_chats: bool,
    refuses_prefill: bool,
    memory: Mutex<Memory>,
    refused: HashSet<String>,
    said: HashSet<String>,
}

/// Removes advice such as `/retry` from the failure of a case, since only a writer at the keyboard
/// can follow it.
pub(super) fn without_advice(mut failure: Failure) -> Failure {
    if let Some((what, advice)) = failure.why.rsplit_once("; ")
        && ["/retry", "/continue", "/model"]
            .iter()
            .any(|it| advice.contains(it))
    {
        failure.why = what.to_string();
    }
    failure
}

impl Source {
    pub(super) fn new(remote: &Remote, most: usize, limit: Duration) -> Source {
        Source {
            pattern: Parts {
                about: remote.about.clone(),
                server: remote.server.clone(),
                exact: remote.counts.are_exact(),
                local: remote.local,
                only_chats: remote.only_chats,
                refuses_prefill: remote.refuses_prefill,
                memory: Mutex::new(remote.memory.for_others()),
                refused: remote.refused.clone(),
                said: remote.refusals().into_iter().collect(),
            },
            client: remote.client.pooled(most, limit),
        }
    }
}

impl Replicas for Source {
    fn replica(&self) -> Box<dyn Backend + Send> {
        let parts = &self.pattern;
        Box::new(Remote {
            about: parts.about.clone(),
            client: self.client.clone(),
            server: parts.server.clone(),
            counts: Counts::new(parts.exact),
            local: parts.local,
            whole: true,
            only_chats: parts.only_chats,
            refuses_prefill: parts.refuses_prefill,
            memory: parts
                .memory
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            share: OwnShare::default(),
            refused: parts.refused.clone(),
            said: parts.said.clone(),
            words: HashMap::new(),
        })
    }

    fn shut_down(&self) {
        self.client.shut_down();
    }
}

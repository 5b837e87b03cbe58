//! A backend for tests that answers from a script.
//!
//! Each request takes the next answer from the script. The pieces of text are sent for the
//! requested passage; the passage numbers in the script are ignored.

use super::backend::{Answer, Backend, Failure, Listener};
use super::load::{LoadError, Loader};
use base::progress::Observer;
use llm::sentence_encoder::SentenceEncoder;
use std::collections::VecDeque;
use story::message::{
    Alternative, Capabilities, ContextReport, PassageStats, TextRequest, WarmCache,
};
use story::{Event, ModelInfo, Status};

/// A scripted model: its description, its capabilities and all its answers.
#[derive(Clone, Debug)]
pub struct Script {
    pub about: ModelInfo,
    pub capabilities: Capabilities,
    /// The answers to requests for passages, in order. Once all answers are used, every further
    /// passage is empty.
    pub passages: VecDeque<ScriptedPassage>,
    pub alternatives: Vec<Alternative>,
    pub explained: ContextReport,
    /// The KV cache that the script returns when it is asked to save the cache. Restoring a cache
    /// replaces this value.
    pub warm: Option<WarmCache>,
}

/// The scripted answer to one request for a passage.
#[derive(Clone, Debug)]
pub struct ScriptedPassage {
    /// The events to send before the request ends.
    pub events: Vec<Event>,
    pub end: Answer,
}

impl Default for Script {
    fn default() -> Script {
        Script {
            about: ModelInfo {
                name: "scripted".to_string(),
                sha256: "scripted".to_string(),
                backend: "script".to_string(),
                context: 512,
                chat: true,
                ..ModelInfo::default()
            },
            capabilities: Capabilities {
                prefetch: false,
                ..Capabilities::all()
            },
            passages: VecDeque::new(),
            alternatives: Vec::new(),
            explained: ContextReport::default(),
            warm: None,
        }
    }
}

impl Script {
    /// Adds a passage that consists of the given pieces.
    pub fn writing(mut self, pieces: &[&str]) -> Script {
        self.passages.push_back(ScriptedPassage::of(pieces));
        self
    }

    /// Adds an answer that fails with `failure`.
    pub fn failing(mut self, failure: Failure) -> Script {
        self.passages.push_back(ScriptedPassage {
            events: Vec::new(),
            end: Err(failure),
        });
        self
    }
}

impl ScriptedPassage {
    /// A complete passage that consists of the given pieces, each of which is one token.
    pub fn of(pieces: &[&str]) -> ScriptedPassage {
        let piece = |(at, text): (usize, &&str)| Event::Piece {
            node: 0,
            text: text.to_string(),
            ids: vec![at as u32],
            healed: 0,
        };
        let stats = PassageStats {
            new_tokens: pieces.len(),
            ..PassageStats::default()
        };
        ScriptedPassage {
            events: pieces.iter().enumerate().map(piece).collect(),
            end: Ok((Status::Complete, stats)),
        }
    }
}

/// Loads the script as a model with any name.
impl Loader for Script {
    fn load(&mut self, model: &str, _: &dyn Observer) -> Result<Box<dyn Backend>, LoadError> {
        let mut script = self.clone();
        if !model.is_empty() {
            script.about.name = model.to_string();
        }
        Ok(Box::new(script))
    }

    fn encoder(&mut self, _: &dyn Observer) -> Result<SentenceEncoder, LoadError> {
        Err(LoadError::Failed("A script has no encoder".to_string()))
    }
}

impl Backend for Script {
    fn about(&self) -> &ModelInfo {
        &self.about
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn write(&mut self, request: &TextRequest, listener: &dyn Listener) -> Answer {
        let Some(passage) = self.passages.pop_front() else {
            return Ok((Status::Complete, PassageStats::default()));
        };
        for event in passage.events {
            if listener.is_cancelled() || !listener.tell(event.with_node(request.node)) {
                return Ok((Status::Stopped, PassageStats::default()));
            }
        }
        passage.end
    }

    fn alternatives(
        &mut self,
        _: &TextRequest,
        _: &dyn Listener,
    ) -> Result<Option<Vec<Alternative>>, Failure> {
        Ok(Some(self.alternatives.clone()))
    }

    fn explain(&mut self, _: &TextRequest) -> Result<ContextReport, Failure> {
        Ok(self.explained.clone())
    }

    fn save_cache(&self) -> Option<WarmCache> {
        self.warm.clone()
    }

    fn restore_cache(&mut self, warm: &WarmCache) {
        self.warm = Some(warm.clone());
    }

    /// Counts words instead of tokens.
    fn count_tokens(&self, text: &str) -> Result<usize, Failure> {
        Ok(text.split_whitespace().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;
    use story::NodeId;
    use story::context::Context;
    use story::message::{LengthGoal, Overflow, Reply, RequestId};
    use story::{Request, Sampling};

    fn request(node: NodeId) -> TextRequest {
        TextRequest {
            node,
            context: Context::empty(),
            sampling: Sampling::default(),
            seed: 1,
            overflow: Overflow::Crop,
            goal: LengthGoal::Exact,
            bans: Vec::new(),
            heal: false,
            begin: Vec::new(),
            retrieval: None,
        }
    }

    /// Receives the events of a request until the request ends, and returns them.
    fn answer(replies: &Receiver<Reply>, to: RequestId) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let reply = replies.recv_timeout(Duration::from_secs(60)).unwrap();
            assert_eq!(reply.request, to, "requests are answered in their order");
            let ends = matches!(reply.event, Event::Done { .. } | Event::Failed { .. });
            events.push(reply.event);
            if ends {
                return events;
            }
        }
    }

    #[test]
    fn every_request_is_answered_under_its_own_number_and_once() {
        let (sender, replies) = channel();
        let script = Script::default()
            .writing(&["one"])
            .writing(&["two"])
            .writing(&["three"]);
        let engine = Engine::start(script, sender);
        let model = String::new();
        let requests = [
            Request::Load { model },
            Request::Prefetch(request(1)),
            Request::Text(request(1)),
            Request::Candidates(vec![request(2), request(3)]),
            Request::Alternatives(request(4)),
            Request::Explain(request(4)),
            Request::SaveCache,
        ];
        let ids = requests.map(|request| engine.submit(request));
        let [_, read, text, several, ..] = ids.map(|id| answer(&replies, id));
        assert_eq!(read.len(), 1);
        assert!(matches!(&text[0], Event::Piece { node: 1, text, .. } if text == "one"));
        assert!(matches!(
            &several[..],
            [
                Event::Piece { node: 2, .. },
                Event::Ended { node: 2, .. },
                Event::Piece { node: 3, .. },
                Event::Done { node: Some(3), .. },
            ]
        ));
        drop(engine);
        assert!(
            replies.recv().is_err(),
            "nothing comes after the last answer"
        );
    }

    #[test]
    fn what_cannot_be_done_fails_in_a_sentence_and_the_next_request_is_answered() {
        let (sender, replies) = channel();
        let failure = Failure::engine("The server is gone");
        let script = Script::default().failing(failure).writing(&["one"]);
        let engine = Engine::start(script, sender);
        let early = engine.submit(Request::Text(request(1)));
        assert!(
            matches!(&answer(&replies, early)[..], [Event::Failed { why, .. }]
            if why.contains("No model is loaded"))
        );
        let model = "x".to_string();
        let load = engine.submit(Request::Load { model });
        assert!(matches!(&answer(&replies, load)[0], Event::Ready(about, _) if about.name == "x"));
        let fails = engine.submit(Request::Text(request(1)));
        assert!(
            matches!(&answer(&replies, fails)[..], [Event::Failed { node: Some(1), why, .. }]
            if why == "The server is gone")
        );
        let next = engine.submit(Request::Text(request(2)));
        assert_eq!(answer(&replies, next).len(), 2);
    }
}

//! A backend that says what it was told to: for tests, and the shape that a recording has.
//!
//! Each request takes the next answer of the script. A piece of text is of the passage that was
//! asked for, whatever number stands in the script.

use super::backend::{Answer, Backend, Failure, Listener};
use super::load::{LoadError, Loader};
use crate::model::encoder::SentenceEncoder;
use crate::story::message::{Alternative, Capabilities, Explained, Stats, TextRequest, Warm};
use crate::story::progress::Observer;
use crate::story::{About, Event, NodeId, Status};
use std::collections::VecDeque;

/// What a scripted model is, and everything that it will say.
#[derive(Clone, Debug)]
pub struct Script {
    pub about: About,
    pub capabilities: Capabilities,
    /// Answers to requests for a passage, in their order; after the last of them every passage is
    /// empty.
    pub passages: VecDeque<ScriptedPassage>,
    pub alternatives: Vec<Alternative>,
    pub explained: Explained,
    /// The cache, as it is given out; what is restored takes its place.
    pub warm: Option<Warm>,
}

/// How one passage is written.
#[derive(Clone, Debug)]
pub struct ScriptedPassage {
    /// What is told on the way.
    pub events: Vec<Event>,
    pub end: Answer,
}

impl Default for Script {
    fn default() -> Script {
        Script {
            about: About {
                name: "scripted".to_string(),
                sha256: "scripted".to_string(),
                backend: "script".to_string(),
                context: 512,
                chat: true,
                ..About::default()
            },
            capabilities: Capabilities {
                alternatives: true,
                explain: true,
                warm_cache: true,
                reproducible: true,
                ..Capabilities::default()
            },
            passages: VecDeque::new(),
            alternatives: Vec::new(),
            explained: Explained::default(),
            warm: None,
        }
    }
}

impl Script {
    /// The same script with one more passage, made of these pieces.
    pub fn writing(mut self, pieces: &[&str]) -> Script {
        self.passages.push_back(ScriptedPassage::of(pieces));
        self
    }

    /// The same script, where the next passage fails.
    pub fn failing(mut self, failure: Failure) -> Script {
        self.passages.push_back(ScriptedPassage {
            events: Vec::new(),
            end: Err(failure),
        });
        self
    }
}

impl ScriptedPassage {
    /// A passage that is written whole, a token for each piece.
    pub fn of(pieces: &[&str]) -> ScriptedPassage {
        let piece = |(at, text): (usize, &&str)| Event::Piece {
            node: 0,
            text: text.to_string(),
            ids: vec![at as u32],
            healed: 0,
        };
        let stats = Stats {
            new_tokens: pieces.len(),
            ..Stats::default()
        };
        ScriptedPassage {
            events: pieces.iter().enumerate().map(piece).collect(),
            end: Ok((Status::Complete, stats)),
        }
    }
}

/// Loads the script, whatever the model is called.
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
    fn about(&self) -> &About {
        &self.about
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn write(&mut self, request: &TextRequest, listener: &dyn Listener) -> Answer {
        let Some(passage) = self.passages.pop_front() else {
            return Ok((Status::Complete, Stats::default()));
        };
        for event in passage.events {
            if listener.is_cancelled() || !listener.tell(addressed(event, request.node)) {
                return Ok((Status::Stopped, Stats::default()));
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

    fn explain(&mut self, _: &TextRequest) -> Result<Explained, Failure> {
        Ok(self.explained.clone())
    }

    fn save_cache(&self) -> Option<Warm> {
        self.warm.clone()
    }

    fn restore_cache(&mut self, warm: &Warm) {
        self.warm = Some(warm.clone());
    }

    /// Words, for want of tokens.
    fn count_tokens(&self, text: &str) -> Result<usize, Failure> {
        Ok(text.split_whitespace().count())
    }
}

/// An event as one of the passage with this number.
fn addressed(event: Event, to: NodeId) -> Event {
    match event {
        Event::Piece {
            text, ids, healed, ..
        } => Event::Piece {
            node: to,
            text,
            ids,
            healed,
        },
        Event::Prefill {
            done,
            total,
            reused,
            cut,
            ..
        } => Event::Prefill {
            node: to,
            done,
            total,
            reused,
            cut,
        },
        Event::Rewound { phrase, .. } => Event::Rewound { node: to, phrase },
        event => event,
    }
}

//! A backend that answers from a cassette, without a model.

use super::Findings;
use crate::engine::backend::{Answer, Backend, Failure, Listener};
use base::progress::Observer;
use base::untrusted::clean_line;
use replay::cassette::event::{RecordedEvent, at_place, with_place};
use replay::cassette::question::{Kind, Question};
use replay::cassette::{Cassette, RecordedModel, Take};
use std::slice::from_ref;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};
use story::message::{Alternative, Capabilities, ContextReport, PassageStats, TextRequest};
use story::{ModelInfo, NodeId, Status};

/// The interval between checks for a stop request while waiting.
const TICK: Duration = Duration::from_millis(20);

/// A backend that plays the recorded answers of one model.
pub struct Player {
    model: RecordedModel,
    cassette: Arc<Cassette>,
    real_time: bool,
    findings: Arc<Findings>,
}

impl Player {
    pub fn new(
        model: RecordedModel,
        cassette: Arc<Cassette>,
        real_time: bool,
        findings: Arc<Findings>,
    ) -> Player {
        Player {
            model,
            cassette,
            real_time,
            findings,
        }
    }

    fn question(&self, kind: Kind, requests: &[TextRequest]) -> Question {
        Question::new(kind, &self.model.about.sha256, requests)
    }

    fn find(&self, question: &Question) -> Result<Take, Failure> {
        let found = self.cassette.answer(question, &self.findings.case());
        found.map_err(|missing| self.findings.report(*missing))
    }

    fn play(&self, kind: Kind, requests: &[TextRequest], listener: &dyn Listener) -> Answer {
        let take = self.find(&self.question(kind, requests))?;
        tell(&take, requests, listener, self.real_time, true)
    }

    /// Finds the recorded answer to a request that writes no passage, and returns its last event.
    fn only(&self, question: &Question) -> Result<RecordedEvent, Failure> {
        match self.find(question)?.events.pop() {
            Some((_, RecordedEvent::Failed { why, fault })) => {
                Err(Failure::new(clean_line(&why), fault))
            }
            Some((_, event)) => Ok(event),
            None => Err(unfit()),
        }
    }
}

/// Sends the events of a recorded answer to the listener. `tokens` says whether the recorded token
/// ids are valid for the loaded model.
pub fn tell(
    take: &Take,
    requests: &[TextRequest],
    listener: &dyn Listener,
    real_time: bool,
    tokens: bool,
) -> Answer {
    let began = Instant::now();
    for (time, event) in &take.events {
        if real_time && !wait(began, *time, listener) {
            return Ok((Status::Stopped, PassageStats::default()));
        }
        match event {
            RecordedEvent::Done {
                status,
                stats,
                begins,
            } => return Ok((*status, with_place(stats, *begins, requests))),
            RecordedEvent::Failed { why, fault } => {
                return Err(Failure::new(clean_line(why), *fault));
            }
            event => {
                let Some(event) = event.event(requests) else {
                    continue;
                };
                let event = if tokens { event } else { event.without_ids() };
                if listener.is_cancelled() || !listener.tell(event) {
                    return Ok((Status::Stopped, PassageStats::default()));
                }
            }
        }
    }
    Err(unfit())
}

/// Waits until `milliseconds` have passed since `began`. Returns false if stopped.
fn wait(began: Instant, milliseconds: f64, listener: &dyn Listener) -> bool {
    let until = Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or_default();
    while !listener.is_cancelled() {
        match until.checked_sub(began.elapsed()) {
            None | Some(Duration::ZERO) => return true,
            Some(left) => sleep(left.min(TICK)),
        }
    }
    false
}

fn unfit() -> Failure {
    Failure::engine(
        "The answer in the cassette belongs to another kind of request; record it again",
    )
}

impl Backend for Player {
    fn about(&self) -> &ModelInfo {
        &self.model.about
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            prefetch: false,
            warm_cache: false,
            reproducible: true,
            ..self.model.capabilities
        }
    }

    fn write(&mut self, request: &TextRequest, listener: &dyn Listener) -> Answer {
        self.play(Kind::Passage, from_ref(request), listener)
    }

    fn candidates(&mut self, requests: &[TextRequest], listener: &dyn Listener) -> Answer {
        self.play(Kind::Candidates, requests, listener)
    }

    fn alternatives(
        &mut self,
        request: &TextRequest,
        _listener: &dyn Listener,
    ) -> Result<Option<Vec<Alternative>>, Failure> {
        let question = self.question(Kind::Alternatives, from_ref(request));
        let RecordedEvent::Alternatives(found) = self.only(&question)? else {
            return Err(unfit());
        };
        Ok(Some(found))
    }

    fn explain(&mut self, request: &TextRequest) -> Result<ContextReport, Failure> {
        let question = self.question(Kind::Explain, from_ref(request));
        let RecordedEvent::Explained(mut report) = self.only(&question)? else {
            return Err(unfit());
        };
        let labels = report.segments.iter_mut().map(|segment| &mut segment.label);
        for text in labels.chain(&mut report.lore) {
            *text = clean_line(text);
        }
        Ok(report)
    }

    fn perplexity(
        &mut self,
        before: &str,
        text: &str,
        _observer: &dyn Observer,
    ) -> Result<Option<f64>, Failure> {
        let question = Question::perplexity(&self.model.about.sha256, before, text);
        let RecordedEvent::Perplexity(number) = self.only(&question)? else {
            return Err(unfit());
        };
        Ok(Some(number))
    }

    fn count_tokens(&self, text: &str) -> Result<usize, Failure> {
        let question = Question::count(&self.model.about.sha256, text);
        let RecordedEvent::Count(tokens) = self.only(&question)? else {
            return Err(unfit());
        };
        Ok(tokens)
    }

    fn context_start(&self, request: &TextRequest) -> Result<Option<(NodeId, usize)>, Failure> {
        let question = self.question(Kind::Start, from_ref(request));
        let RecordedEvent::Start(place) = self.only(&question)? else {
            return Err(unfit());
        };
        Ok(at_place(place, from_ref(request)))
    }
}

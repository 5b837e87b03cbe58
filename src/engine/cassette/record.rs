//! A backend that records the answers of another backend.

use super::Findings;
use crate::engine::backend::{Answer, Backend, Failure, Listener, Quiet};
use base::progress::{Cancelled, Observer};
use replay::cassette::event::{RecordedEvent, place_of};
use replay::cassette::question::{Kind, Question};
use replay::cassette::{RecordedScore, Take, Tape};
use std::cell::RefCell;
use std::slice::from_ref;
use std::sync::Arc;
use std::time::Instant;
use story::message::{
    Alternative, Capabilities, ContextReport, PassageScore, TextRequest, WarmCache, WrittenPassage,
};
use story::{Event, ModelInfo, NodeId, Status};

/// A backend that records the answers of `inner`.
pub struct Recorder {
    inner: Box<dyn Backend>,
    tape: Arc<Tape>,
    findings: Arc<Findings>,
}

impl Recorder {
    pub fn new(inner: Box<dyn Backend>, tape: Arc<Tape>, findings: Arc<Findings>) -> Recorder {
        Recorder {
            inner,
            tape,
            findings,
        }
    }

    /// Calls `answer`, which writes passages, and records the events.
    fn passages(
        &mut self,
        kind: Kind,
        requests: &[TextRequest],
        listener: &dyn Listener,
        answer: impl FnOnce(&mut dyn Backend, &dyn Listener) -> Answer,
    ) -> Answer {
        let ear = Ear {
            listener,
            requests,
            began: Instant::now(),
            heard: RefCell::default(),
        };
        let ended = answer(self.inner.as_mut(), &ear);
        let mut events = ear.heard.take();
        let time = milliseconds(ear.began);
        match &ended {
            // A stop cut the answer short.
            Ok((Status::Stopped, _)) => return ended,
            Ok((status, stats)) => {
                events.push((time, RecordedEvent::done(*status, stats, requests)))
            }
            Err(failure) => events.push((time, failed(failure))),
        }
        let question = Question::new(kind, &self.inner.about().sha256, requests);
        let mut take = self.take(question, events);
        take.scores = take
            .passages()
            .iter()
            .zip(requests)
            .map(|(passage, request)| self.scored(request, passage, listener))
            .collect();
        if take.scores.iter().all(Option::is_none) {
            take.scores.clear();
        }
        self.tape.answer(take);
        ended
    }

    /// Returns the log-probabilities of a passage, for later checks; None if the engine cannot
    /// compute them.
    fn scored(
        &mut self,
        request: &TextRequest,
        passage: &WrittenPassage,
        listener: &dyn Listener,
    ) -> Option<RecordedScore> {
        if passage.text.is_empty() {
            return None;
        }
        let quiet = Quiet(listener);
        let score = self.inner.score(request, passage, 0.0, &quiet).ok()?;
        score.map(|score| RecordedScore::new(&score))
    }

    fn take(&self, question: Question, events: Vec<(f64, RecordedEvent)>) -> Take {
        Take {
            case: self.findings.case(),
            ..Take::new(question, events)
        }
    }

    /// Records an answer that consists of a single event.
    fn note(&self, question: Question, began: Instant, event: RecordedEvent) {
        let events = vec![(milliseconds(began), event)];
        self.tape.answer(self.take(question, events));
    }
}

impl Backend for Recorder {
    fn about(&self) -> &ModelInfo {
        self.inner.about()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn write(&mut self, request: &TextRequest, listener: &dyn Listener) -> Answer {
        self.passages(Kind::Passage, from_ref(request), listener, |inner, ear| {
            inner.write(request, ear)
        })
    }

    fn candidates(&mut self, requests: &[TextRequest], listener: &dyn Listener) -> Answer {
        self.passages(Kind::Candidates, requests, listener, |inner, ear| {
            inner.candidates(requests, ear)
        })
    }

    fn alternatives(
        &mut self,
        request: &TextRequest,
        listener: &dyn Listener,
    ) -> Result<Option<Vec<Alternative>>, Failure> {
        let began = Instant::now();
        let found = self.inner.alternatives(request, listener);
        let event = match &found {
            Ok(None) => return found,
            Ok(Some(found)) => RecordedEvent::Alternatives(found.clone()),
            Err(failure) => failed(failure),
        };
        let model = &self.inner.about().sha256;
        let question = Question::new(Kind::Alternatives, model, from_ref(request));
        self.note(question, began, event);
        found
    }

    fn explain(&mut self, request: &TextRequest) -> Result<ContextReport, Failure> {
        let began = Instant::now();
        let explained = self.inner.explain(request);
        let event = match &explained {
            Ok(report) => RecordedEvent::Explained(report.clone()),
            Err(failure) => failed(failure),
        };
        let model = &self.inner.about().sha256;
        let question = Question::new(Kind::Explain, model, from_ref(request));
        self.note(question, began, event);
        explained
    }

    fn perplexity(
        &mut self,
        before: &str,
        text: &str,
        observer: &dyn Observer,
    ) -> Result<Option<f64>, Failure> {
        let began = Instant::now();
        let measured = self.inner.perplexity(before, text, observer);
        let event = match &measured {
            Ok(None) => return measured,
            // JSON has no infinity; without an answer, the request fails when it is played.
            Ok(Some(number)) if !number.is_finite() => return measured,
            Ok(Some(number)) => RecordedEvent::Perplexity(*number),
            Err(failure) => failed(failure),
        };
        let question = Question::perplexity(&self.inner.about().sha256, before, text);
        self.note(question, began, event);
        measured
    }

    fn score(
        &mut self,
        request: &TextRequest,
        passage: &WrittenPassage,
        slack: f64,
        listener: &dyn Listener,
    ) -> Result<Option<PassageScore>, Failure> {
        self.inner.score(request, passage, slack, listener)
    }

    fn prefetch(&mut self, request: &TextRequest, observer: &dyn Observer) {
        self.inner.prefetch(request, observer);
    }

    fn save_cache(&self) -> Option<WarmCache> {
        self.inner.save_cache()
    }

    fn restore_cache(&mut self, warm: &WarmCache) {
        self.inner.restore_cache(warm);
    }

    fn clear_cache(&mut self) {
        self.inner.clear_cache();
    }

    fn count_tokens(&self, text: &str) -> Result<usize, Failure> {
        let began = Instant::now();
        let counted = self.inner.count_tokens(text);
        let event = match &counted {
            Ok(tokens) => RecordedEvent::Count(*tokens),
            Err(failure) => failed(failure),
        };
        let question = Question::count(&self.inner.about().sha256, text);
        self.note(question, began, event);
        counted
    }

    fn context_start(&self, request: &TextRequest) -> Result<Option<(NodeId, usize)>, Failure> {
        let began = Instant::now();
        let start = self.inner.context_start(request);
        let event = match &start {
            Ok(place) => RecordedEvent::Start(place_of(*place, from_ref(request))),
            Err(failure) => failed(failure),
        };
        let question = Question::new(Kind::Start, &self.inner.about().sha256, from_ref(request));
        self.note(question, began, event);
        start
    }
}

fn failed(failure: &Failure) -> RecordedEvent {
    RecordedEvent::Failed {
        why: failure.why.clone(),
        fault: failure.fault,
    }
}

/// The time that has passed since `since`, in milliseconds, rounded to two decimals.
fn milliseconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 100_000.0).round() / 100.0
}

/// A listener that stores each event with its time.
struct Ear<'a> {
    listener: &'a dyn Listener,
    requests: &'a [TextRequest],
    began: Instant,
    heard: RefCell<Vec<(f64, RecordedEvent)>>,
}

impl Observer for Ear<'_> {
    fn progress(&self, step: &str, done: u64, total: Option<u64>) {
        self.listener.progress(step, done, total);
    }

    fn check(&self) -> Result<(), Cancelled> {
        self.listener.check()
    }
}

impl Listener for Ear<'_> {
    fn tell(&self, event: Event) -> bool {
        if let Some(event) = RecordedEvent::of(&event, self.requests) {
            let time = milliseconds(self.began);
            self.heard.borrow_mut().push((time, event));
        }
        self.listener.tell(event)
    }
}

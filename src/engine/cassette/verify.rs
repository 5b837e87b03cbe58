//! A backend that checks a model against a cassette: the recorded tokens of each passage are
//! evaluated in one pass, and each must be about as likely as when it was recorded. The story goes
//! on with the recorded passages.

use super::Findings;
use super::play::tell;
use crate::engine::backend::{Answer, Backend, Failure, Listener, Quiet};
use base::progress::Observer;
use replay::cassette::compare::compare;
use replay::cassette::question::{Kind, Question};
use replay::cassette::{Cassette, RecordedModel, Take};
use replay::report::Failure as Discrepancy;
use std::slice::from_ref;
use std::sync::Arc;
use story::message::{
    Alternative, Capabilities, ContextReport, FailureKind, PassageScore, PassageStats, TextRequest,
    WrittenPassage,
};
use story::{ModelInfo, NodeId, Status};

/// Checks the inner backend.
pub struct Verifier {
    inner: Box<dyn Backend>,
    cassette: Arc<Cassette>,
    tolerance: f64,
    findings: Arc<Findings>,
}

impl Verifier {
    pub fn new(
        inner: Box<dyn Backend>,
        cassette: Arc<Cassette>,
        tolerance: f64,
        findings: Arc<Findings>,
    ) -> Verifier {
        Verifier {
            inner,
            cassette,
            tolerance,
            findings,
        }
    }

    fn verify(&mut self, kind: Kind, requests: &[TextRequest], listener: &dyn Listener) -> Answer {
        let own = self.inner.about().clone();
        let question = Question::new(kind, &own.sha256, requests);
        let take = self.cassette.answer(&question);
        let take = take.map_err(|missing| self.findings.report(*missing))?;
        let recorded = self.cassette.model_with(&take.question.model).cloned();
        let recorded = recorded.unwrap_or_default();
        let same = recorded.about.sha256 == own.sha256;
        for (number, mut passage) in take.passages().into_iter().enumerate() {
            let Some(request) = requests.get(number).filter(|_| !passage.text.is_empty()) else {
                continue;
            };
            if !same && recorded.about.vocabulary != own.vocabulary {
                // Another vocabulary splits the text into other tokens.
                passage.ids.clear();
            }
            match self.inner.score(request, &passage, &Quiet(listener)) {
                Ok(Some(score)) => self.check(&take, number, &passage, &score, &recorded)?,
                Ok(None) => return Ok((Status::Stopped, PassageStats::default())),
                Err(failure) if failure.fault == FailureKind::Request => {
                    let found = Discrepancy {
                        why: format!("{}.", failure.why),
                        expected: Some(passage.text),
                        ..Discrepancy::default()
                    };
                    return Err(self.findings.report(found));
                }
                Err(failure) => return Err(failure),
            }
        }
        tell(&take, requests, listener, false, same)
    }

    fn check(
        &self,
        take: &Take,
        number: usize,
        passage: &WrittenPassage,
        score: &PassageScore,
        recorded: &RecordedModel,
    ) -> Result<(), Failure> {
        let known = take.scores.get(number).and_then(Option::as_ref);
        match compare(passage, known, score, self.tolerance) {
            Ok(agreement) => {
                self.findings.agree(agreement);
                Ok(())
            }
            Err(mut found) => {
                if recorded.about.sha256 != self.inner.about().sha256 {
                    found.why += &format!(" Another model was recorded: {}.", recorded.about.name);
                }
                Err(self.findings.report(*found))
            }
        }
    }
}

impl Backend for Verifier {
    fn about(&self) -> &ModelInfo {
        self.inner.about()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn write(&mut self, request: &TextRequest, listener: &dyn Listener) -> Answer {
        self.verify(Kind::Passage, from_ref(request), listener)
    }

    fn candidates(&mut self, requests: &[TextRequest], listener: &dyn Listener) -> Answer {
        self.verify(Kind::Candidates, requests, listener)
    }

    fn alternatives(
        &mut self,
        request: &TextRequest,
        listener: &dyn Listener,
    ) -> Result<Option<Vec<Alternative>>, Failure> {
        self.inner.alternatives(request, listener)
    }

    fn explain(&mut self, request: &TextRequest) -> Result<ContextReport, Failure> {
        self.inner.explain(request)
    }

    fn prefetch(&mut self, request: &TextRequest, observer: &dyn Observer) {
        self.inner.prefetch(request, observer);
    }

    fn clear_cache(&mut self) {
        self.inner.clear_cache();
    }

    fn count_tokens(&self, text: &str) -> Result<usize, Failure> {
        self.inner.count_tokens(text)
    }

    fn context_start(&self, request: &TextRequest) -> Result<Option<(NodeId, usize)>, Failure> {
        self.inner.context_start(request)
    }
}

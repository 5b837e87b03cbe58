//! A backend that checks a model against a cassette.
//!
//! The recorded tokens of each passage are evaluated in one pass, and each token must be about as
//! likely as when it was recorded. The story continues with the recorded passages.

use super::Findings;
use super::play::tell;
use crate::engine::backend::{Answer, Backend, Failure, Listener, Quiet};
use base::progress::Observer;
use replay::cassette::compare::compare;
use replay::cassette::question::{Kind, Question};
use replay::cassette::{Cassette, RecordedModel};
use replay::report::Failure as Discrepancy;
use std::slice::from_ref;
use std::sync::Arc;
use story::message::{
    Alternative, Capabilities, ContextReport, FailureKind, PassageStats, TextRequest,
};
use story::{ModelInfo, NodeId, Status};

/// The tolerance for log-probabilities if both engines are reproducible. A cassette stores
/// log-probabilities with five decimals.
const EXACT: f64 = 0.0001;
/// The tolerance for log-probabilities if one of the engines is not reproducible. On the default
/// model, the log-probabilities computed with 32-bit weights and activations differ from those of
/// illumine's own kernels by 0.05 on average and by 0.2 at most. With five-bit weights, the
/// differences are 0.3 and 1.8.
const ELSEWHERE: f64 = 0.5;

/// A backend that checks `inner` against a cassette.
pub struct Verifier {
    inner: Box<dyn Backend>,
    cassette: Arc<Cassette>,
    tolerance: Option<f64>,
    findings: Arc<Findings>,
}

impl Verifier {
    pub fn new(
        inner: Box<dyn Backend>,
        cassette: Arc<Cassette>,
        tolerance: Option<f64>,
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
        let take = self.cassette.answer(&question, &self.findings.case());
        let take = take.map_err(|missing| self.findings.report(*missing))?;
        let recorded = self.cassette.model_with(&take.question.model).cloned();
        let recorded = recorded.unwrap_or_default();
        let same = recorded.about.sha256 == own.sha256;
        for (number, mut passage) in take.passages().into_iter().enumerate() {
            let Some(request) = requests
                .get(number)
                .filter(|_| !passage.ids.is_empty() || !passage.text.is_empty())
            else {
                continue;
            };
            if !same && recorded.about.vocabulary != own.vocabulary {
                // Another vocabulary splits the text into other tokens.
                passage.ids.clear();
            }
            let tolerance = self.tolerance(&recorded);
            let quiet = Quiet(listener);
            match self.inner.score(request, &passage, tolerance, &quiet) {
                Ok(Some(score)) => {
                    let known = take.scores.get(number).and_then(Option::as_ref);
                    let (agreement, found) = compare(&passage, known, &score, tolerance);
                    self.findings.agree(agreement);
                    if let Some(found) = found {
                        return Err(self.disagreement(found, &recorded));
                    }
                }
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

    /// The maximum difference between a recorded log-probability and the computed one.
    fn tolerance(&self, recorded: &RecordedModel) -> f64 {
        let exact = recorded.capabilities.reproducible && self.inner.capabilities().reproducible;
        self.tolerance.unwrap_or(match exact {
            true => EXACT,
            false => ELSEWHERE,
        })
    }

    fn disagreement(&self, mut found: Discrepancy, recorded: &RecordedModel) -> Failure {
        let own = self.inner.about();
        if recorded.about.sha256 != own.sha256 {
            found.why += &format!(
                " The recorded answers are those of another model file: {} (SHA-256 {}…), not {}.",
                recorded.about.name,
                recorded.about.sha256.get(..12).unwrap_or_default(),
                own.name
            );
        }
        self.findings.report(found)
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

    fn perplexity(
        &mut self,
        before: &str,
        text: &str,
        observer: &dyn Observer,
    ) -> Result<Option<f64>, Failure> {
        self.inner.perplexity(before, text, observer)
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

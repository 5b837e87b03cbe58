//! Recorded answers: records what any backend answers, plays it without a model, and checks a model
//! against it.

mod play;
mod record;
mod verify;

use super::backend::{Backend, Failure};
use super::load::{LoadError, Loader};
use base::progress::Observer;
use imagegen::Illuminator;
use imagegen::upscaler::Upscaler;
use llm::sentence_encoder::SentenceEncoder;
use play::Player;
use record::Recorder;
use replay::cassette::compare::Agreement;
use replay::cassette::{Cassette, RecordedModel, Tape};
use replay::report::Failure as Discrepancy;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use story::message::FailureKind;
use verify::Verifier;

/// What to do with a cassette.
#[derive(Clone)]
pub enum Use {
    Record(Arc<Tape>),
    Play {
        cassette: Arc<Cassette>,
        /// Whether each event takes as long as when it was recorded.
        real_time: bool,
    },
    Verify {
        cassette: Arc<Cassette>,
        /// How far log-probabilities may differ; None for the usual tolerance.
        tolerance: Option<f64>,
    },
}

/// A loader whose text models record, play or verify a cassette. Pictures and the text encoder are
/// those of the inner loader.
pub struct CassetteLoader<L> {
    pub inner: L,
    pub used: Use,
    pub findings: Arc<Findings>,
}

/// What playing or verifying found for one engine, and the case that it runs.
#[derive(Default)]
pub struct Findings {
    case: Mutex<String>,
    discrepancy: Mutex<Option<Discrepancy>>,
    agreement: Arc<Mutex<Agreement>>,
}

impl Findings {
    /// The findings of another engine, whose agreement counts together with this one's.
    pub fn of_another_engine(&self) -> Findings {
        Findings {
            case: Mutex::default(),
            discrepancy: Mutex::default(),
            agreement: self.agreement.clone(),
        }
    }

    /// Notes the case that makes the next requests.
    pub fn begin_case(&self, case: &str) {
        *lock(&self.case) = case.to_string();
    }

    fn case(&self) -> String {
        lock(&self.case).clone()
    }

    /// Takes the explanation of the last request that failed because of the cassette.
    pub fn take(&self) -> Option<Discrepancy> {
        lock(&self.discrepancy).take()
    }

    /// How well the verified tokens agree.
    pub fn agreement(&self) -> Agreement {
        *lock(&self.agreement)
    }

    fn agree(&self, agreement: Agreement) {
        lock(&self.agreement).add(agreement);
    }

    /// Keeps the explanation, and returns the failure of the request.
    fn report(&self, found: Discrepancy) -> Failure {
        let failure = Failure::new(found.why.trim_end_matches('.'), FailureKind::Request);
        *lock(&self.discrepancy) = Some(found);
        failure
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<L: Loader> Loader for CassetteLoader<L> {
    fn load(
        &mut self,
        model: &str,
        observer: &dyn Observer,
    ) -> Result<Box<dyn Backend>, LoadError> {
        Ok(match &self.used {
            Use::Record(tape) => {
                let inner = self.inner.load(model, observer)?;
                tape.model(RecordedModel {
                    requested: model.to_string(),
                    about: inner.about().clone(),
                    capabilities: inner.capabilities(),
                });
                let findings = self.findings.clone();
                Box::new(Recorder::new(inner, tape.clone(), findings))
            }
            Use::Play {
                cassette,
                real_time,
            } => {
                let model = cassette.model(model).map_err(LoadError::Failed)?.clone();
                let findings = self.findings.clone();
                Box::new(Player::new(model, cassette.clone(), *real_time, findings))
            }
            Use::Verify {
                cassette,
                tolerance,
            } => {
                let inner = self.inner.load(model, observer)?;
                let findings = self.findings.clone();
                Box::new(Verifier::new(inner, cassette.clone(), *tolerance, findings))
            }
        })
    }

    fn encoder(&mut self, observer: &dyn Observer) -> Result<SentenceEncoder, LoadError> {
        self.inner.encoder(observer)
    }

    fn illuminator(&mut self, observer: &dyn Observer) -> Result<(Illuminator, String), LoadError> {
        self.inner.illuminator(observer)
    }

    fn illuminator_and_encoder(
        &mut self,
        observer: &dyn Observer,
    ) -> Result<((Illuminator, String), SentenceEncoder), LoadError> {
        self.inner.illuminator_and_encoder(observer)
    }

    fn upscaler(&mut self, observer: &dyn Observer) -> Result<Upscaler, LoadError> {
        self.inner.upscaler(observer)
    }
}

#[cfg(test)]
mod tests;

//! Uses cassettes with text models: records a model's answers, plays recorded answers without a
//! model, or checks a model against recorded answers.

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

/// What a loader does with a cassette.
#[derive(Clone)]
pub enum Use {
    Record(Arc<Tape>),
    Play {
        cassette: Arc<Cassette>,
        /// Whether the recorded delays of the events are reproduced; if false, all events are sent
        /// immediately.
        real_time: bool,
    },
    Verify {
        cassette: Arc<Cassette>,
        /// The maximum difference between a recorded log-probability and the computed one; None for
        /// the default tolerance.
        tolerance: Option<f64>,
    },
}

/// A loader whose text models record, play or verify a cassette. The image models and the text
/// encoder are loaded by the inner loader.
pub struct CassetteLoader<L> {
    pub inner: L,
    pub used: Use,
    pub findings: Arc<Findings>,
}

/// The discrepancies that one engine found while it played or verified a cassette, and the case
/// that the engine runs.
#[derive(Default)]
pub struct Findings {
    case: Mutex<String>,
    discrepancy: Mutex<Option<Discrepancy>>,
    agreement: Arc<Mutex<Agreement>>,
}

impl Findings {
    /// Returns empty findings for another engine. They share the [`Agreement`] of `self`, which
    /// counts the tokens of both engines.
    pub fn of_another_engine(&self) -> Findings {
        Findings {
            case: Mutex::default(),
            discrepancy: Mutex::default(),
            agreement: self.agreement.clone(),
        }
    }

    /// Stores the name of the case that makes the next requests.
    pub fn begin_case(&self, case: &str) {
        *lock(&self.case) = case.to_string();
    }

    fn case(&self) -> String {
        lock(&self.case).clone()
    }

    /// Removes and returns the explanation of the last request that failed because of the cassette.
    pub fn take(&self) -> Option<Discrepancy> {
        lock(&self.discrepancy).take()
    }

    /// How well the log-probabilities of the verified tokens agree with the recorded ones.
    pub fn agreement(&self) -> Agreement {
        *lock(&self.agreement)
    }

    fn agree(&self, agreement: Agreement) {
        lock(&self.agreement).add(agreement);
    }

    /// Stores the explanation of a failed request, and returns the failure to report for the
    /// request.
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

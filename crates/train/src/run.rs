//! The training loop that all phases share: steps, checkpoints, resuming, and warnings about the
//! metrics.
//!
//! The loop does not depend on the model. A phase that trains another model supplies its own model
//! description, of type `C`, which identifies the checkpoints of the model.

use super::TrainError;
use super::checkpoint::{self, RunState};
use super::phase::{Phase, SampleSheet};
use super::step::{Metrics, Step};
use base::progress::Observer;
use candle_core::Device;
use imagegen::config::Config;
use sampler::rng::{Rng, derive};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// The schedule of a phase: the seed, the number of steps, the batch size, the learning rate, and
/// the intervals between checkpoints and between sample sheets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    pub seed: u64,
    /// The number of examples per step.
    pub batch_size: usize,
    /// The total number of steps.
    pub steps: u64,
    /// The number of final steps over which the learning rate falls.
    pub decay_steps: u64,
    pub learning_rate: f64,
    /// The number of steps between checkpoints.
    pub checkpoint_every: u64,
    /// The number of steps between sample sheets. A sample sheet is also drawn after the last step.
    pub sample_every: u64,
}

/// The plan for training one phase. `C` is the type of the model's description; the default is the
/// image model's config.
#[derive(Clone, Debug)]
pub struct Plan<C = Config> {
    /// The folder for checkpoints.
    pub folder: PathBuf,
    pub config: C,
    /// The SHA-256 of the dataset.
    pub dataset: String,
    pub schedule: Schedule,
}

/// The description of a model in a checkpoint. Two descriptions are equal if the tensors of their
/// models are compatible.
pub trait ModelDescription: Clone + PartialEq + Serialize + DeserializeOwned {}

impl<C: Clone + PartialEq + Serialize + DeserializeOwned> ModelDescription for C {}

/// An event during training.
pub enum TrainingEvent<'a> {
    /// Training resumes from a checkpoint. The number is how many steps were finished when the
    /// checkpoint was saved.
    Resumed(u64),
    Step {
        number: u64,
        metrics: &'a Metrics,
    },
    /// A checkpoint was saved after this number of steps.
    Checkpointed(u64),
    Sheet(SampleSheet),
    /// A warning for the user about the metrics.
    Warning(&'a str),
}

/// How training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    Done,
    Stopped,
}

/// The number of steps at the start of training over which the learning rate rises.
const WARMUP_STEPS: f64 = 50.0;
/// The lowest learning rate that the decay reaches, as a share of the full rate.
const FINAL_RATE: f64 = 0.05;

/// Trains a phase until its plan is finished or the observer cancels. In both cases a checkpoint is
/// written at the end.
pub fn run<C: ModelDescription>(
    phase: &mut dyn Phase,
    plan: &Plan<C>,
    device: &Device,
    observer: &dyn Observer,
    on_event: &mut dyn FnMut(TrainingEvent),
) -> Result<RunOutcome, TrainError> {
    let schedule = &plan.schedule;
    let path = checkpoint::path(&plan.folder, phase.name());
    let disk = |why: std::io::Error| TrainError::Disk(plan.folder.clone(), why.to_string());
    std::fs::create_dir_all(&plan.folder).map_err(disk)?;
    let mut done = 0;
    if let Some((state, parts)) = checkpoint::read(&path, device)? {
        check_same_run(&path, &state, plan)?;
        phase.restore(parts)?;
        done = state.step;
        on_event(TrainingEvent::Resumed(done));
    }
    let mut monitor = Monitor::default();
    while done < schedule.steps {
        let number = done + 1;
        let step = Step {
            number,
            learning_rate: schedule.learning_rate_at(number),
        };
        let mut rng = Rng::new(derive(schedule.seed, number));
        let metrics = phase.step(step, &mut rng)?;
        if metrics.iter().any(|(_, value)| !value.is_finite()) {
            return Err(TrainError::Diverged(number));
        }
        done = number;
        if let Some(warning) = monitor.check(&metrics) {
            on_event(TrainingEvent::Warning(warning));
        }
        let metrics = &metrics;
        on_event(TrainingEvent::Step { number, metrics });
        let cancelled = observer.is_cancelled();
        let last = done == schedule.steps;
        if cancelled || last || done % schedule.checkpoint_every.max(1) == 0 {
            let state = plan.state(phase.name(), done);
            checkpoint::write(&path, &state, &phase.parts()?)?;
            on_event(TrainingEvent::Checkpointed(done));
        }
        let due = last || done % schedule.sample_every.max(1) == 0;
        if due && let Some(sheet) = phase.sheet()? {
            on_event(TrainingEvent::Sheet(sheet));
        }
        if cancelled {
            return Ok(RunOutcome::Stopped);
        }
    }
    Ok(RunOutcome::Done)
}

impl<C: ModelDescription> Plan<C> {
    fn state(&self, phase: &str, step: u64) -> RunState<C> {
        RunState {
            phase: phase.to_string(),
            step,
            config: self.config.clone(),
            seed: self.schedule.seed,
            batch_size: self.schedule.batch_size,
            dataset: self.dataset.clone(),
        }
    }
}

/// Checks that a checkpoint was trained with the same dataset, model, batch size and seed as the
/// plan.
fn check_same_run<C: ModelDescription>(
    path: &Path,
    found: &RunState<C>,
    plan: &Plan<C>,
) -> Result<(), TrainError> {
    let other = |what| Err(TrainError::DifferentRun(path.into(), what));
    match () {
        // Different captions also change the config, since embeddings are centred on their mean.
        () if found.dataset != plan.dataset => other("dataset"),
        () if found.config != plan.config => other("model size"),
        () if found.batch_size != plan.schedule.batch_size => other("--batch"),
        () if found.seed != plan.schedule.seed => other("--seed"),
        () => Ok(()),
    }
}

impl Schedule {
    /// The learning rate of step `number`. It rises over the first steps and falls over the last
    /// steps.
    fn learning_rate_at(&self, number: u64) -> f64 {
        let left = (self.steps - number.min(self.steps)) as f64;
        let decay = match self.decay_steps {
            0 => 1.0,
            steps => (left / steps as f64).clamp(FINAL_RATE, 1.0),
        };
        self.learning_rate * (number as f64 / WARMUP_STEPS).min(1.0) * decay
    }
}

/// Detects slow failures of training: a discriminator that overpowers the generator, a collapsed
/// generator, or a rising loss.
#[derive(Default)]
struct Monitor {
    /// The moving average of the loss over about fifty steps.
    smooth: Option<f64>,
    /// The lowest value of `smooth` so far.
    best: f64,
    steps: u64,
    /// For how many steps in a row, up to now, the gap between real and fake scores has been large.
    won: u64,
    /// For how many steps in a row, up to now, the generated pictures have been nearly identical.
    alike: u64,
    warned: [bool; 3],
}

/// The number of steps to wait before a warning. A rising loss is reported only after this many
/// steps of training; any other failure is reported once it has lasted longer than this many steps.
const PATIENCE: u64 = 200;

impl Monitor {
    fn check(&mut self, metrics: &Metrics) -> Option<&'static str> {
        let value = |name: &str| {
            metrics
                .iter()
                .find(|(own, _)| *own == name)
                .map(|(_, v)| *v)
        };
        self.steps += 1;
        if let Some(loss) = value("loss") {
            let smooth = self
                .smooth
                .map_or(loss, |smooth| 0.98 * smooth + 0.02 * loss);
            self.smooth = Some(smooth);
            self.best = if self.steps == 1 {
                smooth
            } else {
                self.best.min(smooth)
            };
        }
        let rises =
            self.steps > PATIENCE && self.smooth.unwrap_or(0.0) > 2.0 * self.best.abs().max(1e-9);
        let count = |so_far: u64, now: bool| if now { so_far + 1 } else { 0 };
        self.won = count(self.won, value("gap").is_some_and(|gap| gap > 8.0));
        self.alike = count(
            self.alike,
            value("spread").is_some_and(|spread| spread < 0.01),
        );
        let found = [rises, self.won > PATIENCE, self.alike > PATIENCE];
        let words = [
            "The loss is twice its minimum: training may be diverging; try a lower --learning-rate",
            "The discriminator has been right about every picture for a while: it may have won; try a lower --adversarial or a higher --r1",
            "The pictures of a batch have looked the same for a while: the generator may have collapsed",
        ];
        let first = (0..3).find(|at| found[*at] && !self.warned[*at])?;
        self.warned[first] = true;
        Some(words[first])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let json = include_bytes!("../../../tests/reference/illuminator/config.json");
        Plan {
            folder: PathBuf::new(),
            config: Config::parse(json).unwrap(),
            dataset: String::new(),
            schedule: Schedule {
                seed: 1,
                batch_size: 4,
                steps: 1_000,
                decay_steps: 100,
                learning_rate: 1.0,
                checkpoint_every: 10,
                sample_every: 10,
            },
        }
    }

    #[test]
    fn the_rate_rises_stays_and_falls() {
        let schedule = plan().schedule;
        let rates = [1, 25, 50, 900, 950, 1_000].map(|number| schedule.learning_rate_at(number));
        assert_eq!(rates, [0.02, 0.5, 1.0, 1.0, 0.5, 0.05]);
    }

    #[test]
    fn a_checkpoint_of_something_else_is_refused_by_its_name() {
        let mut other = plan().state("paint", 0);
        other.batch_size = 8;
        let why = check_same_run(Path::new("run"), &other, &plan()).unwrap_err();
        assert!(why.to_string().contains("different --batch"), "{why}");
    }

    #[test]
    fn what_goes_wrong_slowly_is_said_once() {
        let said = |metrics: &dyn Fn(u64) -> Metrics| {
            let mut monitor = Monitor::default();
            (0..2_000)
                .filter_map(|n| monitor.check(&metrics(n)))
                .collect::<Vec<_>>()
        };
        assert_eq!(said(&|n| vec![("loss", 3.0 - n as f64 / 1_000.0)]), [""; 0]);
        assert!(said(&|n| vec![("loss", 1.0 + n as f64 / 100.0)])[0].contains("diverging"));
        let won = said(&|_| vec![("gap", 20.0)]);
        assert!(won.len() == 1 && won[0].contains("discriminator"));
        assert!(said(&|_| vec![("spread", 0.0)])[0].contains("collapsed"));
    }
}

//! The loop that all phases share: count, keep, resume, watch over the numbers.

use super::TrainError;
use super::checkpoint::{self, Parts, RunState};
use candle_core::Device;
use sampler::rng::{Rng, derive};
use std::path::{Path, PathBuf};

/// Numbers of a step, by name.
pub type Metrics = Vec<(&'static str, f64)>;

/// One of the phases.
pub trait Phase {
    fn name(&self) -> &'static str;

    /// Everything that the next step depends on, besides its number and its chance.
    fn parts(&self) -> Result<Parts, TrainError>;

    /// Goes on from what was kept.
    fn restore(&mut self, parts: Parts) -> Result<(), TrainError>;

    /// One step; `number` counts from 1. All chance comes from `rng`.
    fn step(&mut self, number: u64, rate: f64, rng: &mut Rng) -> Result<Metrics, TrainError>;

    /// What to look at: pictures side by side, in rows.
    fn sheet(&self) -> Result<Sheet, TrainError>;
}

/// Rows of pictures, each `[4, size, size]` as bytes of premultiplied RGBA.
pub struct Sheet {
    pub size: usize,
    pub rows: Vec<Vec<Vec<u8>>>,
}

/// How long and how fast.
#[derive(Clone, Debug)]
pub struct Plan {
    pub folder: PathBuf,
    pub state: RunState,
    /// Steps in all.
    pub steps: u64,
    /// Of these, the last ones on which the rate falls.
    pub decay: u64,
    pub rate: f64,
    /// Steps between checkpoints.
    pub keep: u64,
    /// Steps between sheets; there is one at the end in any case.
    pub sheets: u64,
}

/// What the watcher is told.
pub enum TrainingEvent<'a> {
    /// A checkpoint was found: so many steps are done.
    Resumed(u64),
    Step {
        number: u64,
        metrics: &'a Metrics,
    },
    /// A checkpoint was written.
    Kept(u64),
    /// Something to look at.
    Sheet(Sheet),
    /// Something about the numbers that a person should know.
    Warning(&'a str),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    Done,
    Stopped,
}

/// Steps over which the rate rises at the start.
const WARM: f64 = 50.0;
/// What the rate falls to, of itself.
const LAST: f64 = 0.05;

/// Runs a phase to the end of its plan, or until the watcher says no; either way a checkpoint is
/// kept.
pub fn run(
    phase: &mut dyn Phase,
    plan: &Plan,
    device: &Device,
    watch: &mut dyn FnMut(TrainingEvent) -> bool,
) -> Result<RunOutcome, TrainError> {
    let path = checkpoint_path(&plan.folder, phase.name());
    let disk = |why: std::io::Error| TrainError::Disk(plan.folder.clone(), why.to_string());
    std::fs::create_dir_all(&plan.folder).map_err(disk)?;
    let mut done = 0;
    if let Some((state, parts)) = checkpoint::read(&path, device)? {
        same(&path, &state, &plan.state)?;
        phase.restore(parts)?;
        done = state.step;
        watch(TrainingEvent::Resumed(done));
    }
    let mut guard = Guard::default();
    let mut end = RunOutcome::Done;
    while done < plan.steps {
        let number = done + 1;
        let mut rng = Rng::new(derive(plan.state.seed, number));
        let metrics = phase.step(number, rate(plan, number), &mut rng)?;
        if metrics.iter().any(|(_, value)| !value.is_finite()) {
            return Err(TrainError::Diverged(number));
        }
        done = number;
        if let Some(warning) = guard.look(&metrics) {
            watch(TrainingEvent::Warning(warning));
        }
        let metrics = &metrics;
        let go_on = watch(TrainingEvent::Step { number, metrics });
        if !go_on || done == plan.steps || done % plan.keep.max(1) == 0 {
            keep(phase, plan, &path, done)?;
            watch(TrainingEvent::Checkpointed(done));
        }
        if done == plan.steps || done % plan.sheets.max(1) == 0 {
            watch(TrainingEvent::Sheet(phase.sheet()?));
        }
        if !go_on {
            end = RunOutcome::Stopped;
            break;
        }
    }
    Ok(end)
}

/// Where a phase of a run is kept.
pub fn checkpoint_path(folder: &Path, phase: &str) -> PathBuf {
    folder.join(format!("{phase}.safetensors"))
}

fn keep(phase: &dyn Phase, plan: &Plan, path: &Path, step: u64) -> Result<(), TrainError> {
    let state = RunState {
        phase: phase.name().to_string(),
        step,
        ..plan.state.clone()
    };
    checkpoint::write(path, &state, &phase.parts()?)
}

/// A checkpoint is gone on from only with what it was made with.
fn same(path: &Path, found: &RunState, wanted: &RunState) -> Result<(), TrainError> {
    let other = |what| Err(TrainError::DifferentRun(path.into(), what));
    match () {
        // Other words change the sizes too, since embeddings are centred on their mean.
        () if found.data != wanted.data => other("dataset"),
        () if found.config != wanted.config => other("model size"),
        () if found.batch != wanted.batch => other("--batch"),
        () if found.seed != wanted.seed => other("--seed"),
        () => Ok(()),
    }
}

/// Rises at first, stays, and falls on the last steps.
fn rate(plan: &Plan, number: u64) -> f64 {
    let left = (plan.steps - number.min(plan.steps)) as f64;
    let fall = match plan.decay {
        0 => 1.0,
        decay => (left / decay as f64).clamp(LAST, 1.0),
    };
    plan.rate * (number as f64 / WARM).min(1.0) * fall
}

/// Watches for what a person would see too late: a discriminator that has won, pictures that no
/// longer differ, and a loss that climbs.
#[derive(Default)]
struct Guard {
    smooth: Option<f64>,
    best: f64,
    seen: u64,
    won: u64,
    alike: u64,
    said: [bool; 3],
}

const LONG: u64 = 200;

impl Guard {
    fn look(&mut self, metrics: &Metrics) -> Option<&'static str> {
        let value = |name: &str| {
            metrics
                .iter()
                .find(|(own, _)| *own == name)
                .map(|(_, v)| *v)
        };
        self.seen += 1;
        if let Some(loss) = value("loss") {
            let smooth = self
                .smooth
                .map_or(loss, |smooth| 0.98 * smooth + 0.02 * loss);
            self.smooth = Some(smooth);
            self.best = if self.seen == 1 {
                smooth
            } else {
                self.best.min(smooth)
            };
        }
        let climbs =
            self.seen > LONG && self.smooth.unwrap_or(0.0) > 2.0 * self.best.abs().max(1e-9);
        let count = |so_far: u64, now: bool| if now { so_far + 1 } else { 0 };
        self.won = count(self.won, value("gap").is_some_and(|gap| gap > 8.0));
        self.alike = count(
            self.alike,
            value("spread").is_some_and(|spread| spread < 0.01),
        );
        let found = [climbs, self.won > LONG, self.alike > LONG];
        let words = [
            "The loss is twice its minimum: training may be diverging; try a lower --learning-rate",
            "The discriminator has been right on every picture for a while: it may have won; try a lower --adversarial or a higher --r1",
            "The pictures of a batch have looked the same for a while: the generator may have collapsed",
        ];
        let news = (0..3).find(|at| found[*at] && !self.said[*at])?;
        self.said[news] = true;
        Some(words[news])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let json = include_bytes!("../../../tests/reference/illuminator/config.json");
        Plan {
            folder: PathBuf::new(),
            state: RunState {
                phase: String::new(),
                config: imagegen::config::Config::parse(json).unwrap(),
                seed: 1,
                batch: 4,
                step: 0,
                data: String::new(),
            },
            steps: 1_000,
            decay: 100,
            rate: 1.0,
            keep: 10,
            sheets: 10,
        }
    }

    #[test]
    fn the_rate_rises_stays_and_falls() {
        let rates = [1, 25, 50, 900, 950, 1_000].map(|number| rate(&plan(), number));
        assert_eq!(rates, [0.02, 0.5, 1.0, 1.0, 0.5, 0.05]);
    }

    #[test]
    fn a_checkpoint_of_something_else_is_refused_by_its_name() {
        let mut other = plan().state;
        other.batch = 8;
        let why = same(Path::new("run"), &other, &plan().state).unwrap_err();
        assert!(why.to_string().contains("another --batch"), "{why}");
    }

    #[test]
    fn what_goes_wrong_slowly_is_said_once() {
        let said = |metrics: &dyn Fn(u64) -> Metrics| {
            let mut guard = Guard::default();
            (0..2_000)
                .filter_map(|n| guard.look(&metrics(n)))
                .collect::<Vec<_>>()
        };
        assert_eq!(said(&|n| vec![("loss", 3.0 - n as f64 / 1_000.0)]), [""; 0]);
        assert!(said(&|n| vec![("loss", 1.0 + n as f64 / 100.0)])[0].contains("diverging"));
        let won = said(&|_| vec![("gap", 20.0)]);
        assert!(won.len() == 1 && won[0].contains("discriminator"));
        assert!(said(&|_| vec![("spread", 0.0)])[0].contains("collapsed"));
    }
}

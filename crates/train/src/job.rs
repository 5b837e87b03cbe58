//! Training jobs. A job determines the phase, dataset, model size and losses of a training run.

use super::TrainError;
use super::batches::Batches;
use super::checkpoint::{self, Parts, RunState};
use super::data::dataset::Dataset;
use super::export::{load_checkpoint, take_ema};
use super::losses::LossWeights;
use super::one_pass::phase::OnePassPhase;
use super::one_pass::{Sizes, is_one_pass};
use super::paint::PaintPhase;
use super::perceptual::PerceptualLoss;
use super::phase::{Autoencoder, Phase, PhaseInput, PhaseKind};
use super::pretrained::{PretrainedWeights, start_tensors};
use super::reconstruct::ReconstructPhase;
use super::refine::{RefinePhase, RefineStart};
use super::run::{Plan, RunOutcome, Schedule, TrainingEvent, run};
use super::tokens::TokensPhase;
use super::variables::Tensors;
use base::progress::Observer;
use candle_core::{Device, Tensor};
use imagegen::config::Config;
use llm::device;
use llm::sentence_encoder::WIDTH;
use std::path::PathBuf;

/// The description of a training job.
#[derive(Clone, Debug)]
pub struct Job {
    pub phase: PhaseKind,
    /// The folder with the training run's checkpoints.
    pub run: PathBuf,
    /// Whether to train a small model instead of a model of the shipped size.
    pub small: bool,
    /// A folder of weights to start from. It is used only if the run has no checkpoint yet.
    pub from: Option<PathBuf>,
    pub device: device::DeviceChoice,
    pub schedule: Schedule,
    pub weights: LossWeights,
    /// The file of the perceptual network. It is required if the weight of the perceptual loss is
    /// above 0.
    pub perceptual_network: Option<PathBuf>,
}

/// The training data of a job.
#[derive(Clone, Copy)]
pub struct TrainingData<'a> {
    pub dataset: &'a Dataset,
    /// The SHA-256 of the dataset.
    pub sha256: &'a str,
    /// The embeddings of the dataset's captions: `[captions, WIDTH]`, each of unit length.
    pub embeddings: &'a [f32],
}

/// Runs a training job until it is finished or the observer cancels it.
pub fn train(
    job: &Job,
    data: TrainingData,
    observer: &dyn Observer,
    on_event: &mut dyn FnMut(TrainingEvent),
) -> Result<RunOutcome, TrainError> {
    let dataset = data.dataset;
    let start = check(job, &dataset.styles)?;
    let device = device::open(job.device).map_err(|why| TrainError::Compute(why.to_string()))?;
    let first = first_phase(job, start.as_ref(), &device)?;
    let config = match (&first, &start) {
        // With other styles, the style numbers would change their meaning.
        (Some((state, _)), _) if state.config.styles != dataset.styles => {
            let path = PhaseKind::Reconstruct.checkpoint(&job.run);
            return Err(TrainError::DifferentRun(path, "dataset"));
        }
        (Some((state, _)), _) => state.config.clone(),
        (None, Some(start)) => start.config.clone(),
        (None, None) => new_config(job, data),
    };
    if dataset.size as usize != config.size {
        return Err(TrainError::Size(dataset.size, config.size));
    }
    let resumes = job.phase.checkpoint(&job.run).is_file();
    let start_warning = start
        .as_ref()
        .filter(|_| !resumes)
        .and_then(PretrainedWeights::new_styles_warning);
    if let Some(warning) = start_warning {
        on_event(TrainingEvent::Warning(&warning));
    }
    let rows = data.embeddings.chunks(config.text);
    let centred: Vec<f32> = rows.flat_map(|row| config.normalize_text(row)).collect();
    let count = data.embeddings.len() / config.text;
    let text = Tensor::from_vec(centred, (count, config.text), &device)?;
    let batches = Batches::new(dataset, text)?;
    let input = PhaseInput {
        batches: &batches,
        config: &config,
        batch_size: job.schedule.batch_size,
        seed: job.schedule.seed,
    };
    let plan = Plan {
        folder: job.run.clone(),
        config: config.clone(),
        dataset: data.sha256.to_string(),
        schedule: job.schedule,
    };
    let mut phase = new_phase(job, input, start.as_ref(), first)?;
    run(phase.as_mut(), &plan, &device, observer, on_event)
}

/// Checks the folders of a job, and returns the weights that the job starts from. This function is
/// called before anything is downloaded or computed for the job.
pub fn check(job: &Job, styles: &[String]) -> Result<Option<PretrainedWeights>, TrainError> {
    check_single_design(job)?;
    if job.phase == PhaseKind::Refine && job.weights.perceptual == 0.0 {
        return Err(TrainError::NoPerceptualNetwork);
    }
    let Some(folder) = &job.from else {
        return Ok(None);
    };
    let start = PretrainedWeights::load(folder, styles)?;
    check_start_design(job.phase, &start)?;
    Ok(Some(start))
}

/// Checks that a run's folder contains phases of only one design, so that it is clear which design
/// to export.
fn check_single_design(job: &Job) -> Result<(), TrainError> {
    let one_pass = job.phase.is_one_pass();
    let others = PhaseKind::ALL
        .into_iter()
        .filter(|kind| kind.is_one_pass() != one_pass);
    let mut paths = others.map(|kind| kind.checkpoint(&job.run));
    match paths.find(|path| path.is_file()) {
        Some(path) => Err(TrainError::DifferentRun(path, "design")),
        None => Ok(()),
    }
}

/// Checks that a phase of one design does not start from weights of the other design.
fn check_start_design(phase: PhaseKind, start: &PretrainedWeights) -> Result<(), TrainError> {
    let why = match (phase.is_one_pass(), is_one_pass(&start.config)) {
        (true, false) => "they use tokens, which the phase direct does not train",
        (false, true) => "they draw in one pass, which only the phase direct trains",
        (true, true) | (false, false) => return Ok(()),
    };
    Err(TrainError::Pretrained(start.folder.clone(), why.into()))
}

/// Loads the checkpoint of the first phase, for the phases that build on it. The first phase must
/// have started from the same weights as this phase; otherwise the same tokens would have different
/// meanings in the two phases.
fn first_phase(
    job: &Job,
    start: Option<&PretrainedWeights>,
    device: &Device,
) -> Result<Option<(RunState, Parts)>, TrainError> {
    match job.phase {
        PhaseKind::Reconstruct | PhaseKind::Direct => return Ok(None),
        PhaseKind::Tokens | PhaseKind::Paint | PhaseKind::Refine => {}
    }
    let Some(start) = start else {
        return load_checkpoint(&job.run, PhaseKind::Reconstruct, device).map(Some);
    };
    let path = PhaseKind::Reconstruct.checkpoint(&job.run);
    let found = checkpoint::read(&path, device)?;
    match found {
        Some((state, _)) if state.config != start.config => {
            Err(TrainError::DifferentRun(path, "--from"))
        }
        found => Ok(found),
    }
}

/// Loads the averaged weights of a network from a phase's checkpoint, or returns None if there is
/// no checkpoint.
fn trained(
    job: &Job,
    phase: PhaseKind,
    name: &str,
    device: &Device,
) -> Result<Option<Tensors>, TrainError> {
    match checkpoint::read::<Config>(&phase.checkpoint(&job.run), device)? {
        Some((_, mut parts)) => take_ema(&mut parts, name).map(Some),
        None => Ok(None),
    }
}

/// Returns the config of a model that starts from random weights.
fn new_config(job: &Job, data: TrainingData) -> Config {
    let (mean, scale) = mean_and_deviation(data.embeddings, WIDTH);
    let styles = data.dataset.styles.clone();
    let (config, sizes) = match job.small {
        true => (Config::small(styles, mean, scale), Sizes::SMALL),
        false => (Config::full(styles, mean, scale), Sizes::FULL),
    };
    Config {
        other_design: sizes.section().filter(|_| job.phase.is_one_pass()),
        ..config
    }
}

/// Returns the mean of each column of `rows` `[count, width]`, and a single standard deviation:
/// that of all values from their column's mean.
fn mean_and_deviation(rows: &[f32], width: usize) -> (Vec<f32>, f32) {
    let count = (rows.len() / width).max(1) as f64;
    let mut mean = vec![0f64; width];
    for row in rows.chunks_exact(width) {
        mean.iter_mut()
            .zip(row)
            .for_each(|(sum, x)| *sum += f64::from(*x) / count);
    }
    let pairs = rows
        .chunks_exact(width)
        .flat_map(|row| row.iter().zip(&mean));
    let square: f64 = pairs.map(|(x, mean)| (f64::from(*x) - mean).powi(2)).sum();
    let deviation = (square / rows.len().max(1) as f64).sqrt().max(1e-6);
    (
        mean.into_iter().map(|x| x as f32).collect(),
        deviation as f32,
    )
}

fn new_phase<'a>(
    job: &Job,
    input: PhaseInput<'a>,
    start: Option<&PretrainedWeights>,
    first: Option<(RunState, Parts)>,
) -> Result<Box<dyn Phase + 'a>, TrainError> {
    let device = input.device();
    let perceptual = || match &job.perceptual_network {
        None => Ok(None),
        Some(path) => PerceptualLoss::load(path, device, job.weights.perceptual).map(Some),
    };
    let from = |name: &str| start_tensors(start, name, device);
    let autoencoder = match first {
        Some((_, mut parts)) => Autoencoder {
            encoder: take_ema(&mut parts, "encoder")?,
            generator: take_ema(&mut parts, "generator")?,
        },
        None => Autoencoder {
            encoder: from("encoder")?,
            generator: from("generator")?,
        },
    };
    Ok(match job.phase {
        PhaseKind::Reconstruct => {
            Box::new(ReconstructPhase::new(input, autoencoder, perceptual()?)?)
        }
        PhaseKind::Tokens => Box::new(TokensPhase::new(input, &autoencoder, from("tokens")?)?),
        PhaseKind::Paint => Box::new(PaintPhase::new(
            input,
            autoencoder,
            job.weights,
            perceptual()?,
        )?),
        PhaseKind::Refine => {
            let start = refine_start(job, start, autoencoder, device)?;
            // The critic sees only this network's features.
            let perceptual = perceptual()?.ok_or(TrainError::NoPerceptualNetwork)?;
            Box::new(RefinePhase::new(input, start, job.weights, perceptual)?)
        }
        PhaseKind::Direct => Box::new(OnePassPhase::new(input, autoencoder, job.weights)?),
    })
}

/// Returns the latest weights of each network for the phase `refine`: those that the run trained,
/// or else those that the run started from.
fn refine_start(
    job: &Job,
    start: Option<&PretrainedWeights>,
    autoencoder: Autoencoder,
    device: &Device,
) -> Result<RefineStart, TrainError> {
    let from = |name: &str| start_tensors(start, name, device);
    let tokens = match trained(job, PhaseKind::Tokens, "tokens", device)? {
        Some(tokens) => tokens,
        None => from("tokens")?,
    };
    if tokens.is_empty() {
        let path = PhaseKind::Tokens.checkpoint(&job.run);
        return Err(TrainError::MissingPhase(path, PhaseKind::Tokens));
    }
    let has_refiner = start.is_some_and(|start| start.has("refiner"));
    let painted = trained(job, PhaseKind::Paint, "generator", device)?;
    Ok(RefineStart {
        refiner: has_refiner.then(|| from("refiner")).transpose()?,
        tokens,
        autoencoder: Autoencoder {
            generator: painted.unwrap_or(autoencoder.generator),
            encoder: autoencoder.encoder,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embeddings_are_centred_on_their_mean_and_deviation() {
        let (mean, scale) = mean_and_deviation(&[1.0, 2.0, 3.0, 6.0], 2);
        assert_eq!(mean, [2.0, 4.0]);
        // (1 + 4 + 1 + 4) / 4 = 2.5.
        assert!((scale - 2.5f32.sqrt()).abs() < 1e-6);
    }
}

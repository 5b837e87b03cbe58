//! A run as it is asked for: which phase, on which pictures, at which sizes, with which means.

use super::TrainError;
use super::batches::Batches;
use super::checkpoint::{self, Parts, State};
use super::data::file::Pictures;
use super::export::{finished, mean};
use super::judge::Means;
use super::one_pass::{Sizes, is_one_pass, phase::OnePassPhase};
use super::paint::Paint;
use super::perceptual::Perceptual;
use super::reconstruct::Reconstruct;
use super::refine::{self, Before, Refine};
use super::run::{End, News, Phase, Plan, checkpoint_of, run};
use super::start::{Start, known};
use super::tokens::Tokens;
use super::variables::Tensors;
use candle_core::{Device, Tensor};
use imagegen::config::Config;
use llm::device;
use llm::sentence_encoder::WIDTH;
use std::path::PathBuf;

/// What is to be trained, and how.
#[derive(Clone, Debug)]
pub struct Job {
    /// `reconstruct`, `tokens`, `paint` or `refine`; or `direct`, in a folder of its own.
    pub phase: String,
    /// Where checkpoints are kept.
    pub run: PathBuf,
    /// A small model instead of the one that ships.
    pub small: bool,
    /// A folder of weights to begin with, where the run has nothing of its own.
    pub from: Option<PathBuf>,
    pub device: device::Choice,
    pub seed: u64,
    pub batch: usize,
    pub steps: u64,
    /// Of these, the last ones on which the rate falls.
    pub decay: u64,
    pub rate: f64,
    /// Steps between checkpoints.
    pub keep: u64,
    /// Steps between sheets.
    pub sheets: u64,
    pub means: Means,
    /// Weight of a picture's being told by its words, in the phase `refine`.
    pub belonging: f64,
    /// How much it counts beside reconstruction how unlike pictures look; 0: not at all.
    pub perceptual: f64,
    /// The network that tells how unlike they look, where that counts.
    pub look: Option<PathBuf>,
}

/// Trains to the end of the job, or until the watcher says no. `data` is the data set's SHA-256;
/// `embeddings` are those of its captions, of length one, one after the other.
pub fn train(
    job: &Job,
    pictures: &Pictures,
    data: &str,
    embeddings: &[f32],
    watch: &mut dyn FnMut(News) -> bool,
) -> Result<End, TrainError> {
    let start = check(job, &pictures.styles)?;
    let device = device::open(job.device).map_err(|why| TrainError::Compute(why.to_string()))?;
    let before = before(job, start.as_ref(), &device)?;
    let config = match (&before, &start) {
        // A style's number would mean another one.
        (Some((state, _)), _) if state.config.styles != pictures.styles => {
            let path = checkpoint_of(&job.run, "reconstruct");
            return Err(TrainError::Other(path, "data set"));
        }
        (Some((state, _)), _) => state.config.clone(),
        (None, Some(start)) => start.config.clone(),
        (None, None) => new_config(job, pictures, embeddings),
    };
    if pictures.size as usize != config.size {
        return Err(TrainError::Size(pictures.size, config.size));
    }
    let begun = checkpoint_of(&job.run, &job.phase).is_file();
    if let Some(words) = start.as_ref().filter(|_| !begun).and_then(Start::words) {
        watch(News::Warning(&words));
    }
    let rows = embeddings
        .chunks(config.text)
        .map(|row| config.normalize_text(row));
    let centred: Vec<f32> = rows.flatten().collect();
    let count = embeddings.len() / config.text;
    let text = Tensor::from_vec(centred, (count, config.text), &device)?;
    let batches = Batches::new(pictures, text)?;
    let plan = Plan {
        folder: job.run.clone(),
        state: State {
            phase: job.phase.clone(),
            config: config.clone(),
            seed: job.seed,
            batch: job.batch,
            step: 0,
            data: data.to_string(),
        },
        steps: job.steps,
        decay: job.decay,
        rate: job.rate,
        keep: job.keep,
        sheets: job.sheets,
    };
    let mut phase = phase(job, &batches, &config, start.as_ref(), before)?;
    run(phase.as_mut(), &plan, &device, watch)
}

/// Whether a job can be begun at all, as far as its folders tell, and what it begins with: to be
/// asked before anything is fetched for it or computed.
pub fn check(job: &Job, styles: &[String]) -> Result<Option<Start>, TrainError> {
    one_design(job)?;
    if job.phase == "refine" && job.perceptual == 0.0 {
        return Err(TrainError::Blind);
    }
    let Some(folder) = &job.from else {
        return Ok(None);
    };
    let start = Start::read(folder, styles)?;
    fits(&job.phase, &start)?;
    Ok(Some(start))
}

/// The phase of the design that has but one.
const DIRECT: &str = "direct";

/// A run's folder holds phases of one design, so that what is exported of it is plain.
fn one_design(job: &Job) -> Result<(), TrainError> {
    let others: &[&str] = match job.phase == DIRECT {
        true => &["reconstruct", "tokens", "paint", "refine"],
        false => &[DIRECT],
    };
    let mut paths = others.iter().map(|phase| checkpoint_of(&job.run, phase));
    match paths.find(|path| path.is_file()) {
        Some(path) => Err(TrainError::Other(path, "design")),
        None => Ok(()),
    }
}

/// Weights of one design are no beginning for the other.
fn fits(phase: &str, start: &Start) -> Result<(), TrainError> {
    let why = match (phase == DIRECT, is_one_pass(&start.config)) {
        (true, false) => "they compose pictures of tokens, which the phases before direct train",
        (false, true) => "they draw in one pass, which the phase direct trains",
        _ => return Ok(()),
    };
    Err(TrainError::Weights(start.folder.clone(), why.into()))
}

/// The phase that comes before the one that is asked for, where the run has it. It must have begun
/// with the weights that this one begins with, or their tokens would mean different things.
fn before(
    job: &Job,
    start: Option<&Start>,
    device: &Device,
) -> Result<Option<(State, Parts)>, TrainError> {
    if job.phase == "reconstruct" || job.phase == DIRECT {
        return Ok(None);
    }
    let Some(start) = start else {
        return finished(&job.run, "reconstruct", device).map(Some);
    };
    let path = checkpoint_of(&job.run, "reconstruct");
    let found = checkpoint::read(&path, device)?;
    match &found {
        Some((state, _)) if state.config != start.config => Err(TrainError::Other(path, "--from")),
        _ => Ok(found),
    }
}

/// The mean weights of a network, of a phase that the run may have been through.
fn later(
    job: &Job,
    phase: &str,
    name: &str,
    device: &Device,
) -> Result<Option<Tensors>, TrainError> {
    match checkpoint::read(&checkpoint_of(&job.run, phase), device)? {
        Some((_, mut parts)) => mean(&mut parts, name).map(Some),
        None => Ok(None),
    }
}

/// The sizes of a model that is begun by chance.
fn new_config(job: &Job, pictures: &Pictures, embeddings: &[f32]) -> Config {
    let (mean, scale) = centre(embeddings, WIDTH);
    let styles = pictures.styles.clone();
    let (config, sizes) = match job.small {
        true => (Config::small(styles, mean, scale), Sizes::SMALL),
        false => (Config::full(styles, mean, scale), Sizes::FULL),
    };
    Config {
        other_design: sizes.section().filter(|_| job.phase == DIRECT),
        ..config
    }
}

/// The mean of rows, and the deviation of all their numbers from it.
fn centre(rows: &[f32], width: usize) -> (Vec<f32>, f32) {
    let count = (rows.len() / width).max(1) as f64;
    let mut mean = vec![0f64; width];
    for row in rows.chunks_exact(width) {
        mean.iter_mut()
            .zip(row)
            .for_each(|(sum, x)| *sum += f64::from(*x) / count);
    }
    let apart = rows
        .chunks_exact(width)
        .flat_map(|row| row.iter().zip(&mean));
    let square: f64 = apart.map(|(x, mean)| (f64::from(*x) - mean).powi(2)).sum();
    let scale = (square / rows.len().max(1) as f64).sqrt().max(1e-6);
    (mean.into_iter().map(|x| x as f32).collect(), scale as f32)
}

fn phase<'a>(
    job: &Job,
    batches: &'a Batches<'a>,
    config: &Config,
    start: Option<&Start>,
    before: Option<(State, Parts)>,
) -> Result<Box<dyn Phase + 'a>, TrainError> {
    let how = (job.batch, job.seed);
    let device = batches.device();
    let look = || match &job.look {
        None => Ok(None),
        Some(path) => Perceptual::load(path, device, job.perceptual).map(Some),
    };
    let from = |name: &str| known(start, name, device);
    let (encoder, generator) = match before {
        Some((_, mut parts)) => (mean(&mut parts, "encoder")?, mean(&mut parts, "generator")?),
        None => (from("encoder")?, from("generator")?),
    };
    Ok(match job.phase.as_str() {
        DIRECT => {
            let begin = (encoder, generator);
            Box::new(OnePassPhase::new(batches, config, how, begin, job.means)?)
        }
        "reconstruct" => {
            let begin = (encoder, generator);
            Box::new(Reconstruct::new(batches, config, how, begin, look()?)?)
        }
        "tokens" => {
            let first = (&encoder, &generator);
            Box::new(Tokens::new(batches, config, how, first, from("tokens")?)?)
        }
        "refine" => {
            let before = composes(job, start, (encoder, generator), device)?;
            // The critic has no other eyes.
            let look = look()?.ok_or(TrainError::Blind)?;
            let means = refine::Means {
                loss: job.means.loss,
                adversarial: job.means.adversarial,
                belonging: job.belonging,
            };
            Box::new(Refine::new(batches, config, how, before, (means, look))?)
        }
        _ => {
            let first = (&encoder, generator);
            let means = (job.means, look()?);
            Box::new(Paint::new(batches, config, how, first, means)?)
        }
    })
}

/// What is refined: the latest that the run has of each network, or what it begins with.
fn composes(
    job: &Job,
    start: Option<&Start>,
    (encoder, generator): (Tensors, Tensors),
    device: &Device,
) -> Result<Before, TrainError> {
    let from = |name: &str| known(start, name, device);
    let tokens = match later(job, "tokens", "tokens", device)? {
        Some(tokens) => tokens,
        None => from("tokens")?,
    };
    if tokens.is_empty() {
        let path = checkpoint_of(&job.run, "tokens");
        return Err(TrainError::Before(path, "tokens"));
    }
    let refiner = start.filter(|start| start.has("refiner"));
    Ok(Before {
        generator: later(job, "paint", "generator", device)?.unwrap_or(generator),
        refiner: refiner.map(|_| from("refiner")).transpose()?,
        tokens,
        encoder,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embeddings_are_centred_on_their_mean_and_deviation() {
        let (mean, scale) = centre(&[1.0, 2.0, 3.0, 6.0], 2);
        assert_eq!(mean, [2.0, 4.0]);
        // (1 + 4 + 1 + 4) / 4 = 2.5.
        assert!((scale - 2.5f32.sqrt()).abs() < 1e-6);
    }
}

//! A run as it is asked for: which phase, on which pictures, at which sizes, with which means.

use super::TrainError;
use super::batches::Batches;
use super::checkpoint::State;
use super::data::file::Pictures;
use super::export::{finished, mean};
use super::paint::{Means, Paint};
use super::reconstruct::Reconstruct;
use super::run::{End, News, Phase, Plan, run};
use super::tokens::Tokens;
use super::variables::Tensors;
use crate::model::device;
use crate::model::gan::config::Config;
use candle_core::{Device, Tensor};
use std::path::{Path, PathBuf};

/// What is to be trained, and how.
#[derive(Clone, Debug)]
pub struct Job {
    /// `reconstruct`, `tokens` or `paint`.
    pub phase: String,
    /// Where checkpoints are kept.
    pub run: PathBuf,
    /// A small model instead of the one that ships.
    pub small: bool,
    /// A folder of weights to begin with.
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
    let device = device::open(job.device).map_err(|why| TrainError::Compute(why.to_string()))?;
    let config = config(job, pictures, embeddings)?;
    if pictures.size as usize != config.size {
        return Err(TrainError::Size(pictures.size, config.size));
    }
    let rows = embeddings.chunks(config.text).map(|row| config.centre(row));
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
    let mut phase = phase(job, &batches, &config, &device)?;
    run(phase.as_mut(), &plan, &device, watch)
}

/// The sizes: those of the weights to begin with, of the phase before, or new ones.
fn config(job: &Job, pictures: &Pictures, embeddings: &[f32]) -> Result<Config, TrainError> {
    if let Some(folder) = &job.from {
        let path = folder.join("config.json");
        let json = std::fs::read(&path);
        let json = json.map_err(|why| TrainError::Disk(path.clone(), why.to_string()))?;
        let config = Config::read(&json).map_err(|why| TrainError::Checkpoint(path, why))?;
        // Styles may be others; their rows are learned anew by name's place.
        let styles = pictures.styles.clone();
        return Ok(Config { styles, ..config });
    }
    if job.phase != "reconstruct" {
        return Ok(finished(&job.run, "reconstruct", &Device::Cpu)?.0.config);
    }
    let width = crate::model::encoder::WIDTH;
    let (mean, scale) = centre(embeddings, width);
    let new = if job.small {
        Config::small
    } else {
        Config::full
    };
    Ok(new(pictures.styles.clone(), mean, scale))
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
    device: &Device,
) -> Result<Box<dyn Phase + 'a>, TrainError> {
    let how = (job.batch, job.seed);
    let from = |name: &str| known(job.from.as_deref(), name, device);
    if job.phase == "reconstruct" {
        let begin = (from("encoder")?, from("generator")?);
        return Ok(Box::new(Reconstruct::new(batches, config, how, begin)?));
    }
    let (encoder, generator) = match &job.from {
        Some(_) => (from("encoder")?, from("generator")?),
        None => {
            let (_, mut parts) = finished(&job.run, "reconstruct", device)?;
            (mean(&mut parts, "encoder")?, mean(&mut parts, "generator")?)
        }
    };
    Ok(match job.phase.as_str() {
        "tokens" => {
            let begin = from("tokens")?;
            Box::new(Tokens::new(
                batches,
                config,
                how,
                (&encoder, &generator),
                begin,
            )?)
        }
        _ => Box::new(Paint::new(
            batches,
            config,
            how,
            (&encoder, generator),
            job.means,
        )?),
    })
}

/// The tensors of a network in a folder of weights.
fn known(folder: Option<&Path>, name: &str, device: &Device) -> Result<Tensors, TrainError> {
    let Some(folder) = folder else {
        return Ok(Tensors::new());
    };
    let path = folder.join(format!("{name}.safetensors"));
    let broken = |why: candle_core::Error| {
        let why = crate::story::untrusted::clean_line(&why.to_string());
        TrainError::Checkpoint(path.clone(), why.chars().take(80).collect())
    };
    let tensors = candle_core::safetensors::load(&path, device).map_err(broken)?;
    Ok(tensors.into_iter().collect())
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

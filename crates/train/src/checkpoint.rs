//! Checkpoints, from which a training run resumes with bit-identical results.
//!
//! A checkpoint is one safetensors file. It contains every tensor of the run under the name
//! `part/name`, and the run's state in the header. The file is written under a temporary name and
//! then renamed, so it is always complete. Each step derives the seed of its random numbers from
//! the run's seed and the step number, so no state of a random number generator is stored.

use super::TrainError;
use super::variables::Tensors;
use candle_core::Device;
use imagegen::config::Config;
use safetensors::{SafeTensors, serialize_to_file};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// The state of a training run: what is trained, and how many steps are finished. `C` is the type
/// of the model's config; the default is the image model's config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunState<C = Config> {
    /// The name of the phase.
    pub phase: String,
    pub config: C,
    pub seed: u64,
    #[serde(rename = "batch")]
    pub batch_size: usize,
    /// The number of finished steps.
    pub step: u64,
    /// The SHA-256 of the dataset.
    #[serde(rename = "data")]
    pub dataset: String,
}

/// The tensors of a training run, grouped into named parts, such as a network's weights, the
/// averaged weights, and the optimizer's moments.
pub type Parts = BTreeMap<String, Tensors>;

/// The path of a phase's checkpoint in the folder of a run.
pub fn path(run: &Path, phase: &str) -> PathBuf {
    run.join(format!("{phase}.safetensors"))
}

/// Saves a checkpoint. The previous checkpoint is replaced only when the new one is complete.
pub fn write<C: Serialize>(
    path: &Path,
    state: &RunState<C>,
    parts: &Parts,
) -> Result<(), TrainError> {
    let tensors = parts.iter().flat_map(|(part, tensors)| {
        tensors
            .iter()
            .map(move |(name, tensor)| (format!("{part}/{name}"), tensor))
    });
    let words = serde_json::to_string(state).unwrap_or_default();
    let words = HashMap::from([("state".to_string(), words)]);
    let partial = path.with_extension("part");
    let written = serialize_to_file(tensors, Some(words), &partial);
    let disk = |why: &dyn std::fmt::Display| TrainError::Disk(path.into(), why.to_string());
    if let Err(why) = written {
        let _ = std::fs::remove_file(&partial);
        return Err(disk(&why));
    }
    let synced = std::fs::File::open(&partial).and_then(|file| file.sync_all());
    let moved = synced.and_then(|()| std::fs::rename(&partial, path));
    moved.map_err(|why| disk(&why))
}

/// Loads a checkpoint, or returns None if the file does not exist.
pub fn read<C: DeserializeOwned>(
    path: &Path,
    device: &Device,
) -> Result<Option<(RunState<C>, Parts)>, TrainError> {
    if !path.is_file() {
        return Ok(None);
    }
    let broken = |why: String| TrainError::Checkpoint(path.into(), why);
    let bytes =
        std::fs::read(path).map_err(|why| TrainError::Disk(path.into(), why.to_string()))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|why| broken(why.to_string()))?;
    let words = header
        .metadata()
        .as_ref()
        .and_then(|words| words.get("state"));
    let words = words.ok_or_else(|| broken("its header is missing".into()))?;
    let state: RunState<C> = serde_json::from_str(words).map_err(|why| broken(why.to_string()))?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, device);
    let mut parts = Parts::new();
    for (name, tensor) in tensors.map_err(|why| broken(why.to_string()))? {
        if let Some((part, name)) = name.split_once('/') {
            let part = parts.entry(part.to_string()).or_default();
            part.insert(name.to_string(), tensor);
        }
    }
    Ok(Some((state, parts)))
}

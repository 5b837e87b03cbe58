//! The parts that all training phases share: names, input, steps and sample sheets.

use super::TrainError;
use super::adam::AdamOptions;
use super::batches::Batches;
use super::checkpoint::{self, Parts};
use super::step::{Metrics, Step};
use super::trained::{NetworkState, TrainedNetwork};
use super::variables::{Tensors, frozen, trainable};
use candle_core::{Device, Result, Tensor};
use imagegen::config::{CHANNELS, Config};
use imagegen::weights::Weights;
use sampler::rng::Rng;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The training phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PhaseKind {
    /// Trains the encoder and the generator to reconstruct pictures from their tokens.
    Reconstruct,
    /// Trains the token Transformer on the frozen encoder's tokens.
    Tokens,
    /// Trains the generator against the discriminator while the encoder is frozen.
    Paint,
    /// Trains the refiner and the generator against a critic, on tokens sampled by the token
    /// Transformer.
    Refine,
    /// Trains the encoder, the generator and the discriminator of the one-pass design.
    Direct,
}

impl PhaseKind {
    pub const ALL: [PhaseKind; 5] = [
        PhaseKind::Reconstruct,
        PhaseKind::Tokens,
        PhaseKind::Paint,
        PhaseKind::Refine,
        PhaseKind::Direct,
    ];

    /// The name of the phase on the command line and in file names.
    pub const fn name(self) -> &'static str {
        match self {
            PhaseKind::Reconstruct => "reconstruct",
            PhaseKind::Tokens => "tokens",
            PhaseKind::Paint => "paint",
            PhaseKind::Refine => "refine",
            PhaseKind::Direct => "direct",
        }
    }

    /// The path of the phase's checkpoint in the training run's folder.
    pub fn checkpoint(self, run: &Path) -> PathBuf {
        checkpoint::path(run, self.name())
    }

    /// The path of the phase's latest sample sheet in the training run's folder.
    pub fn sample_sheet(self, run: &Path) -> PathBuf {
        SampleSheet::path(run, self.name())
    }

    /// Whether the phase trains the one-pass design. The other phases train the token design.
    pub fn is_one_pass(self) -> bool {
        match self {
            PhaseKind::Direct => true,
            PhaseKind::Reconstruct | PhaseKind::Tokens | PhaseKind::Paint | PhaseKind::Refine => {
                false
            }
        }
    }

    /// Whether the phase can use a perceptual loss.
    pub fn has_perceptual_loss(self) -> bool {
        match self {
            PhaseKind::Reconstruct | PhaseKind::Paint | PhaseKind::Refine => true,
            PhaseKind::Tokens | PhaseKind::Direct => false,
        }
    }
}

impl fmt::Display for PhaseKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for PhaseKind {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<PhaseKind, String> {
        let found = PhaseKind::ALL.into_iter().find(|kind| kind.name() == name);
        let names = || PhaseKind::ALL.map(PhaseKind::name).join(", ");
        found.ok_or_else(|| format!("a phase is one of {}", names()))
    }
}

/// The methods through which the training loop runs a phase.
pub trait Phase {
    /// The name under which the phase's checkpoint is stored. For the image model it is the name of
    /// a [`PhaseKind`].
    fn name(&self) -> &'static str;

    /// The networks that the phase trains, each with the name that it has in a checkpoint.
    fn networks(&mut self) -> Vec<(&'static str, &mut NetworkState)>;

    /// Takes one training step. All random numbers of the step come from `rng`.
    fn step(&mut self, step: Step, rng: &mut Rng) -> std::result::Result<Metrics, TrainError>;

    /// Draws pictures that show the progress of training. Returns None if the model draws no
    /// pictures.
    fn sheet(&self) -> std::result::Result<Option<SampleSheet>, TrainError>;

    /// The parts of a checkpoint that do not belong to a network.
    fn other_parts(&self) -> Result<Parts> {
        Ok(Parts::new())
    }

    /// Restores the parts that [`Phase::other_parts`] returned.
    fn restore_other_parts(&mut self, _: &mut Parts) -> Result<()> {
        Ok(())
    }

    /// Returns all parts of a checkpoint: everything that determines the next step, apart from the
    /// step number and the random numbers.
    fn parts(&mut self) -> std::result::Result<Parts, TrainError> {
        let mut parts = self.other_parts()?;
        for (name, network) in self.networks() {
            network.save(name, &mut parts)?;
        }
        Ok(parts)
    }

    /// Restores the state of the phase from the parts of a checkpoint.
    fn restore(&mut self, mut parts: Parts) -> std::result::Result<(), TrainError> {
        for (name, network) in self.networks() {
            network.restore(name, &mut parts)?;
        }
        Ok(self.restore_other_parts(&mut parts)?)
    }
}

/// The input of every phase.
#[derive(Clone, Copy)]
pub struct PhaseInput<'a> {
    pub batches: &'a Batches<'a>,
    pub config: &'a Config,
    pub batch_size: usize,
    /// The seed for tensors whose initial values are random.
    pub seed: u64,
}

impl<'a> PhaseInput<'a> {
    pub fn device(&self) -> &'a Device {
        self.batches.device()
    }

    /// Creates a network to train. Its tensors are taken from `start`; tensors that `start` lacks
    /// are random.
    pub fn trainable<N>(
        &self,
        start: Tensors,
        adam: AdamOptions,
        new: impl FnOnce(&Weights, &Config) -> Result<N>,
    ) -> Result<TrainedNetwork<N>> {
        let (network, variables) =
            trainable(start, self.seed, self.device(), |w| new(w, self.config))?;
        Ok(TrainedNetwork {
            network,
            state: NetworkState::new(variables, adam)?,
        })
    }

    /// Creates a network from tensors that are not trained.
    pub fn frozen<N>(
        &self,
        tensors: &Tensors,
        new: impl FnOnce(&Weights, &Config) -> Result<N>,
    ) -> Result<N> {
        frozen(tensors, self.device(), |w| new(w, self.config))
    }
}

/// The weights of the encoder and the generator. Both are empty if they have not been trained yet.
#[derive(Clone, Debug, Default)]
pub struct Autoencoder {
    pub encoder: Tensors,
    pub generator: Tensors,
}

/// A sample sheet: rows of pictures. Each picture consists of `[size, size, 4]` bytes of
/// premultiplied RGBA.
pub struct SampleSheet {
    pub size: usize,
    pub rows: Vec<Vec<Vec<u8>>>,
}

impl SampleSheet {
    /// The path of a phase's latest sample sheet in the training run's folder.
    pub fn path(run: &Path, phase: &str) -> PathBuf {
        run.join(format!("{phase}.png"))
    }

    /// Creates a sample sheet from rows of pictures. Each row is `[batch, 4, size, size]`,
    /// premultiplied, from -1 to 1.
    pub fn new(size: usize, rows: &[Tensor]) -> Result<SampleSheet> {
        Ok(SampleSheet {
            size,
            rows: rows.iter().map(to_bytes).collect::<Result<_>>()?,
        })
    }
}

/// Returns the bytes of each picture in a batch `[batch, 4, size, size]`.
fn to_bytes(pictures: &Tensor) -> Result<Vec<Vec<u8>>> {
    let rows = pictures
        .permute((0, 2, 3, 1))?
        .flatten_from(1)?
        .to_vec2::<f32>()?;
    debug_assert!(rows.iter().all(|row| row.len() % CHANNELS == 0));
    Ok(rows
        .iter()
        .map(|row| imagegen::to_pixel_bytes(row))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_is_found_by_its_name_and_no_other_name_is_one() {
        for kind in PhaseKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("\"{kind}\""));
        }
        let why = "Paint".parse::<PhaseKind>().unwrap_err();
        assert_eq!(
            why,
            "a phase is one of reconstruct, tokens, paint, refine, direct"
        );
    }
}

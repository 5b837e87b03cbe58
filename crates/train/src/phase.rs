//! What all phases of training share: names, input, steps and sample sheets.

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

/// The phases of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PhaseKind {
    /// Trains encoder and generator to reconstruct pictures from their tokens.
    Reconstruct,
    /// Trains the token Transformer on the frozen encoder's tokens.
    Tokens,
    /// Trains the generator against the discriminator, with the encoder frozen.
    Paint,
    /// Trains refiner and generator against a critic, on tokens that the token Transformer sampled.
    Refine,
    /// Trains encoder, generator and discriminator of the one-pass design.
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

    /// The name of the phase on the command line and in its file names.
    pub const fn name(self) -> &'static str {
        match self {
            PhaseKind::Reconstruct => "reconstruct",
            PhaseKind::Tokens => "tokens",
            PhaseKind::Paint => "paint",
            PhaseKind::Refine => "refine",
            PhaseKind::Direct => "direct",
        }
    }

    /// The path of the phase's checkpoint in the folder of a run.
    pub fn checkpoint(self, run: &Path) -> PathBuf {
        checkpoint::path(run, self.name())
    }

    /// The path of the phase's latest sample sheet in the folder of a run.
    pub fn sample_sheet(self, run: &Path) -> PathBuf {
        SampleSheet::path(run, self.name())
    }

    /// Whether the phase trains the one-pass design; the other design takes four phases.
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

/// A phase, as the training loop sees it.
pub trait Phase {
    /// The name of the phase's checkpoint; for the image model, the name of a [`PhaseKind`].
    fn name(&self) -> &'static str;

    /// The networks that the phase trains, each with its name in a checkpoint.
    fn networks(&mut self) -> Vec<(&'static str, &mut NetworkState)>;

    /// Takes one step. All random numbers come from `rng`.
    fn step(&mut self, step: Step, rng: &mut Rng) -> std::result::Result<Metrics, TrainError>;

    /// Pictures that show the progress of training, if the model draws any.
    fn sheet(&self) -> std::result::Result<Option<SampleSheet>, TrainError>;

    /// The parts of a checkpoint besides the networks.
    fn other_parts(&self) -> Result<Parts> {
        Ok(Parts::new())
    }

    /// Restores the parts from [`Phase::other_parts`].
    fn restore_other_parts(&mut self, _: &mut Parts) -> Result<()> {
        Ok(())
    }

    /// Everything that the next step depends on, apart from the step number and the random numbers.
    fn parts(&mut self) -> std::result::Result<Parts, TrainError> {
        let mut parts = self.other_parts()?;
        for (name, network) in self.networks() {
            network.save(name, &mut parts)?;
        }
        Ok(parts)
    }

    /// Resumes from a checkpoint.
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
    /// The seed for the initial values of random tensors.
    pub seed: u64,
}

impl<'a> PhaseInput<'a> {
    pub fn device(&self) -> &'a Device {
        self.batches.device()
    }

    /// A network to train. Its tensors are taken from `start`; missing ones are random.
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

    /// A network of these tensors, which are not trained.
    pub fn frozen<N>(
        &self,
        tensors: &Tensors,
        new: impl FnOnce(&Weights, &Config) -> Result<N>,
    ) -> Result<N> {
        frozen(tensors, self.device(), |w| new(w, self.config))
    }
}

/// The weights of encoder and generator; empty before they are trained.
#[derive(Clone, Debug, Default)]
pub struct Autoencoder {
    pub encoder: Tensors,
    pub generator: Tensors,
}

/// Rows of pictures, each picture as `[size, size, 4]` bytes of premultiplied RGBA.
pub struct SampleSheet {
    pub size: usize,
    pub rows: Vec<Vec<Vec<u8>>>,
}

impl SampleSheet {
    /// The path of a phase's latest sample sheet in the folder of a run.
    pub fn path(run: &Path, phase: &str) -> PathBuf {
        run.join(format!("{phase}.png"))
    }

    /// A sheet of rows of pictures, each row `[batch, 4, size, size]`, premultiplied, from -1 to 1.
    pub fn new(size: usize, rows: &[Tensor]) -> Result<SampleSheet> {
        Ok(SampleSheet {
            size,
            rows: rows.iter().map(to_bytes).collect::<Result<_>>()?,
        })
    }
}

/// The bytes of each of the pictures `[batch, 4, size, size]`.
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

//! Command-line arguments for training and evaluating the image model.

use super::On;
use ::train::losses::GanLoss;
use ::train::phase::PhaseKind;
use clap::builder::{FalseyValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Train {
    /// Build the dataset: download the drawings and render them
    Data {
        /// Dataset file to write
        #[arg(
            short,
            long,
            value_name = "FILE",
            default_value = "illuminator-64.safetensors"
        )]
        out: PathBuf,
        /// Width and height in pixels: 64 or 128
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(16..=512))]
        size: u32,
        /// Folder for downloaded package archives
        #[arg(long, value_name = "FOLDER", default_value = "illuminator-archives")]
        archives: PathBuf,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Train one phase, or resume it from its last checkpoint
    Gan(Gan),
    /// Export the checkpoints of a run as weights for `illumine draw`
    Export {
        /// Run folder
        #[arg(long, value_name = "FOLDER")]
        run: PathBuf,
        /// Dataset file or picture folder that the run used
        #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
        data: PathBuf,
        /// Weights that the run started from; networks that the run did not train are copied from
        /// this folder
        #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        from: Option<PathBuf>,
        /// Folder to write the weights to
        #[arg(short, long, value_name = "FOLDER")]
        out: PathBuf,
        /// Bits per matrix element: 8 halves the files and gives the same pictures on a CPU; 16 is
        /// more exact on a GPU and for further training
        #[arg(long, default_value = "16", value_parser = ["8", "16"])]
        bits: String,
        /// Never access the network
        #[arg(long, env = "ILLUMINE_OFFLINE", value_parser = FalseyValueParser::new())]
        offline: bool,
    },
    /// Convert the matrices in a weights folder to 8 bits, in place
    #[command(hide = true)]
    Quantize {
        /// Weights folder
        weights: PathBuf,
    },
}

#[derive(Args, Debug)]
pub struct EvalImage {
    /// Dataset file from `illumine train data`, or a folder of pictures
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub data: PathBuf,
    /// Folder of the image model's weights
    #[arg(long, env = "ILLUMINE_WEIGHTS", value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub weights: Option<PathBuf>,
    /// Number of pictures to draw for each split: training, held-out pairs, held-out concepts
    #[arg(short, long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(8..=10_000))]
    pub n: u16,
    /// Maximum number of real pictures to train the classifier on
    #[arg(long, value_name = "N", default_value_t = 6_000, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    pub learn: u32,
    /// Random seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Sampling temperature; 0 is greedy [default: 0.3]
    #[arg(long, value_name = "T")]
    pub temperature: Option<f64>,
    /// Classifier-free guidance scale; 1 is off [default: 2]
    #[arg(long, value_name = "G", allow_negative_numbers = true)]
    pub guidance: Option<f64>,
    /// Retrieval strength, 0 to 20; 0 is off [default: 3]
    #[arg(
        long,
        alias = "recall",
        value_name = "R",
        allow_negative_numbers = true
    )]
    pub retrieval: Option<f64>,
    /// Decoding steps; more are slower but finer [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub steps: Option<u8>,
    /// Start from the real pictures and redraw this share of each; 0 measures encoder and decoder alone
    #[arg(long, value_name = "SHARE", value_parser = share, allow_negative_numbers = true)]
    pub redrawn: Option<f64>,
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
    /// Never access the network
    #[arg(long, env = "ILLUMINE_OFFLINE", value_parser = FalseyValueParser::new())]
    pub offline: bool,
    #[command(flatten)]
    pub on: On,
}

/// Parses a non-negative number.
fn weight(text: &str) -> Result<f64, String> {
    let weight: Option<f64> = text.parse().ok();
    let weight = weight.filter(|weight| weight.is_finite() && *weight >= 0.0);
    weight.ok_or_else(|| "expected a non-negative number".to_string())
}

/// Creates a parser for the names of phases.
fn phases() -> impl TypedValueParser<Value = PhaseKind> {
    PossibleValuesParser::new(PhaseKind::ALL.map(PhaseKind::name))
        .try_map(|name| name.parse::<PhaseKind>())
}

/// Parses a number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let share = text
        .parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to 1".to_string())
}

#[derive(Args, Debug)]
pub struct Gan {
    /// Phase to train. The order is reconstruct, tokens, then paint and refine (both optional). The
    /// phase direct trains the one-pass GAN instead, and needs its own run folder
    #[arg(value_parser = phases())]
    pub phase: PhaseKind,
    /// Dataset file from `illumine train data`, or a folder of pictures with captions in a
    /// captions.csv (file_name,text[,style]), in text files of the same name, or in the file names
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub data: PathBuf,
    /// Run folder, for checkpoints and sample sheets
    #[arg(long, value_name = "FOLDER")]
    pub run: PathBuf,
    /// Train a small model, for small datasets and short trials
    #[arg(long)]
    pub small: bool,
    /// Fine-tune these weights instead of training from scratch; new styles start from a neutral embedding
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub from: Option<PathBuf>,
    /// Total training steps
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub steps: u64,
    /// Decay the learning rate over the last N steps; 0 is off
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub decay: u64,
    /// Batch size
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(2..=4096))]
    pub batch: u16,
    /// Learning rate
    #[arg(long, alias = "rate", value_name = "R", default_value_t = 1e-3)]
    pub learning_rate: f64,
    /// Random seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Save a checkpoint every N steps
    #[arg(long, alias = "keep", value_name = "N", default_value_t = 500)]
    pub checkpoint_every: u64,
    /// Draw a sample sheet every N steps
    #[arg(long, alias = "sheets", value_name = "N", default_value_t = 1_000)]
    pub sample_every: u64,
    /// Perceptual loss weight (reconstruct, paint, refine), on features of EfficientNet-lite1
    /// (downloaded, 22 MB); 0 turns it off, but refine needs it [default: 1; with --small, 0 except
    /// for refine]
    #[arg(long, value_name = "W", value_parser = weight, allow_negative_numbers = true)]
    pub perceptual: Option<f64>,
    /// Adversarial loss (paint, refine, direct)
    #[arg(long, value_name = "LOSS", default_value = "relativistic")]
    pub loss: GanLoss,
    /// Adversarial loss weight (paint, refine, direct) [default: 0.03; refine: 0.05]
    #[arg(long, value_name = "W", value_parser = weight, allow_negative_numbers = true)]
    pub adversarial: Option<f64>,
    /// Caption-contrastive loss weight (refine): how strongly to match generated pictures to captions
    #[arg(long, alias = "belonging", value_name = "W", default_value_t = 0.005, value_parser = weight, allow_negative_numbers = true)]
    pub caption_contrastive: f64,
    /// R1 gradient penalty weight (paint, direct)
    #[arg(long, value_name = "W", default_value_t = 0.02)]
    pub r1: f64,
    /// KL weight (direct): pulls the latents towards a normal distribution
    #[arg(long = "kl", value_name = "W", default_value_t = 0.005)]
    pub divergence: f64,
    /// Print plain lines instead of the live view; the default if the output is not a terminal
    #[arg(long)]
    pub plain: bool,
    /// Never access the network
    #[arg(long, env = "ILLUMINE_OFFLINE", value_parser = FalseyValueParser::new())]
    pub offline: bool,
    #[command(flatten)]
    pub on: On,
}

//! The command line of pictures: drawing, and training what draws.

use super::On;
use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

#[derive(Args, Debug)]
pub struct Draw {
    /// What the picture is to show
    #[arg(required_unless_present_any = ["from", "restyle"])]
    pub prompt: Option<String>,
    /// The PNG file to write; of several pictures, each has its seed in its name
    #[arg(short, long, value_name = "FILE", default_value = "picture.png")]
    pub out: PathBuf,
    /// How it is drawn: noto, blob, flat, ink, …; any leaves it to the model
    #[arg(long, value_name = "NAME")]
    pub style: Option<String>,
    /// The same seed, words and weights give the same picture
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Several seeds, as in 0,1,4-6
    #[arg(long, value_name = "LIST", conflicts_with_all = ["seed", "n"])]
    pub seeds: Option<String>,
    /// How many pictures
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub n: Option<u8>,
    /// How freely it is drawn: 0 takes the likeliest, 1 is as trained; 0.3 if none is given
    #[arg(long, value_name = "T", visible_alias = "truncation")]
    pub temperature: Option<f64>,
    /// How strongly words and style pull: 1 is as trained, and all that weights of one pass know; 2 if
    /// none is given
    #[arg(long, value_name = "G", allow_negative_numbers = true)]
    pub guidance: Option<f64>,
    /// How strongly a remembered drawing of the thing in another style pulls: 0 not at all, 20 it is taken
    /// over; 3 if none is given
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub recall: Option<f64>,
    /// Rounds of drawing: more are slower and finer, weights of one pass have one; 8 if none is given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub steps: Option<u8>,
    /// Pixels wide and high of the file; drawings have 64
    #[arg(long, value_name = "PIXELS")]
    pub size: Option<u32>,
    /// Enlarge four times by a network (ESRGAN, fetched once) rather than smoothly: for print
    #[arg(long)]
    pub enlarge: bool,
    /// A colour behind the drawing, as in #f5e6c8; none keeps it transparent
    #[arg(long, value_name = "COLOUR")]
    pub background: Option<String>,
    /// Make the picture in this file again
    #[arg(long, value_name = "PICTURE.png", value_hint = ValueHint::FilePath)]
    pub from: Option<PathBuf>,
    /// Draw the picture of --from anew in part: 0.1 a little, 0.9 nearly all of it
    #[arg(long, value_name = "AMOUNT", requires = "from", conflicts_with_all = ["restyle", "lerp", "scene"])]
    pub vary: Option<f64>,
    /// Draw the picture in this file (PNG, JPEG, GIF, WebP) in another style
    #[arg(long, value_name = "FILE", requires = "style", conflicts_with_all = ["from", "lerp", "scene"], value_hint = ValueHint::FilePath)]
    pub restyle: Option<PathBuf>,
    /// Draw the way from the prompt to these words; --n says in how many pictures
    #[arg(long, value_name = "WORDS", conflicts_with_all = ["from", "scene", "seeds"])]
    pub lerp: Option<String>,
    /// Draw a wide picture: a backdrop, and what the words name before it
    #[arg(long, conflicts_with = "from")]
    pub scene: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// The folder of the illuminator's weights
    #[arg(long, env = "ILLUMINE_WEIGHTS", value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub weights: Option<PathBuf>,
    /// Never use the network
    #[arg(long, env = "ILLUMINE_OFFLINE", value_parser = FalseyValueParser::new())]
    pub offline: bool,
    #[command(flatten)]
    pub on: On,
}

#[derive(Debug, Subcommand)]
pub enum Train {
    /// Make the data set: fetch the drawings and render them
    Data {
        /// The file to write
        #[arg(
            short,
            long,
            value_name = "FILE",
            default_value = "illuminator-64.safetensors"
        )]
        out: PathBuf,
        /// Pixels wide and high: 64 or 128
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(16..=512))]
        size: u32,
        /// Where the packages' archives are, or are to be kept
        #[arg(long, value_name = "FOLDER", default_value = "illuminator-archives")]
        archives: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Train the networks, a phase at a time; each goes on from its checkpoint
    Gan(Gan),
    /// Make a set of weights that draws from the checkpoints of a run
    Export {
        /// The run's folder
        #[arg(long, value_name = "FOLDER")]
        run: PathBuf,
        /// The data set, or the folder of pictures, that it was trained on
        #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
        data: PathBuf,
        /// The weights that the run began with: what it did not train is taken from them
        #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        from: Option<PathBuf>,
        /// The folder to write
        #[arg(short, long, value_name = "FOLDER")]
        out: PathBuf,
        /// Bits of each matrix element: 8 halves the files and draws the same pictures on a CPU, 16
        /// is more exact on a GPU and to train on
        #[arg(long, default_value = "16", value_parser = ["8", "16"])]
        bits: String,
        /// Never use the network
        #[arg(long, env = "ILLUMINE_OFFLINE", value_parser = FalseyValueParser::new())]
        offline: bool,
    },
    /// Store the matrices of a folder of weights in 8 bits, in place
    #[command(hide = true)]
    Quantize {
        /// The folder
        weights: PathBuf,
    },
}

#[derive(Args, Debug)]
pub struct EvalImage {
    /// What `illumine train data` made, or a folder of pictures
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub data: PathBuf,
    /// The folder of the illuminator's weights
    #[arg(long, env = "ILLUMINE_WEIGHTS", value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub weights: Option<PathBuf>,
    /// Pictures to draw of each part: what was trained on, held-out pairs, held-out concepts
    #[arg(short, long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(8..=10_000))]
    pub n: u16,
    /// Real pictures that the classifier learns from, at most
    #[arg(long, value_name = "N", default_value_t = 6_000, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    pub learn: u32,
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// How freely pictures are drawn; 0 takes the likeliest
    #[arg(long, value_name = "T")]
    pub temperature: Option<f64>,
    /// How strongly the words pull; 1 is as trained
    #[arg(long, value_name = "G", allow_negative_numbers = true)]
    pub guidance: Option<f64>,
    /// How strongly remembered drawings pull: 0 not at all, 20 they are taken over
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub recall: Option<f64>,
    /// Rounds of drawing: more are slower and finer
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub steps: Option<u8>,
    /// Begin with the real pictures and draw this share of each anew: 0 measures encoder and painter
    #[arg(long, value_name = "SHARE", value_parser = share, allow_negative_numbers = true)]
    pub redrawn: Option<f64>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Never use the network
    #[arg(long, env = "ILLUMINE_OFFLINE", value_parser = FalseyValueParser::new())]
    pub offline: bool,
    #[command(flatten)]
    pub on: On,
}

/// Not below 0.
fn weight(text: &str) -> Result<f64, String> {
    let weight: Option<f64> = text.parse().ok();
    let weight = weight.filter(|weight| weight.is_finite() && *weight >= 0.0);
    weight.ok_or_else(|| "a number from 0 on is wanted".to_string())
}

/// From 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let share = text
        .parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a number from 0 to 1 is wanted".to_string())
}

#[derive(Args, Debug)]
pub struct Gan {
    /// reconstruct, then tokens, then paint and refine (which may be left out); or, in a folder of
    /// its own, direct: a GAN that draws in one pass
    #[arg(value_parser = ["reconstruct", "tokens", "paint", "refine", "direct"])]
    pub phase: String,
    /// What `illumine train data` made, or a folder of your own pictures: captions in a captions.csv
    /// (file_name,text[,style]), in text files of the same names, or in the names
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub data: PathBuf,
    /// Where checkpoints and sheets are kept
    #[arg(long, value_name = "FOLDER")]
    pub run: PathBuf,
    /// A small model for small sets and short trials
    #[arg(long)]
    pub small: bool,
    /// Begin with these weights instead of by chance; styles that they do not know begin anew
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub from: Option<PathBuf>,
    /// Steps in all
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub steps: u64,
    /// Of these, the last ones on which the rate falls
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub decay: u64,
    /// Pictures of a step
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(2..=4096))]
    pub batch: u16,
    /// How far a step goes
    #[arg(long, value_name = "R", default_value_t = 1e-3)]
    pub rate: f64,
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Steps between checkpoints
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub keep: u64,
    /// Steps between sheets of pictures
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub sheets: u64,
    /// reconstruct, paint, refine: the weight of how unlike pictures look to EfficientNet-lite1, which is
    /// fetched (22 MB); 0 does without, where it can [default: 1; 0 with --small, but for refine]
    #[arg(long, value_name = "W", value_parser = weight, allow_negative_numbers = true)]
    pub perceptual: Option<f64>,
    /// paint, refine, direct: how generator and discriminator are set against each other
    #[arg(long, value_name = "LOSS", default_value = "relativistic")]
    pub loss: illumine::train::losses::Adversarial,
    /// paint, refine, direct: the weight of the discriminator's word [default: 0.03; refine: 0.05]
    #[arg(long, value_name = "W", value_parser = weight, allow_negative_numbers = true)]
    pub adversarial: Option<f64>,
    /// refine: the weight of a picture's being told by its words among others
    #[arg(long, value_name = "W", default_value_t = 0.005, value_parser = weight, allow_negative_numbers = true)]
    pub belonging: f64,
    /// paint, direct: the weight of the gradient penalty
    #[arg(long, value_name = "W", default_value_t = 0.02)]
    pub r1: f64,
    /// direct: how strongly what tells pictures apart is drawn to the normal distribution (KL)
    #[arg(long = "kl", value_name = "W", default_value_t = 0.005)]
    pub divergence: f64,
    /// Print lines instead of the live view, as where the output is no terminal
    #[arg(long)]
    pub plain: bool,
    /// Never use the network
    #[arg(long, env = "ILLUMINE_OFFLINE", value_parser = FalseyValueParser::new())]
    pub offline: bool,
    #[command(flatten)]
    pub on: On,
}

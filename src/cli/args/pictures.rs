//! Command-line arguments for drawing.

use super::On;
use clap::builder::FalseyValueParser;
use clap::{Args, ValueHint};
use std::path::PathBuf;

#[derive(Args, Debug)]
pub struct Draw {
    /// Prompt: what the picture shows
    #[arg(required_unless_present_any = ["from", "restyle"])]
    pub prompt: Option<String>,
    /// PNG file to write; if there are several pictures, each file name ends in the picture's seed
    #[arg(short, long, value_name = "FILE", default_value = "picture.png")]
    pub out: PathBuf,
    /// Style: noto, blob, flat, ink, …; "any" leaves the choice to the model
    #[arg(long, value_name = "NAME")]
    pub style: Option<String>,
    /// Random seed; the same seed, prompt and weights give the same picture
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// List of seeds, for example 0,1,4-6
    #[arg(long, value_name = "LIST", conflicts_with_all = ["seed", "n"])]
    pub seeds: Option<String>,
    /// Number of pictures
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub n: Option<u8>,
    /// Sampling temperature; 0 is greedy [default: 0.3]
    #[arg(long, value_name = "T", visible_alias = "truncation")]
    pub temperature: Option<f64>,
    /// Classifier-free guidance scale; 1 is off; one-pass weights ignore it [default: 2]
    #[arg(long, value_name = "G", allow_negative_numbers = true)]
    pub guidance: Option<f64>,
    /// Retrieval strength, 0 to 20: how strongly a retrieved drawing of the same subject in another
    /// style biases the result; 0 is off, 20 nearly copies it [default: 3]
    #[arg(
        long,
        alias = "recall",
        value_name = "R",
        allow_negative_numbers = true
    )]
    pub retrieval: Option<f64>,
    /// Decoding steps; more are slower but finer; one-pass weights ignore them [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub steps: Option<u8>,
    /// Width and height of the PNG in pixels; the drawing itself is 64 by 64 [default: 256]
    #[arg(long, value_name = "PIXELS")]
    pub size: Option<u32>,
    /// Enlarge fourfold with an upscaling network (ESRGAN, downloaded once), for print
    #[arg(long)]
    pub enlarge: bool,
    /// Background colour, for example #f5e6c8, or "none" for transparent
    #[arg(long, value_name = "COLOUR")]
    pub background: Option<String>,
    /// PNG file that illumine drew: reproduce it, vary it (--vary) or enlarge it (--enlarge)
    #[arg(long, value_name = "PICTURE.png", value_hint = ValueHint::FilePath)]
    pub from: Option<PathBuf>,
    /// How much of the --from picture to redraw, from 0.1 (a little) to 0.9 (nearly all)
    #[arg(long, value_name = "AMOUNT", requires = "from", conflicts_with_all = ["restyle", "lerp", "scene"])]
    pub vary: Option<f64>,
    /// Redraw the picture in this file (PNG, JPEG, GIF, WebP) in the style given by --style
    #[arg(long, value_name = "FILE", requires = "style", conflicts_with_all = ["from", "lerp", "scene"], value_hint = ValueHint::FilePath)]
    pub restyle: Option<PathBuf>,
    /// Interpolate from the prompt to this second prompt, in --n pictures
    #[arg(long, value_name = "WORDS", conflicts_with_all = ["from", "scene", "seeds"])]
    pub lerp: Option<String>,
    /// Draw a wide picture: a backdrop with the things named in the prompt in front of it
    #[arg(long, conflicts_with = "from")]
    pub scene: bool,
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
    /// Folder of the image model's weights
    #[arg(long, env = "ILLUMINE_WEIGHTS", value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub weights: Option<PathBuf>,
    /// Never access the network
    #[arg(long, env = "ILLUMINE_OFFLINE", value_parser = FalseyValueParser::new())]
    pub offline: bool,
    #[command(flatten)]
    pub on: On,
}

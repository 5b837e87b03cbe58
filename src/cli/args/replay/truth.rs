//! Command-line arguments of a replay that records, plays or verifies answers.

use clap::{Args, ValueHint};
use std::path::PathBuf;

/// Options that determine how a replay uses recorded answers. Without these options, the model
/// writes every passage anew.
#[derive(Args, Clone, Debug, Default)]
pub struct Truth {
    /// Let the model write every passage anew, whatever the script says
    #[arg(long, conflicts_with_all = ["cassette", "verify"])]
    pub recompute: bool,
    /// Also record the model's answers in this file
    #[arg(long, value_name = "CASSETTE", value_hint = ValueHint::FilePath, conflicts_with_all = ["cassette", "verify", "compare", "shard", "resume"])]
    pub record: Option<PathBuf>,
    /// Play the answers in this cassette, without a model
    #[arg(long, value_name = "CASSETTE", value_hint = ValueHint::FilePath, conflicts_with_all = ["verify", "compare"])]
    pub cassette: Option<PathBuf>,
    /// With --cassette: play the answers in the order in which they were recorded, without
    /// comparing the requests
    #[arg(long, requires = "cassette", conflicts_with_all = ["jobs", "shard", "resume"])]
    pub in_order: bool,
    /// With --cassette: let each answer take as long as it took when it was recorded
    #[arg(long, requires = "cassette")]
    pub real_time: bool,
    /// Check that the model finds the passages in this cassette as likely as when they were recorded
    #[arg(long, value_name = "CASSETTE", value_hint = ValueHint::FilePath, conflicts_with_all = ["compare", "resume"])]
    pub verify: Option<PathBuf>,
    /// With --verify: how far the log-probability of a token may differ from the recorded one
    /// [default: 0.0001 between CPUs, or else 0.5]
    #[arg(long, value_name = "NUMBER", requires = "verify", value_parser = parse_tolerance)]
    pub tolerance: Option<f64>,
}

fn parse_tolerance(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    let number = number.filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| "it takes a number from 0 to 100".to_string())
}

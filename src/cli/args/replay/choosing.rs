//! Command-line arguments for choosing between the texts of a comparison.

use clap::{Args, ValueEnum, ValueHint};
use std::path::PathBuf;

/// Options for choosing between the texts of a comparison.
#[derive(Args, Clone, Debug, Default)]
pub struct Choosing {
    /// With --compare: show both texts of each case, and store which one you choose. Each choice is
    /// saved immediately; run the same command again to continue
    #[arg(long, requires = "compare", conflicts_with = "json")]
    pub choose: bool,
    /// With --choose: hide which text is from A until every case is decided, and use this seed to
    /// shuffle the sides [default seed: 0]
    #[arg(long, value_name = "SEED", requires = "choose", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    pub blind: Option<u64>,
    /// With --choose: append the choices to this file as preference pairs (JSON Lines with prompt,
    /// chosen and rejected) [default: SCRIPT.pairs.jsonl beside the script]
    #[arg(long, value_name = "FILE", requires = "choose", value_hint = ValueHint::FilePath)]
    pub pairs: Option<PathBuf>,
}

/// What each row of a score table stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ScoresOf {
    /// The sides of the comparisons, by the names that were given to --compare
    #[default]
    Name,
    /// The models
    Model,
    /// The settings
    Settings,
}

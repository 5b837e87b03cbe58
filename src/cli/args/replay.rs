//! Command-line arguments of `illumine replay`.

mod truth;

pub use truth::Truth;

use super::Common;
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Replay {
    #[command(subcommand)]
    pub what: Option<ReplayCommand>,
    /// Scripts to run; docs/replay.md describes their format
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// Run only the cases whose names contain this text
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Set a script's variable, for example --var name=Ada
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub var: Vec<String>,
    /// Write goldens that are missing or differ, instead of failing
    #[arg(long)]
    pub update_golden: bool,
    /// Print JSON Lines: an object for each case, then one for the run
    #[arg(long)]
    pub json: bool,
    /// Also write a report as JUnit XML to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub junit: Option<PathBuf>,
    /// Leave all times out of the reports
    #[arg(long)]
    pub stable: bool,
    #[command(flatten, next_help_heading = "Recorded answers")]
    pub truth: Truth,
    #[command(flatten, next_help_heading = "Model and sampling")]
    pub common: Common,
}

#[derive(Debug, Subcommand)]
pub enum ReplayCommand {
    /// Write a first script
    New {
        /// Script to write
        #[arg(default_value = "first.illum", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Overwrite an existing file
        #[arg(long)]
        force: bool,
    },
}

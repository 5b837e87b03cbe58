//! Command-line arguments of `illumine replay`.

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
    #[command(flatten)]
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
    /// Make a script from promptfoo's configuration or from samples of OpenAI's evals
    ///
    /// Reads promptfooconfig.yaml, or a .jsonl file of samples. Assertions without an equivalent
    /// are listed on standard error and as comments in the script.
    Import {
        /// Configuration or samples to read
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Script to write, instead of standard output
        #[arg(short, long, value_name = "SCRIPT", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
        /// Overwrite an existing script
        #[arg(long)]
        force: bool,
    },
}

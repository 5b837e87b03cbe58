//! Command-line arguments of `illumine replay`.

mod choosing;
mod truth;

pub use choosing::{Choosing, ScoresOf};
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
    #[arg(required_unless_present = "compare", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// Run only the cases whose names contain this text, or match it if it is a /PATTERN/
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Set a script's variable, for example --var name=Ada
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub var: Vec<String>,
    /// Write goldens that are missing or differ, instead of failing
    #[arg(long)]
    pub update_golden: bool,
    /// Show each golden that differs, and ask whether to replace it with the new text or picture
    #[arg(long, conflicts_with_all = ["update_golden", "json"])]
    pub review: bool,
    /// Run the cases twice and compare the texts and the expectations that pass. A and B are
    /// models, settings such as seed=1 or temperature=0.8,seed=2, git revisions of the script, or
    /// reports of earlier runs (.jsonl), whose cases are not run again. The prefixes model:, set:,
    /// commit: and report: say which of these is meant
    #[arg(long, value_names = ["A", "B"], num_args = 2, conflicts_with_all = ["update_golden", "review", "junit", "resume", "bail"])]
    pub compare: Vec<String>,
    /// Print JSON Lines: an object for each case, then one for the run
    #[arg(long)]
    pub json: bool,
    /// Also write a report to this file. Its name selects the format: .xml (JUnit), .tap, .jsonl
    /// (JSON Lines, written as cases end), .html, .eval (Inspect) or samples_*.jsonl
    /// (lm-evaluation-harness). A format before the name takes precedence: junit, tap, json, html,
    /// inspect or samples. Can be repeated
    #[arg(long, value_name = "[FORMAT:]FILE", value_hint = ValueHint::FilePath)]
    pub report: Vec<PathBuf>,
    /// Also write a report as JUnit XML to this file, whatever its name
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub junit: Option<PathBuf>,
    /// Omit from reports whatever differs between runs or machines: times, folders, the processor
    /// and the version of illumine
    #[arg(long)]
    pub stable: bool,
    #[command(flatten, next_help_heading = "Choosing")]
    pub choosing: Choosing,
    #[command(flatten, next_help_heading = "Recorded answers")]
    pub truth: Truth,
    #[command(flatten, next_help_heading = "Model and sampling")]
    pub common: Common,
    #[command(flatten)]
    pub many: ManyCases,
}

/// Options for running many cases.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Many cases")]
pub struct ManyCases {
    /// How many cases run at a time with a model server, each with at most one request in flight.
    /// With a model in this process, cases always run one after the other
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=2048))]
    pub jobs: u16,
    /// How many cases a model in this process writes at a time, as one batch. The results are the
    /// same as with 1. Cases always run one after the other on a GPU, with --bail or with a
    /// cassette
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub batch: u16,
    /// How many times to retry a failed request to a model server; 0 leaves retries to a router
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub retries: u32,
    /// How many seconds one request to a model server may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
    /// Run only one part of the cases, for example 3/8. If only the number of parts is given, the
    /// part comes from SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX. A hash of a case's name
    /// determines its part [default: the part of a Slurm array task or an indexed Kubernetes job]
    #[arg(long, value_name = "I/N")]
    pub shard: Option<String>,
    /// Stop when this many cases have failed or had errors
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    pub bail: Option<u32>,
    /// Skip the cases that passed or failed in an earlier run and are unchanged. FILE is the report
    /// of that run as JSON Lines; --report may name the same file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub resume: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum ReplayCommand {
    /// Write an example script to start from
    New {
        /// Script to write
        #[arg(default_value = "first.illum", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Overwrite an existing file
        #[arg(long)]
        force: bool,
    },
    /// Print scores of models or settings, computed from the choices that --choose stored
    ///
    /// Prints Bradley-Terry scores and Elo ratings with 95 % confidence intervals, and the numbers
    /// of wins, losses and ties.
    Scores {
        /// Files of pairs to read
        #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
        /// Print a row for each name, model or list of settings
        #[arg(long, value_enum, default_value_t)]
        by: ScoresOf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a script from a promptfoo configuration or from samples of OpenAI's evals
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

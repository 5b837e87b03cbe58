//! Arguments of `illumine write --each` and `--merge`.

use clap::{Args, ValueHint};
use std::path::PathBuf;

/// The part of `illumine write --help` that describes the fields of cases and of results.
pub const ROWS: &str = "\
Rows of --each, one JSON object per line:
  id        a string or number, unique in the file; also custom_id [default: line-N]
  prompt    the text to continue; also input
  messages  a chat instead of a prompt, such as [{\"role\": \"user\", \"content\": \"…\"}]
  vars      an object of values for the variables of --template
  model, mode (prose or chat), system, length, seed and every other /set setting override the flags
  for this row; they may also be grouped in an object \"settings\"
  A row may also be a JSON string: the prompt. OpenAI batch rows (custom_id, body) work too.
  Other fields are ignored and reported once.

Rows of the results:
  id, line, text, finish, tokens, usage, seconds, attempts, model, seed, ended; instead of text and
  finish, a failed case has error";

/// Options for writing a passage for each of many prompts, and for merging the results.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Many prompts")]
pub struct Many {
    /// Write a passage for each row of a case file, or of standard input (-); its fields are listed
    /// below
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["prompt", "json", "echo"])]
    pub each: Option<PathBuf>,
    /// Append a row for each case to this file, and skip cases already complete in it
    /// [default: standard output]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "each")]
    pub output: Option<PathBuf>,
    /// Maximum number of requests in flight on a model server [default: adapts, up to 256]
    #[arg(long, value_name = "N", requires = "each", value_parser = clap::value_parser!(u16).range(1..=2048))]
    pub jobs: Option<u16>,
    /// How many times to retry a failed request; 0 leaves retries to a router
    #[arg(long, value_name = "N", default_value_t = 3, requires = "each", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub retries: u32,
    /// Time limit for one request, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, requires = "each", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
    /// Write only one part of the cases, for example 3/8; if only the number of parts is given, the
    /// part comes from SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX. A case's part is chosen by a
    /// hash of its id [default: the part of a Slurm array task or an indexed Kubernetes job]
    #[arg(long, value_name = "I/N", requires = "each")]
    pub shard: Option<String>,
    /// Merge files of results into OUT, in the order of the cases; with --each, also report
    /// missing cases
    #[arg(long, value_names = ["OUT", "IN"], num_args = 2.., value_hint = ValueHint::FilePath, conflicts_with_all = ["prompt", "json", "echo", "output", "jobs", "shard"])]
    pub merge: Vec<PathBuf>,
}

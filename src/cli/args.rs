//! The command-line arguments. They are validated here, but not yet combined with the configuration
//! and the environment.

mod many;
mod pictures;
mod replay;
mod sessions;
#[cfg(feature = "train")]
mod training;

pub use many::Many;
pub use pictures::Draw;
pub use replay::{Replay, ReplayCommand, ScoresOf, Truth as ReplayTruth};
pub use sessions::{Export, Import, Record, Sessions};
#[cfg(feature = "train")]
pub use training::{EvalImage, Gan, Train};

use super::{Exit, Failed, print, variables};
use clap::builder::FalseyValueParser;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueHint};
use kernels::attention::KvType;
use llm::device;
use std::io::{IsTerminal, stdout};
use std::path::PathBuf;

fn exit_codes() -> String {
    let row = |(code, means): &(&str, &str)| format!("\n  {code:<5}  {means}");
    let rows: String = super::exit::CODES.iter().map(row).collect();
    format!("Exit codes:{rows}")
}

/// Write and illustrate stories in the terminal with local models.
///
/// Without a command, opens the named session (or the most recent one) in the full-screen editor.
/// If standard input or output is not a terminal, runs `illumine repl` instead.
#[derive(Debug, Parser)]
#[command(name = "illumine", version, after_help = exit_codes(), args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Session to open; created if it does not exist.
    pub session: Option<String>,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub log: Log,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options that all commands take.
#[derive(Args, Clone, Debug, Default)]
pub struct Log {
    /// Log events to this file, for a bug report; the log contains none of your text
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Log")]
    pub log: Option<PathBuf>,
    /// Also log the text that you and the model write
    #[arg(long, global = true, requires = "log", help_heading = "Log")]
    pub log_words: bool,
}

impl Cli {
    /// The command's name, for the log.
    pub fn name(&self) -> &'static str {
        match &self.command {
            None => "editor",
            Some(Command::Repl { .. }) => "repl",
            Some(Command::Write(_)) => "write",
            Some(Command::Draw(_)) => "draw",
            Some(Command::Train { .. }) => "train",
            Some(Command::Models { .. }) => "models",
            Some(Command::Sessions { .. }) => "sessions",
            Some(Command::Prompts { .. }) => "prompts",
            Some(Command::Eval { .. }) => "eval",
            Some(Command::Replay(_)) => "replay",
            Some(Command::Bench(_)) => "bench",
            Some(Command::Paths) => "paths",
            Some(Command::Completions { .. }) => "completions",
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Line-by-line interface for pipes, plain terminals, screen readers and slow connections
    Repl {
        /// Session to open; created if it does not exist
        session: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Continue a prompt and print only the generated text
    Write(Write),
    /// Draw pictures from a prompt
    Draw(Draw),
    /// Train the image model and build its dataset
    #[cfg(feature = "train")]
    Train {
        #[command(subcommand)]
        what: Train,
    },
    /// Train the image model (not in this build)
    #[cfg(not(feature = "train"))]
    #[command(disable_help_flag = true)]
    Train(NoTrainer),
    /// List, download, verify and remove models
    Models {
        #[command(subcommand)]
        what: Models,
    },
    /// List, show, search, check, import and export sessions
    Sessions {
        #[command(subcommand)]
        what: Sessions,
    },
    /// List and show voices and prompt templates
    Prompts {
        #[command(subcommand)]
        what: Prompts,
    },
    /// Evaluate a text model or an image model
    Eval {
        #[command(subcommand)]
        what: Eval,
    },
    /// Run replay scripts: type their lines and check what they expect
    Replay(Box<Replay>),
    /// Benchmark prompt processing and text generation
    Bench(Bench),
    /// Print the paths of sessions, models and configuration
    Paths,
    /// Print a shell completion script
    Completions {
        /// Shell to print the script for
        shell: clap_complete::Shell,
    },
}

/// Flags that every front end shares.
#[derive(Args, Clone, Debug, Default)]
pub struct Common {
    /// Model name (see `illumine models list`), path to a GGUF file, or URL of a model server
    #[arg(short, long, env = "ILLUMINE_MODEL", value_name = "NAME|PATH|URL")]
    pub model: Option<String>,
    /// Model server to write with: its address, or the name of a backend in config.toml; --model
    /// then names a model on it. The server's key comes from ILLUMINE_API_KEY
    #[arg(long, env = "ILLUMINE_BACKEND", value_name = "URL|NAME")]
    pub backend: Option<String>,
    #[command(flatten)]
    pub on: On,
    /// Draft model for speculative decoding on a CPU: the same output, faster. It must have the
    /// same vocabulary as the model. "none" turns it off [default: the one in the catalogue] [env:
    /// ILLUMINE_DRAFT=]
    #[arg(
        long,
        env = "ILLUMINE_DRAFT",
        hide_env = true,
        value_name = "NAME|PATH"
    )]
    pub draft: Option<String>,
    /// Sessions folder
    #[arg(long, env = "ILLUMINE_SESSIONS", value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub sessions: Option<PathBuf>,
    /// Folder of the image model's weights
    #[arg(long, env = "ILLUMINE_WEIGHTS", value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub weights: Option<PathBuf>,
    /// Do not save this session to disk
    #[arg(long)]
    pub private: bool,
    /// Never access the network
    #[arg(long, env = "ILLUMINE_OFFLINE", value_parser = FalseyValueParser::new())]
    pub offline: bool,
    /// Use the model's chat template instead of continuing plain text
    #[arg(long)]
    pub chat: bool,
    /// System message; in prose mode, text placed before the story
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    #[command(flatten)]
    pub sampling: Sampling,
}

/// The flags for the device, the number of CPU threads and the KV cache type of a model.
#[derive(Args, Clone, Debug, Default)]
pub struct On {
    /// Device to run on: auto, cpu, cuda:N or metal
    #[arg(
        long,
        env = "ILLUMINE_DEVICE",
        default_value = "auto",
        value_name = "DEVICE"
    )]
    pub device: device::DeviceChoice,
    /// Number of CPU threads [default: all processors]
    #[arg(short, long, env = "ILLUMINE_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub threads: Option<u16>,
    /// KV cache type on a CPU: f16, f32 or q8_0 (about half the memory of f16)
    #[arg(long, env = "ILLUMINE_KV", value_name = "KIND", default_value = "f16")]
    pub kv: KvType,
}

/// The most common sampling settings; `--set` accepts all of them.
#[derive(Args, Clone, Debug, Default)]
pub struct Sampling {
    /// Maximum number of new tokens
    #[arg(
        short = 'n',
        long = "max-tokens",
        visible_alias = "tokens",
        value_name = "N",
        allow_negative_numbers = true
    )]
    pub max_tokens: Option<String>,
    /// Random seed; the same seed, model and settings give the same text
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<String>,
    /// Sampling temperature; 0 is greedy
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub temperature: Option<String>,
    #[arg(
        long,
        value_name = "K",
        help = "Top-k: sample from the K most likely tokens; 0 is off",
        allow_negative_numbers = true
    )]
    pub top_k: Option<String>,
    #[arg(
        long,
        value_name = "P",
        help = "Top-p (nucleus): sample from the most likely tokens with total probability P; 1 is off",
        allow_negative_numbers = true
    )]
    pub top_p: Option<String>,
    #[arg(
        long,
        value_name = "P",
        help = "Min-p: drop tokens less than P times as likely as the most likely one; 0 is off",
        allow_negative_numbers = true
    )]
    pub min_p: Option<String>,
    /// Change any /set setting, for example --set dry_multiplier=0
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_help = many::ROWS)]
pub struct Write {
    /// Text to continue [default: standard input]
    pub prompt: Option<String>,
    /// Prompt template to fill in (see `illumine prompts list`); its opening words are the default
    /// prompt
    #[arg(long, value_name = "NAME")]
    pub template: Option<String>,
    /// Set a template variable, for example --var title=Salt
    #[arg(long = "var", value_name = "NAME=VALUE", requires = "template")]
    pub var: Vec<String>,
    /// Print a JSON object instead of the text
    #[arg(long)]
    pub json: bool,
    /// Print the prompt before the generated text
    #[arg(long, conflicts_with = "json")]
    pub echo: bool,
    /// Drop the beginning of a prompt that does not fit the model's context
    #[arg(long)]
    pub crop: bool,
    #[command(flatten)]
    pub many: Many,
    #[command(flatten, next_help_heading = "Model and sampling")]
    pub common: Common,
}

#[derive(Debug, Subcommand)]
pub enum Models {
    /// List the models in the catalogue, with downloaded ones marked, and those on model servers
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Never access the network, not even this machine's own servers
        #[arg(long, env = "ILLUMINE_OFFLINE", value_parser = FalseyValueParser::new())]
        offline: bool,
    },
    /// Download a model
    Pull {
        /// Model name; omit for the default model
        name: Option<String>,
        /// Accept the model's licence terms, where required
        #[arg(long, visible_alias = "accept-license")]
        accept_licence: bool,
        /// Never access the network
        #[arg(long, env = "ILLUMINE_OFFLINE", value_parser = FalseyValueParser::new())]
        offline: bool,
    },
    /// Show a model's catalogue entry
    Info {
        /// Model name [default: the default model]
        name: Option<String>,
    },
    /// Verify the checksum of a downloaded model
    Verify {
        /// Model name [default: the default model]
        name: Option<String>,
    },
    /// Delete a downloaded model
    Rm {
        /// Model name
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Prompts {
    /// List voices and prompt templates; your own are marked
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the file of a voice or prompt template
    Show {
        /// Name of the voice or template
        name: String,
    },
}

// The value is parsed only once, so a box would save nothing.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Subcommand)]
pub enum Eval {
    /// Measure a text model's perplexity
    Text {
        /// Text file to evaluate
        #[arg(long, value_name = "FILE", required = true)]
        perplexity: PathBuf,
        /// Window size in tokens; the second half of each window is scored
        #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(4..=1_000_000))]
        window: u32,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Evaluate an image model: recognition rate, Fréchet and kernel distance, precision and recall,
    /// diversity, memorization
    #[cfg(feature = "train")]
    Image(EvalImage),
    /// Evaluate an image model (not in this build)
    #[cfg(not(feature = "train"))]
    #[command(disable_help_flag = true)]
    Image(NoTrainer),
}

/// The arguments of a command that needs the trainer, in a build without the trainer.
#[cfg(not(feature = "train"))]
#[derive(Args, Debug)]
pub struct NoTrainer {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    ignored: Vec<std::ffi::OsString>,
}

#[derive(Args, Debug)]
pub struct Bench {
    /// Prompt lengths in tokens
    #[arg(
        short,
        long,
        value_name = "N,..",
        value_delimiter = ',',
        default_value = "512"
    )]
    pub prompt: Vec<usize>,
    /// Number of tokens to generate
    #[arg(short, long, default_value_t = 128)]
    pub generate: usize,
    /// Context depths: tokens already in the KV cache before generation
    #[arg(
        short,
        long,
        value_name = "N,..",
        value_delimiter = ',',
        default_value = "0"
    )]
    pub depth: Vec<usize>,
    /// Run every benchmark: several prompt lengths and depths, cold start, a story, memory use
    #[arg(long)]
    pub full: bool,
    /// Repetitions of each measurement
    #[arg(short, long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub repeat: u16,
    /// Command of another benchmark to alternate with this one; it must print llama-bench's JSON
    #[arg(long, value_name = "COMMAND")]
    pub against: Option<String>,
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
    /// Model name (see `illumine models list`) or path to a GGUF file
    #[arg(short, long, env = "ILLUMINE_MODEL", value_name = "NAME|PATH")]
    pub model: Option<String>,
    #[command(flatten)]
    pub on: On,
}

/// Parses the command line. If the arguments request the help or the version, prints it and returns
/// None. A usage error becomes a one-sentence message, like every other failure.
pub fn read() -> Result<Option<Cli>, Failed> {
    let error = match Cli::try_parse() {
        Ok(cli) => return Ok(Some(cli)),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let help = error.render();
            let coloured = stdout().is_terminal() && variables::colour();
            let help = match coloured {
                true => help.ansi().to_string(),
                false => help.to_string(),
            };
            print(&help).map(|_| None)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        ErrorKind::InvalidUtf8 => Err(Failed::new(
            Exit::Usage,
            "An argument is not UTF-8; convert it, for example with iconv, or put the text into a file",
        )),
        _ => Err(Failed::new(Exit::Usage, sentence(&error.to_string()))),
    }
}

/// Joins the paragraphs of clap's error message into one sentence, without the usage line.
fn sentence(said: &str) -> String {
    let lines = said.trim_start_matches("error:").lines().map(str::trim);
    let about =
        lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let mut sentence = String::new();
    for line in about.filter(|line| !line.is_empty()) {
        match line.strip_prefix("tip: ") {
            Some(tip) => sentence += &format!("; {tip}"),
            None if sentence.is_empty() => sentence += line,
            None => sentence += &format!(" {line}"),
        }
    }
    sentence + "; see --help"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slip(words: &[&str]) -> String {
        let words = [&["illumine"], words].concat();
        sentence(&Cli::try_parse_from(words).unwrap_err().to_string())
    }

    #[test]
    fn a_slip_is_one_sentence() {
        assert_eq!(
            slip(&["write", "--temprature", "1"]),
            "unexpected argument '--temprature' found; a similar argument exists: '--temperature'; see --help"
        );
        assert_eq!(
            slip(&["--device", "gpu"]),
            "invalid value 'gpu' for '--device <DEVICE>': a device is auto, cpu, cuda:N or metal; see --help"
        );
        assert_eq!(
            slip(&["eval", "text"]),
            "the following required arguments were not provided: --perplexity <FILE>; see --help"
        );
    }

    #[test]
    fn the_table_of_arguments_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}

//! The command line, validated and not yet resolved.

mod pictures;
mod sessions;

pub use pictures::{Draw, EvalImage, Gan, Train};
pub use sessions::{Export, Import, Sessions};

use super::{Exit, Failed};
use clap::builder::FalseyValueParser;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueHint};
use illumine::model::device;
use kernels::attention::KvType;
use std::path::PathBuf;

const AFTER: &str = "\
Exit codes:
  0    all went well
  1    something went wrong while writing
  2    the command line, a line of a script or the prompt cannot be used
  3    the model cannot be fetched, read or understood
  4    the prompt does not fit the model's context
  5    the session cannot be opened or written
  130  interrupted with Ctrl+C
  128+N  ended by signal N (129 hang-up, 143 termination)";

/// An illuminated manuscript in the terminal: a Transformer continues the story as you type.
///
/// Without a command: the full-screen editor, on the session named, or the last one. Where
/// standard input or output is no terminal: lines in, text out, as `illumine repl`.
#[derive(Debug, Parser)]
#[command(name = "illumine", version, after_help = AFTER, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// The session to open or begin.
    pub session: Option<String>,
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write line by line: for pipes, plain terminals, screen readers and slow links
    Repl {
        /// The session to open or begin
        session: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Continue one prompt and print the text, nothing else
    Write(Write),
    /// Draw a small picture of some words
    Draw(Draw),
    /// Train the illuminator, and make what it learns from
    Train {
        #[command(subcommand)]
        what: Train,
    },
    /// Models: what there is, fetch, check, remove
    Models {
        #[command(subcommand)]
        what: Models,
    },
    /// Sessions on disk
    Sessions {
        #[command(subcommand)]
        what: Sessions,
    },
    /// Voices and templates: what there is, and what each says
    Prompts {
        #[command(subcommand)]
        what: Prompts,
    },
    /// Measure how well a model writes
    Eval {
        #[command(subcommand)]
        what: Eval,
    },
    /// Measure how fast this machine reads and writes
    Bench(Bench),
    /// Print where everything is kept
    Paths,
    /// Print the completion script for a shell
    Completions { shell: clap_complete::Shell },
}

/// What every front end takes.
#[derive(Args, Clone, Debug, Default)]
pub struct Common {
    /// A name from `illumine models list`, or the path of a GGUF file
    #[arg(short, long, env = "ILLUMINE_MODEL", value_name = "NAME|PATH")]
    pub model: Option<String>,
    #[command(flatten)]
    pub on: On,
    /// A smaller model with the same tokens, which guesses on a CPU what the model will write: the
    /// words are the same and come sooner; none for none, by default the one that the catalogue
    /// names [env: ILLUMINE_DRAFT=]
    #[arg(
        long,
        env = "ILLUMINE_DRAFT",
        hide_env = true,
        value_name = "NAME|PATH"
    )]
    pub draft: Option<String>,
    /// The folder that holds the sessions
    #[arg(long, env = "ILLUMINE_SESSIONS", value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub sessions: Option<PathBuf>,
    /// The folder of the illuminator's weights, which draws
    #[arg(long, env = "ILLUMINE_WEIGHTS", value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub weights: Option<PathBuf>,
    /// Keep nothing of this session on disk
    #[arg(long)]
    pub private: bool,
    /// Never use the network
    #[arg(long, env = "ILLUMINE_OFFLINE", value_parser = FalseyValueParser::new())]
    pub offline: bool,
    /// Talk in the model's chat template instead of continuing the text
    #[arg(long)]
    pub chat: bool,
    /// What stands before the story: the chat's system message
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    #[command(flatten)]
    pub sampling: Sampling,
}

/// What computes.
#[derive(Args, Clone, Debug, Default)]
pub struct On {
    /// auto, cpu, cuda:N or metal
    #[arg(
        long,
        env = "ILLUMINE_DEVICE",
        default_value = "auto",
        value_name = "DEVICE"
    )]
    pub device: device::DeviceChoice,
    /// Threads that compute; all processors by default
    #[arg(short, long, env = "ILLUMINE_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub threads: Option<u16>,
    /// How keys and values are kept on a CPU: f16, f32, or q8_0, which takes little more than half
    /// the memory of f16
    #[arg(long, env = "ILLUMINE_KV", value_name = "KIND", default_value = "f16")]
    pub kv: KvType,
}

/// The settings that are asked for most; `--set` takes them all.
#[derive(Args, Clone, Debug, Default)]
pub struct Sampling {
    /// At most this many new tokens
    #[arg(
        short = 'n',
        long = "max-tokens",
        visible_alias = "tokens",
        value_name = "N"
    )]
    pub max_tokens: Option<String>,
    /// The same seed, model and settings give the same words
    #[arg(long, value_name = "N")]
    pub seed: Option<String>,
    /// How freely words are chosen; 0 takes the likeliest
    #[arg(long, value_name = "T")]
    pub temperature: Option<String>,
    #[arg(long, value_name = "K", help = "Choose among the K likeliest tokens")]
    pub top_k: Option<String>,
    #[arg(
        long,
        value_name = "P",
        help = "Choose among the likeliest tokens that hold P of the probability"
    )]
    pub top_p: Option<String>,
    #[arg(
        long,
        value_name = "P",
        help = "Leave out tokens less than P times as likely as the best"
    )]
    pub min_p: Option<String>,
    /// Any setting of /set, as in --set dry_multiplier=0
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

#[derive(Args, Debug)]
pub struct Write {
    /// The text to continue; standard input when it is not given
    pub prompt: Option<String>,
    /// Fill in a template of `illumine prompts list`; its own first words are the prompt where
    /// none is given
    #[arg(long, value_name = "NAME")]
    pub template: Option<String>,
    /// A variable of the template, as in --var title=Salt
    #[arg(long = "var", value_name = "NAME=VALUE", requires = "template")]
    pub var: Vec<String>,
    /// Print one JSON object instead of the text
    #[arg(long)]
    pub json: bool,
    /// Print the prompt before the text
    #[arg(long, conflicts_with = "json")]
    pub echo: bool,
    /// Leave out the oldest part of a prompt that is too long for the model
    #[arg(long)]
    pub crop: bool,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Subcommand)]
pub enum Models {
    /// List the models of the catalogue, and which are here
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch a model
    Pull {
        name: Option<String>,
        /// Accept the model's terms, where it has terms that must be accepted
        #[arg(long, visible_alias = "accept-license")]
        accept_licence: bool,
        /// Never use the network
        #[arg(long, env = "ILLUMINE_OFFLINE", value_parser = FalseyValueParser::new())]
        offline: bool,
    },
    /// Show all that is known of a model
    Info { name: Option<String> },
    /// Read a model's file again and compare its checksum
    Verify { name: Option<String> },
    /// Remove a model's file from this machine
    Rm { name: String },
}

#[derive(Debug, Subcommand)]
pub enum Prompts {
    /// List the voices and templates; your own are marked
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print one as it stands in its file
    Show { name: String },
}

// Read once: a box would save nothing.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Subcommand)]
pub enum Eval {
    /// How well a model foretells a text
    Text {
        /// The text; its perplexity over windows of the context is measured
        #[arg(long, value_name = "FILE", required = true)]
        perplexity: PathBuf,
        /// Tokens of a window, of which the second half is scored
        #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(4..=1_000_000))]
        window: u32,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        common: Common,
    },
    /// How good the illuminator's pictures are: recognized by a classifier of real ones, near to
    /// real ones, various, and no copies
    Image(EvalImage),
}

#[derive(Args, Debug)]
pub struct Bench {
    /// Tokens of the prompt that is read
    #[arg(
        short,
        long,
        value_name = "N,..",
        value_delimiter = ',',
        default_value = "512"
    )]
    pub prompt: Vec<usize>,
    /// Tokens that are written
    #[arg(short, long, default_value_t = 128)]
    pub generate: usize,
    /// Tokens of the story before those that are written
    #[arg(
        short,
        long,
        value_name = "N,..",
        value_delimiter = ',',
        default_value = "0"
    )]
    pub depth: Vec<usize>,
    /// Everything: several prompts and depths, from a cold start, in a story, and what memory it takes
    #[arg(long)]
    pub full: bool,
    /// How often each is measured
    #[arg(short, long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub repeat: u16,
    /// A peer's bench that prints llama-bench's JSON, run in turn with ours
    #[arg(long, value_name = "COMMAND")]
    pub against: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[arg(short, long, env = "ILLUMINE_MODEL", value_name = "NAME|PATH")]
    pub model: Option<String>,
    #[command(flatten)]
    pub on: On,
}

/// Reads the command line. Help is printed here; a slip is one sentence, as any other failure is.
pub fn read() -> Result<Cli, Failed> {
    Cli::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::DisplayVersion => error.exit(),
        _ => Failed::new(Exit::Usage, sentence(&error.to_string())),
    })
}

/// What clap says in several paragraphs, without the usage.
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

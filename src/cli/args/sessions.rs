//! Command-line arguments of `illumine sessions`.

use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Sessions {
    /// List sessions, most recent first
    List {
        /// Sessions folder
        #[arg(long, env = "ILLUMINE_SESSIONS", value_name = "FOLDER")]
        sessions: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a session's current story
    Show {
        /// Session name
        name: String,
        /// Print every passage of every branch as JSON Lines
        #[arg(long)]
        all: bool,
        /// Sessions folder
        #[arg(long, env = "ILLUMINE_SESSIONS", value_name = "FOLDER")]
        sessions: Option<PathBuf>,
    },
    /// Search every branch of every session
    Grep {
        /// Words to find
        words: String,
        /// Sessions folder
        #[arg(long, env = "ILLUMINE_SESSIONS", value_name = "FOLDER")]
        sessions: Option<PathBuf>,
    },
    /// Rename a session
    Rename {
        /// Session name
        name: String,
        /// New name
        to: String,
        /// Sessions folder
        #[arg(long, env = "ILLUMINE_SESSIONS", value_name = "FOLDER")]
        sessions: Option<PathBuf>,
    },
    /// Check one session, or all of them, for damage
    Check {
        /// Session name [default: all sessions]
        name: Option<String>,
        /// Read past damaged records and copy the sound ones to a new session; the damaged session
        /// stays unchanged
        #[arg(long, requires = "name")]
        salvage: bool,
        /// Sessions folder
        #[arg(long, env = "ILLUMINE_SESSIONS", value_name = "FOLDER")]
        sessions: Option<PathBuf>,
    },
    /// Compare a session with the copies that a sync program left beside it, or open one of them
    Conflicts {
        /// Session name
        name: String,
        /// Number of the copy to open as a session [default: list and compare them all]
        copy: Option<usize>,
        /// Name of the new session [default: the session's name with -copy]
        to: Option<String>,
        /// Sessions folder
        #[arg(long, env = "ILLUMINE_SESSIONS", value_name = "FOLDER")]
        sessions: Option<PathBuf>,
    },
    /// Create a session from a daily backup; the original stays as it is
    Restore {
        /// Session name
        name: String,
        /// Day of the backup, for example 2026-11-01 [default: list the backups]
        date: Option<String>,
        /// Name of the new session [default: the session's name with the date]
        to: Option<String>,
        /// Sessions folder
        #[arg(long, env = "ILLUMINE_SESSIONS", value_name = "FOLDER")]
        sessions: Option<PathBuf>,
    },
    /// Export a session as text, Markdown, HTML, EPUB, JSON Lines or another program's format
    Export(Export),
    /// Turn a session into a replay script that expects the same text again
    Record(Record),
    /// Create a session from a character card, lorebook, story, chat or text file
    Import(Import),
}

#[derive(Args, Debug)]
pub struct Export {
    /// Session name
    pub name: String,
    #[arg(help = formats())]
    pub format: Option<String>,
    /// Output file; - is standard output [default: a new file in the current folder]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Export every branch instead of the current story only
    #[arg(long)]
    pub tree: bool,
    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,
    /// Title [default: the session's name]
    #[arg(long)]
    pub title: Option<String>,
    /// Language tag for EPUB and HTML, for example en, de-AT or he
    #[arg(long, value_name = "TAG")]
    pub language: Option<String>,
    /// Sessions folder
    #[arg(long, env = "ILLUMINE_SESSIONS", value_name = "FOLDER")]
    pub sessions: Option<PathBuf>,
}

fn formats() -> String {
    let names = illumine::store::export::names().join(", ");
    format!("Format: {names} [default: from the output file's name, else md]")
}

#[derive(Args, Debug)]
pub struct Import {
    /// File to import
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Name of the new session [default: from the file name]
    pub name: Option<String>,
    /// Your name in the story, for character cards that use {{user}}
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Sessions folder
    #[arg(long, env = "ILLUMINE_SESSIONS", value_name = "FOLDER")]
    pub sessions: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Record {
    /// Session name
    pub name: String,
    /// Script to write; its goldens are written beside it [default: <name>.illum in the current
    /// folder]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Overwrite an existing script
    #[arg(long)]
    pub force: bool,
    /// Sessions folder
    #[arg(long, env = "ILLUMINE_SESSIONS", value_name = "FOLDER")]
    pub sessions: Option<PathBuf>,
}

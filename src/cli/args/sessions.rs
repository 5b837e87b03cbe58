//! What follows `illumine sessions`.

use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Sessions {
    /// List the sessions, the last one first
    List {
        #[arg(long, env = "ILLUMINE_SESSIONS", value_name = "FOLDER")]
        sessions: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a session's story as it stands
    Show {
        name: String,
        /// Every passage of every branch, one JSON object a line
        #[arg(long)]
        all: bool,
        #[arg(long, env = "ILLUMINE_SESSIONS", value_name = "FOLDER")]
        sessions: Option<PathBuf>,
    },
    /// Find words in every branch of every session
    Grep {
        words: String,
        #[arg(long, env = "ILLUMINE_SESSIONS", value_name = "FOLDER")]
        sessions: Option<PathBuf>,
    },
    /// Give a session another name
    Rename {
        name: String,
        to: String,
        #[arg(long, env = "ILLUMINE_SESSIONS", value_name = "FOLDER")]
        sessions: Option<PathBuf>,
    },
    /// Prove that a session is sound, or say what is wrong; without a name, all of them
    Check {
        name: Option<String>,
        #[arg(long, env = "ILLUMINE_SESSIONS", value_name = "FOLDER")]
        sessions: Option<PathBuf>,
    },
    /// Write a session to a file: text, Markdown, HTML, EPUB, JSON lines, other programs' formats
    Export(Export),
    /// Begin a session from a file: a card, a lorebook, a story, a chat, words
    Import(Import),
}

#[derive(Args, Debug)]
pub struct Export {
    /// The session
    pub name: String,
    #[arg(help = formats())]
    pub format: Option<String>,
    /// Where to; - is standard output, and without one it is a new file here
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Every branch, and not the story as it stands alone
    #[arg(long)]
    pub tree: bool,
    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,
    /// The title; the session's name where none is given
    #[arg(long)]
    pub title: Option<String>,
    /// The language of the story, for e-books and web pages, as in en or de-AT
    #[arg(long, value_name = "TAG")]
    pub language: Option<String>,
    #[arg(long, env = "ILLUMINE_SESSIONS", value_name = "FOLDER")]
    pub sessions: Option<PathBuf>,
}

fn formats() -> String {
    let names = illumine::store::export::names().join(", ");
    format!("One of {names}; else the file's name tells, or it is md")
}

#[derive(Args, Debug)]
pub struct Import {
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// The session to begin; the file's name where none is given
    pub name: Option<String>,
    /// Who speaks with the character of a card
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    #[arg(long, env = "ILLUMINE_SESSIONS", value_name = "FOLDER")]
    pub sessions: Option<PathBuf>,
}

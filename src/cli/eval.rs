//! `illumine eval`: evaluates a model.

use super::args::{Common, Eval as Args};
use super::environment::{self, Paths};
use super::page::Progress;
use super::{Exit, Failed, print};
use base::decode::decode;
use illumine::engine::perplexity::{PerplexityError, perplexity};
use illumine::engine::{Loaded, ModelLoader};
use std::path::Path;

pub fn run(paths: &Paths, what: &Args) -> Result<Exit, Failed> {
    match what {
        Args::Text {
            perplexity,
            window,
            json,
            common,
        } => text(paths, perplexity, *window as usize, *json, common),
        #[cfg(feature = "train")]
        Args::Image(args) => super::gallery::run(paths, args),
        #[cfg(not(feature = "train"))]
        Args::Image(_) => Err(super::no_trainer()),
    }
}

fn text(
    paths: &Paths,
    file: &Path,
    window: usize,
    json: bool,
    common: &Common,
) -> Result<Exit, Failed> {
    let text = read(file)?;
    let mut loaded = load(environment::loader(paths, common)?, common.model.as_deref())?;
    let progress = Progress::of_things();
    let found = perplexity(&mut loaded, &text, window, &progress);
    drop(progress);
    let found = found.map_err(|error| {
        let exit = match error {
            PerplexityError::TooShort { .. } => Exit::Usage,
            _ => Exit::Engine,
        };
        Failed::new(exit, error)
    })?;
    if json {
        let found = serde_json::to_string(&found);
        return print(&format!("{}\n", found.unwrap_or_default()));
    }
    print(&format!(
        "perplexity {:.4} ({} tokens, {} windows of {window}, {} scored)\n",
        found.perplexity, found.tokens, found.chunks, found.scored
    ))
}

/// Reads a text file in any encoding that illumine accepts.
pub fn read(file: &Path) -> Result<String, Failed> {
    let bytes = std::fs::read(file);
    let bytes = bytes.map_err(|error| {
        Failed::new(
            Exit::Usage,
            format!("Cannot read {}: {error}", file.display()),
        )
    })?;
    let wrong = |error| Failed::new(Exit::Usage, format!("{} {error}", file.display()));
    decode(bytes).map_err(wrong)
}

/// Loads a model and shows the progress on standard error; returns when the model is loaded.
pub fn load(loader: ModelLoader, model: Option<&str>) -> Result<Loaded, Failed> {
    let progress = Progress::of_bytes();
    let loaded = loader.load_local(model.unwrap_or_default(), &progress);
    drop(progress);
    Ok(loaded?)
}

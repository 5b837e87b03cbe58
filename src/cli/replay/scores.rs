//! `illumine replay scores`: Bradley-Terry scores and Elo ratings from files of pairs.

use super::super::args::ScoresOf;
use super::super::{Exit, Failed, print};
use super::{json_line, usage};
use replay::pairs::{Game, Origin, PairFile, Standings, standings, standings_text};
use std::path::PathBuf;

/// Reads the pairs of all files, and prints a score for each name, model or list of settings that
/// they compare.
pub(super) fn run(files: &[PathBuf], by: ScoresOf, json: bool) -> Result<Exit, Failed> {
    let (mut games, mut left_out) = (Vec::new(), 0);
    let name = |origin: &Origin| match by {
        ScoresOf::Name => origin.name.clone(),
        // The same model on two machines is one contestant.
        ScoresOf::Model => {
            let model = origin.model.rsplit_once(" on ");
            model
                .map_or(origin.model.as_str(), |(model, _)| model)
                .to_string()
        }
        ScoresOf::Settings => origin.settings.clone(),
    };
    for path in files {
        for pair in PairFile::read(path).map_err(usage)? {
            match Game::of(&pair, name) {
                Some(game) => games.push(game),
                None => left_out += 1,
            }
        }
    }
    if games.is_empty() {
        return Err(usage(
            "No pair says which of two sides won; write such pairs with illumine replay --compare A B --choose, or choose another --by",
        ));
    }
    let found = Standings {
        left_out,
        ..standings(&games)
    };
    match json {
        true => print(&json_line(&found)?),
        false => print(&standings_text(&found)),
    }
}

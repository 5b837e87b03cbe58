//! `--choose`: lets a person choose the better text of each case, and stores the choices.

use super::super::super::args::Replay as Args;
use super::super::super::environment;
use super::super::super::{Exit, Failed, note};
use super::super::usage;
use base::untrusted::clean_line;
use illumine::tui::ExitReason;
use illumine::tui::choosing::{self, Candidates, Choice, Choosing, Titled};
use replay::pairs::{Offer, Pair, PairFile, Side, Tally, Winner};
use std::collections::BTreeMap;
use std::io::{IsTerminal, stdin, stdout};
use std::path::PathBuf;
use story::sentence::count_noun;

/// The result of `--choose`.
pub(super) struct Chosen {
    /// Whether the names of the sides may be shown.
    pub(super) reveals: bool,
    pub(super) text: String,
    pub(super) exit: Exit,
}

/// Returns an error if there is no terminal, because a person could not choose without one.
pub(super) fn check() -> Result<(), Failed> {
    if !stdin().is_terminal() || !stdout().is_terminal() {
        return Err(usage(
            "--choose asks a person, so it needs a terminal; without --choose, the comparison is printed",
        ));
    }
    Ok(())
}

/// Shows the texts, stores the choices, and returns a summary.
pub(super) fn run(args: &Args, names: [&str; 2], offers: Vec<Offer>) -> Result<Chosen, Failed> {
    if offers.is_empty() {
        return Ok(Chosen {
            reveals: true,
            text: "No case has two texts to choose from.\n".to_string(),
            exit: Exit::Well,
        });
    }
    let path = pairs_path(args)?;
    let file = PairFile::open(&path).map_err(usage)?;
    let mut chooser = Chooser::new(offers, file, args.choosing.blind, names);
    let before = chooser.decided();
    if before > 0 {
        let all = count_noun(chooser.offers.len(), "case");
        note(&format!("{before} of {all} were decided earlier"));
    }
    let mut why = ExitReason::Quit;
    if !chooser.left.is_empty() {
        let shown = choosing::choose(&mut chooser, environment::colour());
        let (ended, remarks) = shown.map_err(|error| Failed::new(Exit::Engine, error))?;
        remarks.iter().for_each(|remark| note(&clean_line(remark)));
        why = ended;
    }
    Ok(Chosen {
        reveals: chooser.reveals(),
        text: chooser.summary(names, &path),
        exit: match why {
            ExitReason::Quit => Exit::Well,
            ExitReason::Interrupted => Exit::Interrupted,
            ExitReason::Signal(number) => Exit::Signal(u8::try_from(number).unwrap_or_default()),
        },
    })
}

/// Returns the path of the file of pairs: the one that the user named, or else one beside the first
/// script or report.
fn pairs_path(args: &Args) -> Result<PathBuf, Failed> {
    if let Some(path) = &args.choosing.pairs {
        return Ok(path.clone());
    }
    let report = args
        .compare
        .iter()
        .map(|side| side.strip_prefix("report:").unwrap_or(side));
    let first = args.files.first().cloned();
    let first = first.or(report.map(PathBuf::from).next());
    let path = first.map(|path| path.with_extension("pairs.jsonl"));
    path.ok_or_else(|| usage("Name a file for the choices with --pairs"))
}

/// The cases to decide, and the choices made so far.
struct Chooser {
    offers: Vec<Offer>,
    file: PairFile,
    /// The seed that shuffles the sides; None if the names are shown.
    blind: Option<u64>,
    names: [String; 2],
    /// The result for each offer; None if it is not decided yet.
    winners: Vec<Option<Winner>>,
    /// The indices of the offers that were not decided when the screen opened.
    left: Vec<usize>,
    /// The position of the current offer in `left`.
    at: usize,
    /// For each offer of `left` before the current one: true if a choice was stored, false if the
    /// offer was skipped.
    stored: Vec<bool>,
}

impl Chooser {
    fn new(offers: Vec<Offer>, file: PairFile, blind: Option<u64>, names: [&str; 2]) -> Chooser {
        let pairs = file.earlier().iter().filter(|pair| pair.winner.is_some());
        let known: BTreeMap<String, &Pair> = pairs.map(|pair| (pair.digest(), pair)).collect();
        let winner = |offer: &Offer| Some(offer.winner_of(known.get(&offer.digest())?));
        let winners: Vec<Option<Winner>> = offers.iter().map(winner).collect();
        let left = (0..offers.len()).filter(|at| winners[*at].is_none());
        Chooser {
            left: left.collect(),
            offers,
            file,
            blind,
            names: names.map(str::to_string),
            winners,
            at: 0,
            stored: Vec::new(),
        }
    }

    fn decided(&self) -> usize {
        self.winners.iter().flatten().count()
    }

    /// Whether the names of the sides may be shown.
    fn reveals(&self) -> bool {
        self.blind.is_none() || self.decided() == self.offers.len()
    }

    fn current_offer(&self) -> Option<&Offer> {
        self.offers.get(*self.left.get(self.at)?)
    }

    fn left_side(&self, offer: &Offer) -> Side {
        self.blind.map_or(Side::A, |seed| offer.left(seed))
    }

    fn summary(&self, names: [&str; 2], path: &std::path::Path) -> String {
        let mut tally = Tally::default();
        self.winners.iter().flatten().for_each(|it| tally.add(*it));
        let path = clean_line(&path.to_string_lossy());
        let (decided, all) = (self.decided(), self.offers.len());
        let mut text = match self.reveals() {
            true => tally.text(names),
            false => String::new(),
        };
        text += &format!(
            "{decided} of {} decided; the choices are in {path}.\n",
            count_noun(all, "case")
        );
        if decided < all {
            let names = match self.reveals() {
                true => "",
                false => " The names of A and B are shown when every case is decided.",
            };
            text += &format!("To continue, run the same command again.{names}\n");
        }
        text
    }
}

impl Choosing for Chooser {
    fn current(&self) -> Option<Candidates> {
        let offer = self.current_offer()?;
        let left = self.left_side(offer);
        let [a, b] = [0, 1].map(|at| {
            let title = match (self.blind, left, at) {
                (None, _, 0) => format!("A: {}", self.names[0]),
                (None, ..) => format!("B: {}", self.names[1]),
                (Some(_), Side::A, 0) | (Some(_), Side::B, 1) => "left".to_string(),
                (Some(_), ..) => "right".to_string(),
            };
            let text = offer.texts[at].text();
            Titled { title, text }
        });
        let (left, right) = match left {
            Side::A => (a, b),
            Side::B => (b, a),
        };
        Some(Candidates {
            case: clean_line(&format!("{}: {}", offer.file, offer.case)),
            prompt: offer.prompt.text(),
            left,
            right,
        })
    }

    fn place(&self) -> (usize, usize) {
        let before = self.offers.len() - self.left.len();
        (before + self.at + 1, self.offers.len())
    }

    fn choose(&mut self, choice: Choice) -> Result<(), String> {
        let Some(offer) = self.current_offer() else {
            return Ok(());
        };
        let left = self.left_side(offer);
        let winner = match (choice, left) {
            (Choice::Left, Side::A) | (Choice::Right, Side::B) => Some(Winner::A),
            (Choice::Left, Side::B) | (Choice::Right, Side::A) => Some(Winner::B),
            (Choice::Tie, _) => Some(Winner::Tie),
            (Choice::BothBad, _) => Some(Winner::BothBad),
            (Choice::Skip, _) => None,
        };
        if let Some(winner) = winner {
            let pair = offer.pair(
                winner,
                Pair {
                    blind: self.blind.is_some(),
                    left,
                    shuffle: self.blind,
                    time: environment::now(),
                    ..Pair::default()
                },
            );
            self.file.add(&pair)?;
            self.winners[self.left[self.at]] = Some(winner);
        }
        self.stored.push(winner.is_some());
        self.at += 1;
        Ok(())
    }

    fn back(&mut self) -> Result<bool, String> {
        match self.stored.last() {
            None => return Ok(false),
            Some(true) => {
                self.file.take_back()?;
            }
            Some(false) => {}
        }
        self.stored.pop();
        self.at -= 1;
        self.winners[self.left[self.at]] = None;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;

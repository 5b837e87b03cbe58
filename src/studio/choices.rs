//! Lists that a writer picks from: candidates, words, places.

use super::write::Ask;
use super::{Outcome, Refusal, Studio, Work, cannot};
use crate::story::message::Alternative;
use crate::story::sentence::excerpt;
use crate::story::untrusted::clean;
use crate::story::{Command, Place, Request, command::Choice, edit};

/// A row of a list, and what picking it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub label: String,
    pub command: Command,
}

impl Studio {
    /// Shows a list and remembers it for `/pick`.
    pub(super) fn list_up(&mut self, title: &str, listed: Vec<Listed>) -> Outcome {
        self.listed.clone_from(&listed);
        Outcome::List(title.to_string(), listed)
    }

    pub(super) fn pick(&mut self, number: usize) -> Result<Outcome, Refusal> {
        let count = self.listed.len();
        let picked = number.checked_sub(1).and_then(|at| self.listed.get(at));
        let command = picked.map(|listed| listed.command.clone());
        let command = command.ok_or_else(|| match count {
            0 => cannot("Nothing was listed yet; /gen, /alts, /tree and /find list"),
            _ => cannot(&format!("The last list has {count} rows")),
        })?;
        self.run(command)
    }

    /// Asks the engine what could stand at a word, or next.
    pub(super) fn alternatives(&mut self, word: Option<&str>) -> Result<Outcome, Refusal> {
        let place = match word {
            None => Place::after(self.story.head()),
            Some(word) => self.place_of(word)?,
        };
        if self.story.path_at(place).iter().all(|p| p.text.is_empty()) {
            return Err(cannot(
                "Nothing stands before this word, so the model has nothing to go by",
            ));
        }
        let seed = self.setup.entropy;
        let request = self.question(place, Ask::default(), seed);
        self.asked_at = place;
        self.work = Work::Writing;
        self.engine.submit(Request::Alternatives(request));
        Ok(Outcome::Asked)
    }

    /// Where a word begins that the story says: the last time, with the space before it.
    fn place_of(&self, word: &str) -> Result<Place, Refusal> {
        let word = word.trim_matches('"');
        let path = self.story.path();
        let found = path.iter().rev().find_map(|passage| {
            let at = passage.text.rfind(word)?;
            let before = passage.text[..at].trim_end_matches(' ').len();
            Some(edit::at(passage, before))
        });
        let shown = excerpt(word, 40);
        found.ok_or_else(|| cannot(&format!("The story does not say \"{shown}\"")))
    }

    /// The list that the engine's answer makes.
    pub(super) fn alternatives_came(&mut self, found: Vec<Alternative>) -> (String, Vec<Listed>) {
        let place = self.asked_at;
        let row = |alternative: Alternative| {
            let word = format!("{:?}", clean(&alternative.text));
            let (before, after) = (alternative.before * 100.0, alternative.after * 100.0);
            Listed {
                label: format!("{word:<20} {before:>5.1} %   after the samplers {after:>5.1} %"),
                command: Command::Choose(Choice {
                    place,
                    id: alternative.id,
                }),
            }
        };
        let listed: Vec<Listed> = found.into_iter().map(row).collect();
        self.listed.clone_from(&listed);
        let title = "What could stand here; /pick N writes on from it".to_string();
        (title, listed)
    }

    /// What was written side by side, to pick from.
    pub(super) fn candidates_came(&mut self) -> (String, Vec<Listed>) {
        let row = |id: &u64| {
            let text = self.story.node(*id).map_or("", |node| &node.text);
            Listed {
                label: excerpt(text, 2000),
                command: Command::Goto(format!("#{id}")),
            }
        };
        let listed: Vec<Listed> = self.candidates.iter().map(row).collect();
        self.listed.clone_from(&listed);
        let title = "/pick N goes on from it; the others are kept".to_string();
        (title, listed)
    }
}

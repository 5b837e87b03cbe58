//! Lists to pick from: continuations, words, places.

use super::pending::Purpose;
use super::request::Ask;
use super::{Outcome, Refusal, Studio, Work, cannot};
use base::untrusted::clean;
use story::message::Alternative;
use story::sentence::excerpt;
use story::{Command, NodeId, Passage, Place, Request, command::TokenChoice, edit, places};

/// A row of a list, with the command that runs when it is picked.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub label: String,
    pub command: Command,
}

impl Studio {
    /// Shows a list and stores it for `/pick`.
    pub(super) fn list_up(&mut self, title: &str, listed: Vec<Listed>) -> Outcome {
        self.session.listed.clone_from(&listed);
        Outcome::List(title.to_string(), listed)
    }

    pub(super) fn pick(&mut self, number: usize) -> Result<Outcome, Refusal> {
        let count = self.session.listed.len();
        let picked = number
            .checked_sub(1)
            .and_then(|at| self.session.listed.get(at));
        let command = picked.map(|listed| listed.command.clone());
        let command = command.ok_or_else(|| match count {
            0 => cannot("There is no list to pick from; make one with /gen, /alts, /tree or /find"),
            _ => cannot(&format!("The last list has only {count} rows")),
        })?;
        self.run(command)
    }

    /// Requests the alternatives for a word, or for the next word.
    pub(super) fn alternatives(&mut self, word: Option<&str>) -> Result<Outcome, Refusal> {
        self.needs(|can| can.alternatives, "list alternatives")?;
        let place = match word {
            None => Place::after(self.session.story.head()),
            Some(word) => self.place_of(word)?,
        };
        if self
            .session
            .story
            .path_at(place)
            .iter()
            .all(|p| p.text.is_empty())
        {
            return Err(cannot(
                "There is no text before this word, so the model cannot predict it",
            ));
        }
        let seed = self.setup.entropy;
        let request = self.question(place, Ask::default(), seed);
        let purpose = Purpose::Alternatives(place);
        self.send(Request::Alternatives(request), purpose, Work::Writing);
        Ok(Outcome::Asked)
    }

    /// The place of the last occurrence of a word in the story, including the space before it.
    fn place_of(&self, word: &str) -> Result<Place, Refusal> {
        let path = self.session.story.path();
        if let Ok(place) = places::find_place(&self.session.story, word)
            && place
                .node
                .is_some_and(|id| path.iter().any(|passage| passage.id == id))
        {
            return Ok(place);
        }
        let word = word.trim_matches('"');
        let lower = word.to_lowercase();
        let said = |passage: &Passage, wanted: &dyn Fn(&str) -> bool| {
            let at = last_word(passage.text, word.len(), wanted)?;
            let before = passage.text[..at].trim_end_matches(' ').len();
            Some(edit::place_in_passage(passage, before))
        };
        let same = |text: &str| text == word;
        let alike = |text: &str| text.to_lowercase() == lower;
        let found = path.iter().rev().find_map(|passage| said(passage, &same));
        let found = found.or_else(|| path.iter().rev().find_map(|passage| said(passage, &alike)));
        let shown = excerpt(word, 40);
        found.ok_or_else(|| cannot(&format!("The story does not contain \"{shown}\"")))
    }

    /// Turns the engine's answer into a list.
    pub(super) fn alternatives_came(
        &mut self,
        place: Place,
        found: Vec<Alternative>,
    ) -> (String, Vec<Listed>) {
        let path = self.session.story.path();
        let ids: Vec<NodeId> = path.iter().map(|passage| passage.id).collect();
        let before: String = self
            .session
            .story
            .path_at(place)
            .iter()
            .map(|p| p.text)
            .collect();
        let whole: String = path.iter().map(|passage| passage.text).collect();
        // How the story continues, if the place is on the current path.
        let on_way = place.node.is_none_or(|id| ids.contains(&id));
        let next = whole
            .get(before.len()..)
            .filter(|_| on_way)
            .unwrap_or_default();
        let said = |found: &Alternative| !found.text.is_empty() && next.starts_with(&found.text);
        let now = found.iter().filter(|found| said(found));
        let now = now
            .max_by_key(|found| found.text.len())
            .map(|found| found.id);
        let row = |alternative: Alternative| {
            let word = format!("{:?}", clean(&alternative.text));
            let here = if now == Some(alternative.id) {
                "  current"
            } else {
                ""
            };
            let (before, after) = (alternative.before * 100.0, alternative.after * 100.0);
            Listed {
                label: format!(
                    "{word:<20} {before:>5.1} %   after sampling settings {after:>5.1} %{here}"
                ),
                command: Command::Choose(TokenChoice {
                    place,
                    id: alternative.id,
                }),
            }
        };
        let listed: Vec<Listed> = found.into_iter().map(row).collect();
        self.session.listed.clone_from(&listed);
        let from = before.char_indices().rev().nth(29).map_or(0, |(at, _)| at);
        let end = excerpt(&before[from..], 30);
        let title = format!("Alternatives after \"…{end}\"; /pick N continues with one");
        (title, listed)
    }

    /// The list of continuations to pick from.
    pub(super) fn candidates_came(&mut self) -> (String, Vec<Listed>) {
        let row = |id: &u64| {
            let text = self.session.story.node(*id).map_or("", |node| &node.text);
            Listed {
                label: excerpt(text, 2000),
                command: Command::Goto(format!("#{id}")),
            }
        };
        let listed: Vec<Listed> = self.session.candidates.iter().map(row).collect();
        self.session.listed.clone_from(&listed);
        let title = "/pick N continues with one; the others are kept".to_string();
        (title, listed)
    }
}

/// The last occurrence of a word as a whole word.
fn last_word(text: &str, length: usize, wanted: &dyn Fn(&str) -> bool) -> Option<usize> {
    let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let places = text.char_indices().rev().map(|(at, _)| at);
    let mut places = places.filter(|at| {
        let Some(word) = text.get(*at..at + length) else {
            return false;
        };
        let begins = !letter(word.chars().next()) || !letter(text[..*at].chars().next_back());
        let after = text[at + length..].chars().next();
        let ends = !letter(word.chars().next_back()) || !letter(after);
        begins && ends && wanted(word)
    });
    places.next()
}

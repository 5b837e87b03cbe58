//! Stores the lists that `/pick` chooses from, and makes the lists of alternatives and of
//! continuations.

use super::pending::Purpose;
use super::request::Ask;
use super::{Listed, Outcome, Refusal, Studio, Work, cannot};
use base::search::Needle;
use base::untrusted::clean;
use std::ops::Range;
use story::message::Alternative;
use story::sentence::excerpt;
use story::{Command, NodeId, Passage, Place, Request, command::TokenChoice, edit, places};
use unicode_linebreak::{BreakClass, break_property};

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

    /// Requests the alternatives for a word of the story, or for the next word if `word` is None.
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

    /// The place that `word` names, such as a mark, or else the start of the last occurrence of
    /// this word in the story. A space before the word counts as part of it.
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
        let needle = Needle::new(word);
        let said = |passage: &Passage, found: Vec<Range<usize>>| {
            let at = last_word(passage.text, found)?;
            let before = passage.text[..at].trim_end_matches(' ').len();
            Some(edit::place_in_passage(passage, before))
        };
        let same = |passage: &Passage| {
            let found = passage.text.match_indices(word);
            said(passage, found.map(|(at, _)| at..at + word.len()).collect())
        };
        let alike = |passage: &Passage| said(passage, needle.find_all(passage.text));
        let found = path.iter().rev().find_map(same);
        let found = found.or_else(|| path.iter().rev().find_map(alike));
        let shown = excerpt(word, 40);
        found.ok_or_else(|| cannot(&format!("The story does not contain \"{shown}\"")))
    }

    /// Turns the alternatives that the engine found for a place into a list for `/pick`. Returns
    /// the title and the rows of the list.
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
        // The story's own continuation, if the place is on the current path.
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

    /// Makes the list of continuations for `/pick`. Returns the title and the rows of the list.
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

/// The start of the last range in `found` that is a whole word of `text`; None if no range is a
/// whole word.
fn last_word(text: &str, found: Vec<Range<usize>>) -> Option<usize> {
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() && !is_unspaced(c));
    let whole = |range: &Range<usize>| {
        let (word, after) = (&text[range.clone()], text[range.end..].chars().next());
        let begins =
            !letter(word.chars().next()) || !letter(text[..range.start].chars().next_back());
        let ends = !letter(word.chars().next_back()) || !letter(after);
        begins && ends && !word.is_empty()
    };
    let last = found.into_iter().rev().find(whole);
    last.map(|range| range.start)
}

/// Whether a letter belongs to a script without spaces between words.
fn is_unspaced(c: char) -> bool {
    use BreakClass::{ComplexContext, ConditionalJapaneseStarter, Ideographic};
    let class = break_property(c.into());
    matches!(
        class,
        Ideographic | ConditionalJapaneseStarter | ComplexContext
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_whole_in_every_script() {
        let place = |text: &str, word: &str| last_word(text, Needle::new(word).find_all(text));
        assert_eq!(place("The lamp, a lampshade", "LAMP"), Some(4));
        assert_eq!(place("Le cafe\u{301} noir", "CAFÉ"), Some(3));
        assert_eq!(place("дом и домик", "ДОМ"), Some(0));
        // Chinese, Japanese and Thai do not separate words with spaces.
        assert_eq!(place("彼は大海を見た", "海"), Some(9));
        assert_eq!(place("ฝนตกหนัก", "ตก"), Some(6));
        assert_eq!(place("lampshade", "lamp"), None);
    }
}

//! Formats choices and scores as text.

use super::{Standings, Winner};
use crate::compare::{Share, percent};
use base::untrusted::clean_line;
use story::sentence::count_noun;
use unicode_segmentation::UnicodeSegmentation;

/// The number of choices with each result in a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub a: u32,
    pub b: u32,
    pub ties: u32,
    pub both_bad: u32,
}

impl Tally {
    /// Counts a choice.
    pub fn add(&mut self, winner: Winner) {
        let count = match winner {
            Winner::A => &mut self.a,
            Winner::B => &mut self.b,
            Winner::Tie => &mut self.ties,
            Winner::BothBad => &mut self.both_bad,
        };
        *count += 1;
    }

    /// Formats the counts as sentences, with the win rate of each side.
    pub fn text(&self, names: [&str; 2]) -> String {
        let decided = self.a + self.b;
        let mut text = String::new();
        for (letter, name, count) in [("A", names[0], self.a), ("B", names[1], self.b)] {
            let rate = match decided {
                0 => String::new(),
                _ => format!(": {}", percent(Share::new(count, decided))),
            };
            text += &format!(
                "{letter} ({}) was chosen in {count} of {}{rate}.\n",
                clean_line(name),
                count_noun(decided as usize, "decided case")
            );
        }
        if self.ties + self.both_bad > 0 {
            text += &format!(
                "Not decided: {}, {} with two bad texts.\n",
                count_noun(self.ties as usize, "tie"),
                count_noun(self.both_bad as usize, "case")
            );
        }
        text
    }
}

/// Formats a table with a row for each contestant, and remarks about the scores.
pub fn standings_text(standings: &Standings) -> String {
    let names = standings.contestants.iter();
    let names: Vec<String> = names.map(|it| clean_line(&it.name)).collect();
    let width = |text: &str| text.graphemes(true).count();
    let widest = names.iter().map(|name| width(name)).max();
    let widest = widest.unwrap_or_default().max(width("contestant"));
    let pad = |name: &str| format!("{name}{}", " ".repeat(widest - width(name)));
    let mut text = format!(
        "{}    Elo  95 % interval   score  wins  losses  ties\n",
        pad("contestant")
    );
    for (one, name) in standings.contestants.iter().zip(&names) {
        let interval = format!("{:.0} to {:.0}", one.low, one.high);
        text += &format!(
            "{}  {:>5.0}  {interval:>13}  {:>6.2}  {:>4}  {:>6}  {:>4}\n",
            pad(name),
            one.elo,
            one.score,
            one.wins,
            one.losses,
            one.ties
        );
    }
    text += &format!("\n{}.\n", count_noun(standings.games, "choice"));
    if standings.left_out > 0 {
        text += &format!(
            "{} left out, because the pair does not say which of two sides won.\n",
            count_noun(standings.left_out, "line")
        );
    }
    for group in 1..=standings
        .contestants
        .iter()
        .map(|it| it.group)
        .max()
        .unwrap_or(0)
    {
        let of = |group| {
            let mut members = standings.contestants.iter().zip(&names);
            members
                .find(|(it, _)| it.group == group)
                .map(|(_, name)| name.as_str())
        };
        if let (Some(one), Some(other)) = (of(0), of(group)) {
            text += &format!(
                "The scores of {one} and {other} cannot be compared, because no choices connect them.\n"
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::{Game, Winner, standings};
    use super::*;

    #[test]
    fn a_tally_states_the_win_rates() {
        let mut tally = Tally::default();
        let winners = [Winner::A, Winner::A, Winner::B, Winner::A, Winner::Tie];
        winners.into_iter().for_each(|winner| tally.add(winner));
        let text = tally.text(["x", "y"]);
        assert!(text.contains("A (x) was chosen in 3 of 4 decided cases: 75 %, 95 % interval"));
        assert!(
            text.contains("Not decided: 1 tie, 0 cases with two bad texts."),
            "{text}"
        );
        assert!(!Tally::default().text(["x", "y"]).contains('%'));
    }

    #[test]
    fn the_table_shows_every_contestant_and_what_cannot_be_compared() {
        let game = |a: &str, b: &str| Game {
            a: a.to_string(),
            b: b.to_string(),
            winner: Winner::A,
        };
        let found = standings(&[game("héron", "b"), game("p", "q\u{1b}[2J")]);
        let text = standings_text(&Standings {
            left_out: 1,
            ..found
        });
        assert!(text.contains("héron       "), "{text}");
        assert!(text.contains("cannot be compared"), "{text}");
        assert!(text.contains("2 choices.\n1 line left out"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}

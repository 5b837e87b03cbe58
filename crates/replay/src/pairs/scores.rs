//! Computes Bradley-Terry scores of contestants from games, each between two contestants.
//!
//! The scores are those that make the results of the games most likely; they are found by
//! minorization-maximization (Hunter 2004). A tie counts as half a win for each contestant. In
//! addition, each contestant is given one tie with a virtual opponent of average strength, so that
//! even a contestant without a defeat has a finite score.

use super::{Pair, Winner};
use serde::Serialize;
use std::collections::BTreeMap;

/// The maximum number of iterations. Usually fewer than a hundred are needed.
const MOST_ITERATIONS: usize = 100_000;
/// The iteration ends when no score changes by more than this.
const TOLERANCE: f64 = 1e-12;
/// The half-width of a 95 % confidence interval in standard errors.
const DEVIATIONS: f64 = 1.959_963_984_540_054;
/// The Elo rating of a contestant of average strength.
const AVERAGE: f64 = 1500.0;

/// A comparison of two contestants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Game {
    pub a: String,
    pub b: String,
    pub winner: Winner,
}

impl Game {
    /// Returns the game that a pair records. `name` returns the name of the contestant that wrote a
    /// text. Returns None if the pair does not name two different contestants, or records no
    /// result.
    pub fn of(pair: &Pair, name: impl Fn(&super::Origin) -> String) -> Option<Game> {
        let (a, b) = (name(&pair.a), name(&pair.b));
        let known = !a.is_empty() && !b.is_empty() && a != b;
        Some(Game {
            a,
            b,
            winner: pair.winner.filter(|_| known)?,
        })
    }
}

/// A contestant with its score.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Contestant {
    pub name: String,
    /// The natural logarithm of the contestant's strength. The mean score of all contestants is 0.
    pub score: f64,
    /// The standard error of the score.
    pub error: f64,
    /// The score on Elo's scale, on which a difference of 400 means odds of 10 to 1.
    pub elo: f64,
    /// The lower end of the 95 % confidence interval of the Elo rating.
    pub low: f64,
    /// The upper end of the 95 % confidence interval of the Elo rating.
    pub high: f64,
    pub wins: u32,
    pub losses: u32,
    pub ties: u32,
    /// The number of the group. Contestants of different groups were never compared, not even
    /// through other contestants.
    pub group: usize,
}

/// All contestants, the best one first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Standings {
    pub contestants: Vec<Contestant>,
    pub games: usize,
    /// The number of pairs that were left out because they do not say who won or where the texts
    /// come from.
    pub left_out: usize,
}

/// Computes the scores of all contestants.
pub fn standings(games: &[Game]) -> Standings {
    let mut indices: BTreeMap<&str, usize> = BTreeMap::new();
    for name in games.iter().flat_map(|game| [&game.a, &game.b]) {
        indices.entry(name).or_default();
    }
    indices.values_mut().zip(0..).for_each(|(at, n)| *at = n);
    let mut table = Table::new(indices.len());
    let mut contestants: Vec<Contestant> = indices
        .keys()
        .map(|name| Contestant {
            name: name.to_string(),
            ..Contestant::default()
        })
        .collect();
    for game in games {
        let (Some(&a), Some(&b)) = (indices.get(game.a.as_str()), indices.get(game.b.as_str()))
        else {
            continue;
        };
        let points = match game.winner {
            Winner::A => 1.0,
            Winner::B => 0.0,
            Winner::Tie | Winner::BothBad => 0.5,
        };
        table.add(a, b, points);
        for (at, points) in [(a, points), (b, 1.0 - points)] {
            let contestant = &mut contestants[at];
            let count = match game.winner {
                Winner::Tie | Winner::BothBad => &mut contestant.ties,
                Winner::A | Winner::B if points > 0.5 => &mut contestant.wins,
                Winner::A | Winner::B => &mut contestant.losses,
            };
            *count += 1;
        }
    }
    let scores = table.scores();
    let errors = table.errors(&scores);
    let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    let groups = table.groups();
    let scale = 400.0 / std::f64::consts::LN_10;
    for (at, contestant) in contestants.iter_mut().enumerate() {
        let (score, error) = (scores[at] - mean, errors[at]);
        let elo = |score: f64| AVERAGE + scale * score;
        *contestant = Contestant {
            score,
            error,
            elo: elo(score),
            low: elo(score - DEVIATIONS * error),
            high: elo(score + DEVIATIONS * error),
            group: groups[at],
            ..std::mem::take(contestant)
        };
    }
    contestants.sort_by(|a, b| b.score.total_cmp(&a.score));
    Standings {
        contestants,
        games: games.len(),
        left_out: 0,
    }
}

/// The points and the opponents of all contestants.
struct Table {
    /// The points of each contestant, including those against the virtual opponent.
    points: Vec<f64>,
    /// The opponents of each contestant, with the number of games against each opponent.
    games: Vec<BTreeMap<usize, f64>>,
}

impl Table {
    fn new(count: usize) -> Table {
        Table {
            // Half a point of one game against the virtual opponent.
            points: vec![0.5; count],
            games: vec![BTreeMap::new(); count],
        }
    }

    fn add(&mut self, a: usize, b: usize, points: f64) {
        self.points[a] += points;
        self.points[b] += 1.0 - points;
        *self.games[a].entry(b).or_default() += 1.0;
        *self.games[b].entry(a).or_default() += 1.0;
    }

    /// Computes the logarithm of each contestant's strength. For the virtual opponent, it is 0.
    fn scores(&self) -> Vec<f64> {
        let mut scores = vec![0.0; self.points.len()];
        for _ in 0..MOST_ITERATIONS {
            let strength: Vec<f64> = scores.iter().map(|score: &f64| score.exp()).collect();
            let next = self.games.iter().enumerate().map(|(at, games)| {
                let opponents = games
                    .iter()
                    .map(|(other, games)| (strength[*other], *games));
                let opponents = opponents.chain([(1.0, 1.0)]);
                let weights = opponents.map(|(other, games)| games / (strength[at] + other));
                (self.points[at] / weights.sum::<f64>()).ln()
            });
            let mut next: Vec<f64> = next.collect();
            // Only the virtual opponent fixes the mean, which would otherwise converge slowly.
            let shift = shift(&next);
            next.iter_mut().for_each(|score| *score += shift);
            let changes = next.iter().zip(&scores).map(|(a, b)| (a - b).abs());
            let change = changes.fold(0.0, f64::max);
            scores = next;
            if change < TOLERANCE {
                break;
            }
        }
        scores
    }

    /// Computes the standard errors of the scores relative to their mean, from the information
    /// matrix.
    fn errors(&self, scores: &[f64]) -> Vec<f64> {
        let count = scores.len();
        let weight = |difference: f64| {
            let chance = chance(difference);
            chance * (1.0 - chance)
        };
        let mut information = vec![vec![0.0; count]; count];
        for (at, games) in self.games.iter().enumerate() {
            information[at][at] += weight(scores[at]);
            for (other, games) in games {
                let weight = games * weight(scores[at] - scores[*other]);
                information[at][at] += weight;
                information[at][*other] -= weight;
            }
        }
        let covariance = inverse(information);
        let size = count.max(1) as f64;
        let rows: Vec<f64> = covariance
            .iter()
            .map(|row| row.iter().sum::<f64>() / size)
            .collect();
        let whole = rows.iter().sum::<f64>() / size;
        let variance = |at: usize| covariance[at][at] - 2.0 * rows[at] + whole;
        (0..count).map(|at| variance(at).max(0.0).sqrt()).collect()
    }

    /// Returns the group of each contestant.
    fn groups(&self) -> Vec<usize> {
        let mut groups = vec![usize::MAX; self.points.len()];
        let mut count = 0;
        for start in 0..groups.len() {
            if groups[start] != usize::MAX {
                continue;
            }
            let mut waiting = vec![start];
            while let Some(at) = waiting.pop() {
                if std::mem::replace(&mut groups[at], count) == usize::MAX {
                    waiting.extend(self.games[at].keys());
                }
            }
            count += 1;
        }
        groups
    }
}

/// Returns the probability of beating an opponent whose score is lower by `difference`.
fn chance(difference: f64) -> f64 {
    1.0 / (1.0 + (-difference).exp())
}

/// Computes, with one step of Newton's method, the number to add to all scores so that on average
/// the contestants tie with the virtual opponent.
fn shift(scores: &[f64]) -> f64 {
    let chances = scores.iter().map(|score| chance(*score));
    let (too_many, slope) = chances.fold((0.0, 0.0), |(sum, slope), chance| {
        (sum + 0.5 - chance, slope + chance * (1.0 - chance))
    });
    (too_many / f64::max(slope, 1e-9)).clamp(-1.0, 1.0)
}

/// Computes the inverse of a symmetric, positive definite matrix by Gauss-Jordan elimination.
fn inverse(mut matrix: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let count = matrix.len();
    let mut inverse = vec![vec![0.0; count]; count];
    for (at, row) in inverse.iter_mut().enumerate() {
        row[at] = 1.0;
    }
    for at in 0..count {
        let pivot = matrix[at][at];
        for value in matrix[at].iter_mut().chain(&mut inverse[at]) {
            *value /= pivot;
        }
        let (row, other) = (matrix[at].clone(), inverse[at].clone());
        for below in (0..count).filter(|below| *below != at) {
            let factor = matrix[below][at];
            if factor != 0.0 {
                let of_matrix = matrix[below].iter_mut().zip(&row);
                of_matrix.for_each(|(value, pivot)| *value -= factor * pivot);
                let of_inverse = inverse[below].iter_mut().zip(&other);
                of_inverse.for_each(|(value, pivot)| *value -= factor * pivot);
            }
        }
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    fn games(rows: &[(&str, &str, Winner, usize)]) -> Vec<Game> {
        let game = |(a, b, winner, count): &(&str, &str, Winner, usize)| {
            let game = Game {
                a: a.to_string(),
                b: b.to_string(),
                winner: *winner,
            };
            std::iter::repeat_n(game, *count)
        };
        rows.iter().flat_map(game).collect()
    }

    /// The expected scores were computed by choix 0.4.1 (`mm_pairwise` without regularization, with
    /// the virtual opponent as a fifth item and all other games counted twice). The expected
    /// standard errors were computed by numpy as the inverse of the information matrix.
    #[test]
    fn scores_and_errors_equal_those_of_choix_and_numpy() {
        let found = standings(&games(&[
            ("a", "b", Winner::A, 7),
            ("a", "b", Winner::B, 3),
            ("b", "c", Winner::A, 6),
            ("c", "b", Winner::A, 4),
            ("a", "c", Winner::A, 8),
            ("c", "a", Winner::A, 1),
            ("d", "a", Winner::A, 4),
            ("a", "b", Winner::Tie, 2),
            ("c", "b", Winner::BothBad, 1),
        ]));
        let expected = [
            ("d", 2.182856735, 1.149397746, 1879.201053880),
            ("a", 0.011934317, 0.457956822, 1502.073203227),
            ("b", -0.814851948, 0.499062040, 1358.445718226),
            ("c", -1.379939104, 0.534979098, 1260.280024667),
        ];
        for (found, (name, score, error, elo)) in found.contestants.iter().zip(expected) {
            assert_eq!(found.name, name);
            assert!((found.score - score).abs() < 1e-7, "{found:?}");
            assert!((found.error - error).abs() < 1e-7, "{found:?}");
            assert!((found.elo - elo).abs() < 1e-4, "{found:?}");
        }
        let a = &found.contestants[1];
        assert_eq!((a.wins, a.losses, a.ties, found.games), (15, 8, 2, 36));
        assert!(found.contestants.iter().all(|it| it.group == 0));
    }

    #[test]
    fn one_game_and_no_game_have_finite_scores() {
        assert_eq!(standings(&[]), Standings::default());
        let found = standings(&games(&[
            ("x", "y", Winner::B, 1),
            ("p", "q", Winner::Tie, 1),
        ]));
        let [y, .., x] = found.contestants.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!((y.name.as_str(), x.name.as_str()), ("y", "x"));
        assert!(y.score > 0.0 && y.high.is_finite() && y.low < 1500.0);
        assert_eq!(
            found.contestants.iter().filter(|it| it.group == 0).count(),
            2
        );
        assert!(found.contestants.iter().any(|it| it.group == 1));
    }
}

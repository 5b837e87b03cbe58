//! Compares two runs of the same cases: where their texts first differ, and which run passes more
//! expectations.

mod matching;
mod page;
mod table;

pub use matching::{Matching, match_cases};
pub use page::comparison_page;
pub use table::comparison_text;
pub(crate) use table::percent;

use crate::measure::variety::wilson_interval;
use crate::report::{CaseReport, Verdict};
use serde::Serialize;
use story::diff::{DiffSpan, diff_words};

/// The outcomes of one case in both runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    pub file: String,
    pub case: String,
    pub a: Outcome,
    pub b: Outcome,
    /// How the two texts differ; None if they are equal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parting: Option<Parting>,
}

/// The outcome of one case in one of the two runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    pub passed: u32,
    pub checked: u32,
    /// Whether a line of the case could not be run.
    pub error: bool,
    pub story: String,
}

/// Where two texts begin to differ, and how much of them differs in total.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parting {
    /// The position of the first word that differs, counted from 1.
    pub word: usize,
    /// The words of text A at the first difference.
    pub a: String,
    /// The words of text B at the first difference.
    pub b: String,
    /// The share of words that are in only one of the two texts, from 0 to 1.
    pub share: f64,
}

/// The maximum length of `Parting::a` and of `Parting::b`, in characters.
const LONGEST: usize = 40;

impl Outcome {
    fn of(report: &CaseReport) -> Outcome {
        // A repeated case counts its runs, since only the first failed run lists its expectations.
        let (passed, checked) = match &report.runs {
            Some(runs) => (runs.passed, runs.runs),
            None => {
                let checked = u32::try_from(report.checked).unwrap_or(u32::MAX);
                let failed = u32::try_from(report.failures.len()).unwrap_or(u32::MAX);
                (checked.saturating_sub(failed), checked)
            }
        };
        Outcome {
            passed,
            checked,
            error: report.verdict == Verdict::Error,
            story: report.text().unwrap_or_default(),
        }
    }
}

impl Compared {
    pub fn new(a: &CaseReport, b: &CaseReport) -> Compared {
        let (left, right) = (Outcome::of(a), Outcome::of(b));
        Compared {
            file: a.file.clone(),
            case: a.case.clone(),
            parting: parting(&left.story, &right.story),
            a: left,
            b: right,
        }
    }

    /// Returns `Greater` if run A passed a larger share of its expectations than run B, and `Less`
    /// if it passed a smaller share. A run with an error always loses to a run without one.
    fn better(&self) -> std::cmp::Ordering {
        let Outcome {
            passed, checked, ..
        } = self.a;
        let ours = u64::from(passed) * u64::from(self.b.checked);
        let theirs = u64::from(self.b.passed) * u64::from(checked);
        self.b.error.cmp(&self.a.error).then(ours.cmp(&theirs))
    }
}

fn parting(a: &str, b: &str) -> Option<Parting> {
    if a == b {
        return None;
    }
    let words = |text: &str| text.split_whitespace().count();
    let spans = diff_words(a, b);
    let (mut before, mut both, mut apart) = (None, 0, 0);
    let mut first: [&str; 2] = ["", ""];
    for (at, span) in spans.iter().enumerate() {
        match span {
            DiffSpan::Both(text) => both += words(text),
            DiffSpan::Left(text) | DiffSpan::Right(text) => {
                apart += words(text);
                if before.is_none() {
                    before = Some(both);
                    first = changed(&spans[at..]);
                }
            }
        }
    }
    let [left, right] = first.map(|text| story::sentence::excerpt(text.trim(), LONGEST));
    Some(Parting {
        word: before.unwrap_or_default() + 1,
        a: left,
        b: right,
        share: apart as f64 / (2 * both + apart).max(1) as f64,
    })
}

/// Returns the left and the right text at the first difference. One of them may be empty.
fn changed(spans: &[DiffSpan]) -> [&str; 2] {
    match spans {
        [DiffSpan::Left(left), DiffSpan::Right(right), ..]
        | [DiffSpan::Right(right), DiffSpan::Left(left), ..] => [left, right],
        [DiffSpan::Left(left), ..] => [left, ""],
        [DiffSpan::Right(right), ..] => ["", right],
        _ => ["", ""],
    }
}

/// The totals of a comparison of two runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// The model or the settings of run A, as the user entered them.
    pub a: String,
    /// The model or the settings of run B, as the user entered them.
    pub b: String,
    pub cases: u32,
    /// The number of cases whose texts differ.
    pub different: u32,
    /// The share of run A's expectations that passed.
    pub passed_a: Share,
    /// The share of run B's expectations that passed.
    pub passed_b: Share,
    /// The share of cases that run A won, not counting ties.
    pub wins_a: Share,
    /// The share of cases that run B won, not counting ties.
    pub wins_b: Share,
    /// The cases that only run A has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only_a: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only_b: Vec<String>,
    /// Whether repeating the two runs would produce the same texts.
    pub reproducible: bool,
    pub models: Vec<String>,
}

/// A share (`count` out of `of`), with its 95 % confidence interval (Wilson) from `low` to `high`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Share {
    pub count: u32,
    pub of: u32,
    pub low: f64,
    pub high: f64,
}

impl Share {
    /// Returns the share `count` out of `of`, with its confidence interval. If `of` is 0, the
    /// interval is 0 to 1.
    pub fn new(count: u32, of: u32) -> Share {
        let (low, high) = match of {
            0 => (0.0, 1.0),
            of => wilson_interval(count, of),
        };
        Share {
            count,
            of,
            low,
            high,
        }
    }
}

/// The running totals of the compared cases. In each array, the first value is for run A, the
/// second for run B.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    cases: u32,
    different: u32,
    passed: [u32; 2],
    checked: [u32; 2],
    wins: [u32; 2],
}

impl Totals {
    pub fn add(&mut self, compared: &Compared) {
        self.cases += 1;
        self.different += u32::from(compared.parting.is_some());
        for (at, side) in [&compared.a, &compared.b].into_iter().enumerate() {
            self.passed[at] += side.passed;
            self.checked[at] += side.checked;
        }
        match compared.better() {
            std::cmp::Ordering::Greater => self.wins[0] += 1,
            std::cmp::Ordering::Less => self.wins[1] += 1,
            std::cmp::Ordering::Equal => {}
        }
    }

    /// Returns the comparison of two runs, which are named `a` and `b`.
    pub fn comparison(&self, a: &str, b: &str) -> Comparison {
        let decided = self.wins[0] + self.wins[1];
        Comparison {
            a: a.to_string(),
            b: b.to_string(),
            cases: self.cases,
            different: self.different,
            passed_a: Share::new(self.passed[0], self.checked[0]),
            passed_b: Share::new(self.passed[1], self.checked[1]),
            wins_a: Share::new(self.wins[0], decided),
            wins_b: Share::new(self.wins[1], decided),
            only_a: Vec::new(),
            only_b: Vec::new(),
            reproducible: true,
            models: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Failure;

    fn ran(case: &str, story: &str, failed: usize) -> CaseReport {
        CaseReport {
            file: "a.illum".to_string(),
            case: case.to_string(),
            checked: 4,
            failures: vec![Failure::default(); failed],
            story: Some(story.to_string()),
            ..CaseReport::default()
        }
    }

    fn example() -> (Comparison, Vec<Compared>) {
        let lamp = "The lamp went out at dawn.";
        let rows = [
            (ran("same", lamp, 0), ran("same", lamp, 0)),
            (
                ran("parts <b>", lamp, 1),
                ran("parts <b>", "The lamp fell at dawn.", 0),
            ),
            (
                ran("longer", lamp, 0),
                ran("longer", &format!("{lamp} So be it."), 3),
            ),
        ];
        let rows: Vec<Compared> = rows.iter().map(|(a, b)| Compared::new(a, b)).collect();
        let mut totals = Totals::default();
        rows.iter().for_each(|row| totals.add(row));
        (totals.comparison("seed=1", "seed=2"), rows)
    }

    #[test]
    fn where_texts_part_and_how_far() {
        let (comparison, rows) = example();
        assert_eq!(rows[0].parting, None);
        let parting = rows[1].parting.clone().unwrap();
        assert_eq!(
            (parting.word, parting.a.as_str(), parting.b.as_str()),
            (3, "went out", "fell")
        );
        assert!((parting.share - 3.0 / 11.0).abs() < 1e-9, "{parting:?}");
        let longer = rows[2].parting.clone().unwrap();
        assert_eq!((longer.word, longer.a.as_str()), (7, ""));
        assert_eq!((comparison.cases, comparison.different), (3, 2));
        assert_eq!(
            (comparison.passed_a.count, comparison.passed_b.count),
            (11, 9)
        );
        assert_eq!((comparison.wins_a.count, comparison.wins_b.of), (1, 2));
    }

    #[test]
    fn a_line_that_could_not_run_loses() {
        let broken = CaseReport {
            verdict: Verdict::Error,
            ..ran("x", "", 0)
        };
        let compared = Compared::new(&broken, &ran("x", "", 2));
        assert_eq!(compared.better(), std::cmp::Ordering::Less);
    }

    #[test]
    fn the_table_and_the_page_say_the_same() {
        let (comparison, rows) = example();
        let text = comparison_text(&comparison, &rows);
        for part in [
            "A: seed=1\nB: seed=2\n",
            "3/4  4/4  a.illum: parts <b>",
            "27 % of the words, from word 3: \"went out\" / \"fell\"",
            "Texts that differ: 2 of 3.",
            "A passed 11 of 12 expectations: 92 %, 95 % interval 65 to 99 %.",
            "A is better in 1 of 2 decided cases: 50 %, 95 % interval 9 to 91 %.",
        ] {
            assert!(text.contains(part), "{part:?} is missing in:\n{text}");
        }
        let page = comparison_page(&comparison, &rows);
        assert!(
            page.contains("<del>went out</del><ins>fell</ins>"),
            "{page}"
        );
        assert!(page.contains("parts &lt;b&gt;") && !page.contains("<script"));
    }
}

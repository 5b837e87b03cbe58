//! Computes the score of a case, which is the weighted mean of its expectations' scores, as in
//! promptfoo.

use super::{CaseReport, Failure, Verdict};
use crate::expect::{Check, Expectation, Finding};
use serde::{Deserialize, Serialize};

/// The beginning of the line that states the threshold.
const THRESHOLD: &str = "threshold ";

/// The result of an expectation that was checked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// The file and the line number of the expectation.
    pub at: String,
    /// The line of the script, as written.
    pub source: String,
    pub passed: bool,
    /// The score of the expectation, from 0 to 1.
    pub score: f64,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: f64,
    /// The number that was compared. A time or a speed is left out, because it differs between
    /// runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<f64>,
}

fn one() -> f64 {
    1.0
}

fn is_one(weight: &f64) -> bool {
    *weight == 1.0
}

impl Failure {
    /// Whether the failure is that the score is below the threshold.
    fn is_threshold(&self) -> bool {
        self.source.starts_with(THRESHOLD)
    }
}

impl CaseReport {
    /// Adds the result of an expectation. An expectation with the weight 0 cannot fail. If `stable`
    /// is true, the explanation of a failure contains no measured time or speed.
    pub fn add(&mut self, expectation: &Expectation, finding: Finding, stable: bool) {
        let finding = match stable && !finding.passed && expectation.is_timed() {
            true => Finding {
                score: finding.score,
                why: "The measured time or speed does not fit.".to_string(),
                ..Finding::default()
            },
            false => finding,
        };
        self.checked += 1;
        self.remarks.extend(finding.remark);
        let at = expectation.at.short();
        let source = format!("expect {}", expectation.source);
        let passed = finding.passed || expectation.weight == 0.0;
        self.expectations.push(Checked {
            at: at.clone(),
            source: source.clone(),
            passed,
            score: finding.score,
            weight: expectation.weight,
            measured: finding.measured.filter(|_| !expectation.is_timed()),
        });
        if passed && !finding.passed {
            self.remarks.push(format!("{at}: {}", finding.why));
        }
        if !passed {
            self.failures.push(Failure {
                at,
                source,
                why: finding.why,
                measured: finding.measured,
                expected: finding.expected,
                actual: finding.actual,
                difference: finding.difference,
                golden: match &expectation.check {
                    Check::Golden(name) => Some(name.clone()),
                    check => check.missing_picture().map(str::to_string),
                },
                picture: finding.picture,
            });
        }
    }

    /// Decides the verdict of the case. If there is a threshold, the score must reach it;
    /// otherwise, every expectation must pass. `at` is the place of the case in the script.
    pub fn decide(&mut self, threshold: Option<f64>, at: &str) {
        let weights: f64 = self.expectations.iter().map(|it| it.weight).sum();
        let scores = self.expectations.iter().map(|it| it.score * it.weight);
        self.score = match (self.expectations.is_empty(), weights > 0.0) {
            (true, _) => Some(1.0),
            (false, true) => Some(scores.sum::<f64>() / weights),
            (false, false) => Some(0.0),
        };
        self.threshold = threshold;
        // A request that disagrees with a cassette has no score, and always fails the case, whether a
        // line or an expectation made it.
        let failed = self.expectations.iter().filter(|it| !it.passed).count();
        let disagrees = self.failures.len() > failed;
        let reached = match (threshold, self.score) {
            (Some(threshold), Some(score)) => score >= threshold && !disagrees,
            _ => self.failures.is_empty(),
        };
        self.verdict = match (&self.error, reached) {
            (Some(_), _) => Verdict::Error,
            (None, true) => Verdict::Passed,
            (None, false) => Verdict::Failed,
        };
        if let (Verdict::Failed, Some(threshold), Some(score)) =
            (self.verdict, threshold, self.score)
            && score < threshold
        {
            let why = format!("The score is {score:.4}, but at least {threshold} is expected.");
            let source = format!("{THRESHOLD}{threshold}");
            let at = at.to_string();
            let failure = Failure {
                at,
                source,
                why,
                measured: Some(score),
                ..Failure::default()
            };
            self.failures.insert(0, failure);
        }
    }

    /// Whether the case failed only because goldens do not exist.
    pub fn lacks_goldens(&self) -> bool {
        // A missing golden lowers the score too, so the threshold says nothing of its own.
        let missing =
            |it: &Failure| it.golden.is_some() && it.expected.is_none() && it.actual.is_some();
        let mut failures = self
            .failures
            .iter()
            .filter(|it| !it.is_threshold())
            .peekable();
        self.verdict == Verdict::Failed && failures.peek().is_some() && failures.all(missing)
    }

    /// Returns the score in words, followed by the score and the weight of each expectation.
    /// Returns no lines if the score says no more than the number of failures does.
    pub(super) fn score_lines(&self) -> Vec<String> {
        let Some(score) = self.score_text() else {
            return Vec::new();
        };
        let scores = self.expectations.iter().map(|it| {
            let (score, weight) = (it.score, it.weight);
            format!("{score:.4}, weight {weight}: {}", it.source)
        });
        [score].into_iter().chain(scores).collect()
    }

    /// Whether the score says more than the number of failed expectations does.
    pub(super) fn is_scored(&self) -> bool {
        let weighted = |it: &Checked| it.weight != 1.0;
        self.threshold.is_some() || self.expectations.iter().any(weighted)
    }

    /// Returns the score and the threshold in words; None if the score says no more than the number
    /// of failures does.
    pub(super) fn score_text(&self) -> Option<String> {
        let score = self.score.filter(|_| self.is_scored())?;
        Some(match self.threshold {
            Some(threshold) => format!("score {score:.2} of at least {threshold}"),
            None => format!("score {score:.2}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(scores: &[(f64, f64)], threshold: Option<f64>) -> CaseReport {
        let mut report = CaseReport::default();
        for (score, weight) in scores {
            let passed = *score > 0.5 || *weight == 0.0;
            report.expectations.push(Checked {
                passed,
                score: *score,
                weight: *weight,
                ..Checked::default()
            });
            if !passed {
                report.failures.push(Failure {
                    source: "expect contains a".to_string(),
                    ..Failure::default()
                });
            }
        }
        report.decide(threshold, "a.illum:2");
        report
    }

    #[test]
    fn a_request_that_disagrees_with_a_cassette_fails_the_case_whatever_the_score() {
        for source in ["The harbour was quiet", "expect perplexity < 9"] {
            let mut case = report(&[(1.0, 3.0), (0.0, 1.0)], Some(0.5));
            assert_eq!(case.verdict, Verdict::Passed);
            case.failures.push(Failure {
                source: source.to_string(),
                ..Failure::default()
            });
            case.decide(Some(0.5), "a.illum:2");
            assert_eq!(case.verdict, Verdict::Failed, "{source}");
            assert_eq!(case.failures.last().unwrap().source, source);
            assert!(!case.failures.iter().any(|it| it.why.contains("score")));
        }
    }

    #[test]
    fn a_threshold_decides_instead_of_the_expectations() {
        let all = report(&[(1.0, 1.0), (0.0, 1.0)], None);
        assert_eq!((all.verdict, all.score), (Verdict::Failed, Some(0.5)));
        let enough = report(&[(1.0, 3.0), (0.0, 1.0)], Some(0.75));
        assert_eq!(
            (enough.verdict, enough.score),
            (Verdict::Passed, Some(0.75))
        );
        assert_eq!(enough.score_text().unwrap(), "score 0.75 of at least 0.75");
        let low = report(&[(1.0, 1.0), (0.0, 1.0)], Some(0.6));
        assert_eq!(low.verdict, Verdict::Failed);
        assert!(low.failures[0].why.contains("at least 0.6"), "{low:?}");
        // Scores can fall short although every expectation passed.
        let graded = report(&[(0.7, 1.0)], Some(0.8));
        assert_eq!(
            (graded.verdict, graded.failures.len()),
            (Verdict::Failed, 1)
        );
    }

    #[test]
    fn a_case_that_lacks_goldens_is_told_from_a_case_that_failed() {
        let golden = |expected: Option<&str>| Failure {
            source: "expect golden one".to_string(),
            golden: Some("one".to_string()),
            expected: expected.map(str::to_string),
            actual: Some("Snow.".to_string()),
            ..Failure::default()
        };
        let lacks = |failures: &[Failure], threshold: Option<f64>| {
            let mut case = report(&[], None);
            case.expectations.push(Checked::default());
            case.failures = failures.to_vec();
            case.decide(threshold, "a.illum:2");
            (case.verdict, case.lacks_goldens())
        };
        let other = Failure::default();
        assert_eq!(lacks(&[golden(None)], None), (Verdict::Failed, true));
        assert_eq!(lacks(&[golden(None)], Some(0.5)), (Verdict::Failed, true));
        let differs = [golden(None), golden(Some("Rain."))];
        assert_eq!(lacks(&differs, None), (Verdict::Failed, false));
        assert_eq!(
            lacks(&[golden(None), other], None),
            (Verdict::Failed, false)
        );
        assert_eq!(lacks(&[], Some(0.5)), (Verdict::Failed, false));
        assert!(!report(&[(1.0, 1.0)], None).lacks_goldens());
    }

    #[test]
    fn what_has_no_weight_is_only_reported() {
        let case = report(&[(0.0, 0.0), (1.0, 2.0)], None);
        assert_eq!((case.verdict, case.score), (Verdict::Passed, Some(1.0)));
        let none = report(&[(1.0, 0.0)], None);
        assert_eq!((none.verdict, none.score), (Verdict::Passed, Some(0.0)));
        assert_eq!(report(&[], Some(0.5)).verdict, Verdict::Passed);
    }
}

//! Formats a report in TAP 14, the Test Anything Protocol. Each case has a line, and a case that
//! failed has details in YAML.

use super::{CaseReport, Failure, RunReport, Verdict, summary_text};
use base::untrusted::clean_line;

/// Returns the first lines of the report, which contain the number of cases and, as comments, the
/// summary.
pub fn tap_plan(run: &RunReport, cases: usize) -> String {
    let summary = summary_text(run);
    let comments = summary
        .lines()
        .map(|line| format!("# {}\n", clean_line(line)));
    format!("TAP version 14\n1..{cases}\n") + &comments.collect::<String>()
}

/// Returns the lines of a case. `number` is the position of the case in the run, counted from 1.
pub fn tap_case(number: usize, case: &CaseReport) -> String {
    let name = description(&format!("{}: {}", case.file, case.case));
    if case.verdict == Verdict::Passed {
        let text = format!("ok {number} - {name}\n");
        let scores = scores(case);
        return match scores.is_empty() {
            true => text,
            false => format!("{text}  ---\n{scores}  ...\n"),
        };
    }
    let all: Vec<&Failure> = case.failures.iter().chain(&case.error).collect();
    let severity = match case.verdict {
        Verdict::Error => "error",
        Verdict::Passed | Verdict::Failed => "fail",
    };
    let mut text = format!("not ok {number} - {name}\n  ---\n");
    text += &field("  ", "message", all.first().map_or("", |it| &it.why));
    text += &field("  ", "severity", severity);
    if let Some(seconds) = case.seconds {
        text += &format!("  duration_ms: {:.0}\n", seconds * 1e3);
    }
    text += &scores(case);
    text += "  failures:\n";
    for failure in all {
        text += &field("    - ", "at", &failure.at);
        text += &field("      ", "source", &failure.source);
        text += &field("      ", "message", &failure.why);
        for (name, part) in failure.texts() {
            text += &field("      ", name, part);
        }
    }
    if let Some(story) = &case.story {
        text += &field("  ", "story", story);
    }
    text += &field("  ", "rerun", &case.rerun);
    text + "  ...\n"
}

/// Returns the score and threshold of a case, followed by the score of each expectation, as YAML.
/// The result is empty if the score says no more than the number of failures does.
fn scores(case: &CaseReport) -> String {
    let Some(score) = case.score.filter(|_| case.is_scored()) else {
        return String::new();
    };
    let mut text = format!("  score: {score:.4}\n");
    if let Some(threshold) = case.threshold {
        text += &format!("  threshold: {threshold}\n");
    }
    if !case.expectations.is_empty() {
        text += "  scores:\n";
    }
    for checked in &case.expectations {
        text += &field("    - ", "at", &checked.at);
        text += &field("      ", "source", &checked.source);
        let (score, weight) = (checked.score, checked.weight);
        text += &format!("      score: {score:.4}\n      weight: {weight}\n");
    }
    text
}

/// Returns a field in YAML, preceded by `before`. The value is written as a JSON string, which is
/// valid in YAML too.
fn field(before: &str, name: &str, value: &str) -> String {
    let quoted = serde_json::to_string(value).unwrap_or_default();
    format!("{before}{name}: {quoted}\n")
}

/// Returns the last line of a report if the run was stopped early. `why` is the reason.
pub fn tap_bail(why: &str) -> String {
    format!("Bail out! {}\n", description(why))
}

/// Returns a description on one line, with `#` and `\` escaped.
fn description(text: &str) -> String {
    clean_line(text).replace('\\', "\\\\").replace('#', "\\#")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Checked, RunMode};

    #[test]
    fn a_failed_case_has_yaml_and_nothing_breaks_a_line() {
        let failure = Failure {
            at: "b.illum:4".to_string(),
            source: "expect equals x".to_string(),
            why: "The passage is a different text.".to_string(),
            expected: Some("x".to_string()),
            actual: Some("y\n...\nok 9".to_string()),
            ..Failure::default()
        };
        let case = CaseReport {
            file: "b.illum".to_string(),
            case: "issue #4 \n not ok 5".to_string(),
            verdict: Verdict::Failed,
            failures: vec![failure],
            rerun: "illumine replay b.illum".to_string(),
            ..CaseReport::default()
        };
        let run = RunReport {
            mode: RunMode::Cassette,
            cassette: Some("a.tape".to_string()),
            reproducible: true,
            failed: 2,
            ..RunReport::default()
        };
        assert_eq!(
            tap_plan(&run, 2) + &tap_case(2, &case) + &tap_bail("Interrupted"),
            r#"TAP version 14
1..2
# 2 cases: 0 passed, 2 failed.
# Mode: cassette a.tape, with no model.
not ok 2 - b.illum: issue \#4   not ok 5
  ---
  message: "The passage is a different text."
  severity: "fail"
  failures:
    - at: "b.illum:4"
      source: "expect equals x"
      message: "The passage is a different text."
      expected: "x"
      actual: "y\n...\nok 9"
  rerun: "illumine replay b.illum"
  ...
Bail out! Interrupted
"#
        );
        let passed = CaseReport {
            verdict: Verdict::Passed,
            ..case
        };
        assert_eq!(tap_case(1, &passed).lines().count(), 1);
        let scored = CaseReport {
            score: Some(0.75),
            threshold: Some(0.7),
            expectations: vec![Checked {
                at: "b.illum:4".to_string(),
                source: "expect weight 3 equals x".to_string(),
                score: 0.75,
                weight: 3.0,
                ..Checked::default()
            }],
            case: "four".to_string(),
            ..passed
        };
        assert_eq!(
            tap_case(1, &scored),
            r#"ok 1 - b.illum: four
  ---
  score: 0.7500
  threshold: 0.7
  scores:
    - at: "b.illum:4"
      source: "expect weight 3 equals x"
      score: 0.7500
      weight: 3
  ...
"#
        );
    }
}

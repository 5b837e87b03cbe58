//! TAP 14, the Test Anything Protocol: a line for each case, and YAML about one that failed.

use super::{CaseReport, Failure, Verdict};
use base::untrusted::clean_line;

/// The first lines, which say how many cases there are.
pub fn tap_plan(cases: usize) -> String {
    format!("TAP version 14\n1..{cases}\n")
}

/// The lines of a case, with its number from 1.
pub fn tap_case(number: usize, case: &CaseReport) -> String {
    let name = description(&format!("{}: {}", case.file, case.case));
    if case.verdict == Verdict::Passed {
        return format!("ok {number} - {name}\n");
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

/// A field of the YAML; a string in JSON is one in YAML too.
fn field(before: &str, name: &str, value: &str) -> String {
    let quoted = serde_json::to_string(value).unwrap_or_default();
    format!("{before}{name}: {quoted}\n")
}

/// The last line of a run that stopped before its end.
pub fn tap_bail(why: &str) -> String {
    format!("Bail out! {}\n", description(why))
}

/// A description on one line, in which `#` and `\` are escaped.
fn description(text: &str) -> String {
    clean_line(text).replace('\\', "\\\\").replace('#', "\\#")
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(
            tap_plan(2) + &tap_case(2, &case) + &tap_bail("Interrupted"),
            r#"TAP version 14
1..2
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
    }
}

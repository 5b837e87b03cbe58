//! Formats a report as JUnit XML, which continuous integration systems read. Each script is a test
//! suite, and each case is a test.

use super::{CaseReport, Entry, Failure, RunReport, Verdict};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// Returns the report as JUnit XML. The entries of the same script must be adjacent.
pub fn junit(run: &RunReport, entries: impl Iterator<Item = Entry>) -> Result<String, String> {
    let mut report = Report::new("illumine replay");
    if let Some(time) = duration(run.seconds) {
        report.set_time(time);
    }
    let mut suite: Option<Suite> = None;
    for entry in entries {
        let file = entry.file();
        if suite.as_ref().is_none_or(|suite| suite.file != file)
            && let Some(last) = suite.replace(Suite::new(file, run))
        {
            report.add_test_suite(last.finished(run));
        }
        if let Some(suite) = &mut suite {
            suite.add(&entry);
        }
    }
    report.add_test_suites(suite.map(|last| last.finished(run)));
    let xml = report.to_string().map_err(|error| error.to_string())?;
    // Jenkins' schema (junit-10.xsd) allows this attribute on suites only.
    Ok(without_attribute(&xml, " skipped=\""))
}

/// The test suite with the cases of one script.
struct Suite {
    file: String,
    suite: TestSuite,
    seconds: f64,
}

impl Suite {
    fn new(file: &str, run: &RunReport) -> Suite {
        let mut suite = TestSuite::new(file);
        suite.add_property(("mode", run.mode.name()));
        if let Some(cassette) = &run.cassette {
            suite.add_property(("cassette", cassette.as_str()));
        }
        for model in &run.models {
            suite.add_property(("model", model.as_str()));
        }
        Suite {
            file: file.to_string(),
            suite,
            seconds: 0.0,
        }
    }

    fn add(&mut self, entry: &Entry) {
        self.seconds += match entry {
            Entry::Ran(case) => case.seconds.unwrap_or_default(),
            Entry::NotRun { .. } => 0.0,
        };
        self.suite.add_test_case(test(entry));
    }

    fn finished(mut self, run: &RunReport) -> TestSuite {
        if let Some(time) = duration(run.seconds.map(|_| self.seconds)) {
            self.suite.set_time(time);
        }
        self.suite
    }
}

/// Removes the first attribute that begins with `start` from the XML.
fn without_attribute(xml: &str, start: &str) -> String {
    let parts = xml.split_once(start);
    let parts = parts.and_then(|(before, rest)| Some((before, rest.split_once('"')?.1)));
    parts.map_or_else(
        || xml.to_string(),
        |(before, after)| format!("{before}{after}"),
    )
}

fn test(entry: &Entry) -> TestCase {
    match entry {
        Entry::Ran(case) => ran(case),
        Entry::NotRun { file, case } => {
            let mut status = TestCaseStatus::skipped();
            status.set_message("The run was stopped before this case.");
            let mut test = TestCase::new(case.as_str(), status);
            test.set_classname(file.as_str());
            test
        }
    }
}

fn ran(case: &CaseReport) -> TestCase {
    let status = match (case.verdict, case.error.as_ref().or(case.failures.first())) {
        (Verdict::Passed, _) | (_, None) => TestCaseStatus::success(),
        (verdict, Some(first)) => {
            let kind = match verdict {
                Verdict::Error => NonSuccessKind::Error,
                Verdict::Passed | Verdict::Failed => NonSuccessKind::Failure,
            };
            let mut status = TestCaseStatus::non_success(kind);
            let all = case.failures.iter().chain(&case.error);
            let all: Vec<String> = all.map(description).collect();
            status.set_message(first.why.as_str());
            status.set_type(kind_of(&first.source));
            status.set_description(format!("{}\n{}", all.join("\n"), case.rerun));
            status
        }
    };
    let mut test = TestCase::new(case.case.as_str(), status);
    test.set_classname(case.file.as_str());
    if let Some(time) = duration(case.seconds) {
        test.set_time(time);
    }
    let output = [
        case.score_lines().join("\n"),
        case.story.clone().unwrap_or_default(),
    ];
    let output: Vec<String> = output.into_iter().filter(|it| !it.is_empty()).collect();
    if !output.is_empty() {
        test.set_system_out(output.join("\n\n"));
    }
    test
}

/// Returns the name of the expectation in a line of a script, `threshold` for a threshold, or
/// `line` for any other line.
fn kind_of(source: &str) -> &str {
    let Some(rest) = source.strip_prefix("expect ") else {
        return match source.starts_with("threshold ") {
            true => "threshold",
            false => "line",
        };
    };
    let weighted = rest.strip_prefix("weight ");
    let unweighted = weighted.and_then(|rest| rest.split_once(' '));
    let rest = unweighted.map_or(rest, |(_, rest)| rest);
    rest.split_whitespace().next().unwrap_or(rest)
}

fn description(failure: &Failure) -> String {
    let mut text = format!("{}: {}\n{}\n", failure.at, failure.source, failure.why);
    for (name, part) in failure.texts() {
        text += &format!("{name}: {part}\n");
    }
    text
}

fn duration(seconds: Option<f64>) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Checked;

    #[test]
    fn a_suite_for_each_script_and_no_times_in_a_stable_report() {
        let case = |file: &str, case: &str, verdict| CaseReport {
            file: file.to_string(),
            case: case.to_string(),
            verdict,
            checked: 1,
            ..CaseReport::default()
        };
        let failure = Failure {
            at: "b.illum:4".to_string(),
            source: "expect contains \"<lamp>\"".to_string(),
            why: "The passage does not contain \"<lamp>\".".to_string(),
            actual: Some("dark \u{1b}[31m".to_string()),
            ..Failure::default()
        };
        let failed = CaseReport {
            failures: vec![failure],
            expectations: vec![Checked {
                source: "expect contains \"<lamp>\"".to_string(),
                weight: 2.0,
                ..Checked::default()
            }],
            score: Some(0.0),
            ..case("b.illum", "two & three", Verdict::Failed)
        };
        let cases = [case("a.illum", "one", Verdict::Passed), failed];
        let ran = cases.map(|case| Entry::Ran(Box::new(case)));
        let left = Entry::NotRun {
            file: "b.illum".to_string(),
            case: "three".to_string(),
        };
        let entries = ran.into_iter().chain([left]);
        let xml = junit(&RunReport::default(), entries).unwrap();
        assert_eq!(xml.matches("<testsuite ").count(), 2, "{xml}");
        assert!(
            xml.contains("two &amp; three") && xml.contains("&lt;lamp&gt;"),
            "{xml}"
        );
        assert_eq!(xml.matches("skipped=").count(), 2, "{xml}");
        assert!(xml.contains("tests=\"2\" skipped=\"1\""), "{xml}");
        assert_eq!(xml.matches("<skipped").count(), 1, "{xml}");
        assert!(xml.contains("type=\"contains\""), "{xml}");
        assert_eq!(kind_of("expect weight 2 words > 3"), "words");
        assert_eq!(kind_of("threshold 0.5"), "threshold");
        assert!(xml.contains("0.0000, weight 2: expect contains"), "{xml}");
        assert!(!xml.contains(" time=") && !xml.contains('\u{1b}'), "{xml}");
    }
}

//! Formats a report as JUnit XML, which continuous integration systems read. Each script is a test
//! suite, and each case is a test.

use super::{CaseReport, Failure, RunReport, Verdict};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// Returns the report as JUnit XML.
pub fn junit(run: &RunReport, cases: &[CaseReport]) -> Result<String, String> {
    let mut report = Report::new("illumine replay");
    if let Some(time) = duration(run.seconds) {
        report.set_time(time);
    }
    for group in cases.chunk_by(|one, next| one.file == next.file) {
        let mut suite = TestSuite::new(group[0].file.as_str());
        suite.add_property(("mode", run.mode.name()));
        for model in &run.models {
            suite.add_property(("model", model.as_str()));
        }
        suite.add_test_cases(group.iter().map(test));
        let seconds: Option<f64> = group.iter().map(|case| case.seconds).sum();
        if let Some(time) = duration(seconds) {
            suite.set_time(time);
        }
        report.add_test_suite(suite);
    }
    let xml = report.to_string().map_err(|error| error.to_string())?;
    // Jenkins' schema (junit-10.xsd) allows this attribute on suites only.
    Ok(xml.replacen(" skipped=\"0\"", "", 1))
}

fn test(case: &CaseReport) -> TestCase {
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
            let kind = first.source.strip_prefix("expect ").unwrap_or("line");
            status.set_type(kind.split_whitespace().next().unwrap_or(kind));
            status.set_description(format!("{}\n{}", all.join("\n"), case.rerun));
            status
        }
    };
    let mut test = TestCase::new(case.case.as_str(), status);
    test.set_classname(case.file.as_str());
    if let Some(time) = duration(case.seconds) {
        test.set_time(time);
    }
    if let Some(story) = &case.story {
        test.set_system_out(story.as_str());
    }
    test
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
            ..case("b.illum", "two & three", Verdict::Failed)
        };
        let cases = [case("a.illum", "one", Verdict::Passed), failed];
        let xml = junit(&RunReport::default(), &cases).unwrap();
        assert_eq!(xml.matches("<testsuite ").count(), 2, "{xml}");
        assert!(
            xml.contains("two &amp; three") && xml.contains("&lt;lamp&gt;"),
            "{xml}"
        );
        assert_eq!(xml.matches("skipped=").count(), 2, "{xml}");
        assert!(xml.contains("type=\"contains\""), "{xml}");
        assert!(!xml.contains(" time=") && !xml.contains('\u{1b}'), "{xml}");
    }
}

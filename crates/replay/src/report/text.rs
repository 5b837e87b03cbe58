//! Formats a report as text for people. A case that passed takes one line; a case that failed is
//! followed by an explanation.

use super::{CaseReport, Failure, RunMode, RunReport, Verdict};
use base::untrusted::{clean, clean_line};
use story::sentence::count_noun;

/// The maximum number of characters shown of a text that explains a failure. The JSON and JUnit
/// reports contain the whole text.
const LONGEST: usize = 1200;

/// Formats the report of a case as text. `mark` formats the verdict, for example with colour.
pub fn case_text(case: &CaseReport, mark: impl Fn(Verdict, &str) -> String) -> String {
    let verdict = match case.verdict {
        Verdict::Passed => "ok    ",
        Verdict::Failed => "FAILED",
        Verdict::Error => "ERROR ",
    };
    let mut text = format!(
        "{} {}: {}  ({})\n",
        mark(case.verdict, verdict),
        clean_line(&case.file),
        clean_line(&case.case),
        counts_text(case)
    );
    for remark in &case.remarks {
        text += &format!("       {}\n", clean_line(remark));
    }
    if case.verdict == Verdict::Passed {
        // The score reaches the threshold although these failed.
        for failure in &case.failures {
            let (at, why) = (clean_line(&failure.at), clean_line(&failure.why));
            text += &format!("       {at}: {why}\n");
        }
    } else {
        for failure in case.failures.iter().chain(&case.error) {
            text += &failure_text(failure);
        }
    }
    if case.verdict != Verdict::Passed {
        text += &format!(
            "\n       To run this case alone:\n       {}\n\n",
            clean_line(&case.rerun)
        );
    }
    text
}

/// Returns how many expectations or runs of a case passed or failed, and how long the case took.
pub fn counts_text(case: &CaseReport) -> String {
    let threshold = case.threshold.map(|it| format!("threshold {it}"));
    let is_expectation = |failure: &&Failure| threshold.as_ref() != Some(&failure.source);
    let failed = case.failures.iter().filter(is_expectation).count();
    let counts = match (case.verdict, failed) {
        (Verdict::Failed, _) | (Verdict::Error, 1..) => {
            format!(
                "{failed} of {} failed",
                count_noun(case.checked, "expectation")
            )
        }
        (Verdict::Passed | Verdict::Error, _) => count_noun(case.checked, "expectation"),
    };
    let counts = match &case.runs {
        Some(runs) => format!(
            "{} of {} runs passed: {:.0} %, 95 % interval {:.0} to {:.0} %; expected {}",
            runs.passed,
            runs.runs,
            runs.pass_rate * 100.0,
            runs.low * 100.0,
            runs.high * 100.0,
            runs.expected
        ),
        None => counts,
    };
    let counts = match case.score_text() {
        Some(score) => format!("{counts}, {score}"),
        None => counts,
    };
    let counts = match case.mode {
        Some(mode) => format!("{counts}, {}", mode.name()),
        None => counts,
    };
    let time = case.seconds.map(|seconds| format!(", {seconds:.1} s"));
    counts + &time.unwrap_or_default()
}

/// Returns the explanation of a failure.
fn failure_text(failure: &Failure) -> String {
    let mut text = format!(
        "\n       {}: {}\n       {}\n",
        clean_line(&failure.at),
        clean_line(&failure.source),
        clean_line(&failure.why)
    );
    for (name, part) in failure.texts() {
        text += &format!("       {name}:\n{}", indented(part));
    }
    text
}

/// Indents a text that explains a failure. Each line is put after a vertical bar, so that white
/// space is visible.
fn indented(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST).collect();
    let left = text.chars().count().saturating_sub(LONGEST);
    if left > 0 {
        shown += &format!("… ({left} more characters)");
    }
    let lines = clean(&shown);
    lines
        .split('\n')
        .map(|line| format!("         | {line}\n"))
        .collect()
}

/// Returns the summary at the end of the report.
pub fn summary_text(run: &RunReport) -> String {
    let mut counts = format!("{} passed", run.passed);
    if run.failed > 0 {
        counts += &format!(", {} failed", run.failed);
    }
    if run.errors > 0 {
        counts += &format!(", {} with errors", run.errors);
    }
    if run.not_run > 0 {
        counts += &format!(", {} not run", run.not_run);
    }
    let time = run.seconds.map(|seconds| format!(" in {seconds:.1} s"));
    let models: Vec<String> = run.models.iter().map(|model| clean_line(model)).collect();
    let models = match models.is_empty() {
        true => "no model".to_string(),
        false => models.join("; "),
    };
    let caveat = match run.reproducible {
        true => "",
        false => ", which may write another text next time",
    };
    let retries = match run.retries.unwrap_or_default() {
        0 => String::new(),
        1 => "One request was sent again.\n".to_string(),
        retries => format!("{retries} requests were sent again.\n"),
    };
    format!(
        "{}: {counts}{}.\nMode: {}, with {models}{caveat}.\n{}{retries}",
        count_noun(run.cases() + run.not_run, "case"),
        time.unwrap_or_default(),
        mode_text(run),
        verified_text(run)
    )
}

/// Returns the mode in words, with the cassette that was used.
fn mode_text(run: &RunReport) -> String {
    let cassette = run.cassette.as_deref().map(clean_line);
    match (run.mode, cassette) {
        (RunMode::Recompute, Some(cassette)) => format!("recompute, recorded in {cassette}"),
        (RunMode::Mixed, Some(cassettes)) => format!("mixed, with the cassette {cassettes}"),
        (mode, Some(cassette)) => format!("{} {cassette}", mode.name()),
        (mode, None) => mode.name().to_string(),
    }
}

/// Returns a line about the log-probabilities; empty if none were compared.
fn verified_text(run: &RunReport) -> String {
    let Some(verified) = &run.verified else {
        return String::new();
    };
    let unscored = match verified.unscored {
        0 => String::new(),
        unscored => format!(
            "; {} without a recorded log-probability",
            count_noun(unscored, "token")
        ),
    };
    format!(
        "Verified: {}, whose log-probabilities differ by {:.4} on average and {:.4} at most (tolerance {}){unscored}.\n",
        count_noun(verified.tokens, "token"),
        verified.mean_difference,
        verified.largest_difference,
        verified.tolerance
    )
}

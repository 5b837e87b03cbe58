//! Formats each case as a line of JSON, in lm-evaluation-harness's format for samples
//! (`samples_*.jsonl`).

use super::{CaseReport, Verdict};
use base::hash::sha256;
use serde_json::{Value, json};

/// The name of the filter in each sample. This name means that no filter was used.
const FILTER: &str = "none";

/// Returns a case as a line of JSON. `number` is the index of the case in the run, counted from 0.
pub fn sample_line(number: usize, case: &CaseReport) -> String {
    let doc = json!({
        "file": case.file,
        "case": case.case,
        "line": case.line,
        "rerun": case.rerun,
    });
    let target = expected(case);
    let (prompt, text) = (case.input(), case.output());
    let hashes = [doc.to_string(), prompt.to_string(), target.clone()];
    let [doc_hash, prompt_hash, target_hash] = hashes.map(|it| sha256(it.as_bytes()));
    json!({
        "doc_id": number,
        "doc": doc,
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": prompt}},
        "resps": [[text]],
        "filtered_resps": [text],
        "filter": FILTER,
        "metrics": ["acc", "score"],
        "doc_hash": doc_hash,
        "prompt_hash": prompt_hash,
        "target_hash": target_hash,
        "acc": f64::from(u8::from(case.verdict == Verdict::Passed)),
        "score": case.score.unwrap_or_default(),
        "failures": failures(case),
    })
    .to_string()
}

/// Returns the expectations of a case, each on its own line.
pub(super) fn expected(case: &CaseReport) -> String {
    let sources = case.expectations.iter().map(|it| it.source.as_str());
    sources.collect::<Vec<_>>().join("\n")
}

/// Returns a text for each failed expectation of a case and for the line that could not run, each
/// with the reason.
pub(super) fn failures(case: &CaseReport) -> Vec<String> {
    let all = case.failures.iter().chain(&case.error);
    all.map(|it| format!("{}: {}: {}", it.at, it.source, it.why))
        .collect()
}

/// Returns the expectations of a case with their scores, as JSON.
pub(super) fn scores(case: &CaseReport) -> Value {
    let scores = case.expectations.iter();
    scores
        .map(|it| json!({"at": it.at, "expectation": it.source, "passed": it.passed, "score": it.score, "weight": it.weight}))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::inspect::tests::cases;

    #[test]
    fn a_sample_has_the_fields_of_the_harness() {
        let lines: Vec<String> = cases()
            .iter()
            .enumerate()
            .map(|(n, it)| sample_line(n, it))
            .collect();
        let samples: Vec<Value> = lines
            .iter()
            .map(|it| serde_json::from_str(it).unwrap())
            .collect();
        assert_eq!(
            (&samples[0]["acc"], &samples[1]["acc"]),
            (&json!(1.0), &json!(0.0))
        );
        assert_eq!(samples[1]["doc_id"], 1);
        assert_eq!(samples[1]["resps"], json!([["It rained.\n"]]));
        assert_eq!(samples[1]["target"], "expect contains lamp");
        assert_eq!(
            samples[1]["failures"][0],
            "a.illum:9: expect contains lamp: No lamp."
        );
        assert_eq!(
            samples[0]["arguments"]["gen_args_0"]["arg_0"],
            "The lamp\n/retry"
        );
        let names: Vec<&str> = samples[0]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        // The names that lm-evaluation-harness 0.4.13 writes, then the metrics.
        let harness = [
            "doc_id",
            "doc",
            "target",
            "arguments",
            "resps",
            "filtered_resps",
            "filter",
            "metrics",
            "doc_hash",
            "prompt_hash",
            "target_hash",
        ];
        assert_eq!(names[..11], harness);
        assert_eq!(names[11..], ["acc", "score", "failures"]);
        assert!(lines.iter().all(|line| !line.contains('\n')));
    }
}

//! Writes the report as a log for Inspect (`.eval`). The log is a ZIP archive with a header,
//! summaries and a file for each sample. `inspect view` and `inspect_ai.log.read_eval_log` can read
//! the log.

use super::samples::{expected, failures, scores};
use super::{CaseReport, RunReport, Verdict};
use base::hash::sha256;
use serde_json::{Map, Value, json};
use std::error::Error;
use std::io::{Seek, Write};
use zip::result::ZipResult;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The version of the log format.
const VERSION: u32 = 2;
/// The name of the score in the log.
const SCORER: &str = "expectations";

/// Writes the log. `cases` returns all cases in order; it is called several times, so that the
/// cases need not be kept in memory. `created` is the time when the run began, in RFC 3339 format.
pub fn write_eval_log<I: Iterator<Item = CaseReport>>(
    out: impl Write + Seek,
    run: &RunReport,
    cases: impl Fn() -> I,
    created: &str,
) -> Result<(), Box<dyn Error>> {
    let first = cases().next();
    let task = first.map_or("replay".to_string(), |case| case.file);
    let start = start(run, &task, created);
    let mut archive = ZipWriter::new(out);
    put(&mut archive, "_journal/start.json", &start)?;
    let (mut accuracy, mut mean_score) = (0.0, 0.0);
    for (at, case) in cases().enumerate() {
        let id = at + 1;
        put(
            &mut archive,
            &format!("samples/{id}_epoch_1.json"),
            &sample(id, &case, run),
        )?;
        accuracy += passed(&case);
        mean_score += score(&case);
    }
    begin(&mut archive, "summaries.json")?;
    for (at, case) in cases().enumerate() {
        let separator = if at == 0 { "[" } else { "," };
        let summary = summary(&sample(at + 1, &case, run));
        archive.write_all(format!("{separator}{summary}").as_bytes())?;
    }
    let end = if run.cases() == 0 { "[]" } else { "]" };
    archive.write_all(end.as_bytes())?;
    let count = run.cases().max(1) as f64;
    let means = [
        ("accuracy", accuracy / count),
        ("mean_score", mean_score / count),
    ];
    put(
        &mut archive,
        "header.json",
        &header(start, run, &means, created),
    )?;
    archive.finish()?.flush()?;
    Ok(())
}

fn begin(archive: &mut ZipWriter<impl Write + Seek>, name: &str) -> ZipResult<()> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    archive.start_file(name, options)
}

fn put(
    archive: &mut ZipWriter<impl Write + Seek>,
    name: &str,
    value: &Value,
) -> Result<(), Box<dyn Error>> {
    begin(archive, name)?;
    Ok(archive.write_all(value.to_string().as_bytes())?)
}

/// The name of the first model in the run's list of models.
fn model(run: &RunReport) -> &str {
    run.models.first().map_or("no model", String::as_str)
}

/// Returns the first part of the log, which says what was run.
fn start(run: &RunReport, task: &str, created: &str) -> Value {
    let id = sha256(format!("{created} {task}").as_bytes());
    let count = run.cases();
    let ids: Vec<usize> = (1..=count).collect();
    let eval = json!({
        "eval_id": &id[..22],
        "run_id": &id[22..44],
        "created": created,
        "task": task,
        "task_id": &id[42..],
        "task_version": 0,
        "dataset": {"name": task, "samples": count, "sample_ids": ids, "shuffled": false},
        "model": model(run),
        "config": {"epochs": 1},
        "packages": {"illumine": run.build},
        "metadata": {"mode": run.mode, "models": run.models, "reproducible": run.reproducible},
        "scorers": [{"name": SCORER}],
    });
    json!({"version": VERSION, "eval": eval, "plan": {"name": "replay", "steps": []}})
}

/// Returns the header of the log, with the totals of the run. `means` contains the name of each
/// metric and its mean over all cases.
fn header(mut header: Value, run: &RunReport, means: &[(&str, f64)], created: &str) -> Value {
    let count = run.cases();
    let metrics: Map<String, Value> = means
        .iter()
        .map(|(name, value)| (name.to_string(), json!({"name": name, "value": value})))
        .collect();
    header["status"] = match run.not_run {
        0 => json!("success"),
        _ => json!("cancelled"),
    };
    header["results"] = json!({
        "total_samples": count + run.not_run,
        "completed_samples": count,
        "scores": [{"name": SCORER, "scorer": SCORER, "params": {}, "metrics": metrics}],
    });
    header["stats"] = json!({"started_at": created, "completed_at": created});
    header
}

fn passed(case: &CaseReport) -> f64 {
    f64::from(u8::from(case.verdict == Verdict::Passed))
}

fn score(case: &CaseReport) -> f64 {
    case.score.unwrap_or_default()
}

fn sample(id: usize, case: &CaseReport, run: &RunReport) -> Value {
    let (input, text) = (case.input(), case.output());
    let model = case.model.as_deref().unwrap_or(model(run));
    let message = json!({"role": "assistant", "content": text, "source": "generate"});
    let mut sample = json!({
        "id": id,
        "epoch": 1,
        "input": input,
        "target": expected(case),
        "messages": [{"role": "user", "content": input, "source": "input"}, message],
        "output": {
            "model": model,
            "choices": [{"message": message, "stop_reason": "stop"}],
            "completion": text,
        },
        "scores": {
            SCORER: {
                "value": passed(case),
                "answer": text,
                "explanation": failures(case).join("\n"),
                "metadata": {"score": score(case), "expectations": scores(case)},
            },
        },
        "metadata": {
            "case": case.case,
            "file": case.file,
            "line": case.line,
            "verdict": case.verdict,
            "tokens": case.tokens,
            "rerun": case.rerun,
        },
        "store": {},
        "events": [],
        "model_usage": {},
        "attachments": {},
    });
    if let Some(seconds) = case.seconds {
        sample["total_time"] = json!(seconds);
    }
    if let Some(error) = &case.error {
        let trace = "";
        sample["error"] =
            json!({"message": error.why, "traceback": trace, "traceback_ansi": trace});
    }
    sample
}

/// Returns the summary of a sample, which is shown in lists of samples.
fn summary(sample: &Value) -> Value {
    let mut summary: Map<String, Value> = Map::new();
    for name in [
        "id",
        "epoch",
        "input",
        "target",
        "scores",
        "metadata",
        "total_time",
    ] {
        if let Some(value) = sample.get(name) {
            summary.insert(name.to_string(), value.clone());
        }
    }
    if let Some(error) = sample.get("error") {
        summary.insert("error".to_string(), error["message"].clone());
    }
    summary.insert("completed".to_string(), Value::from(true));
    Value::Object(summary)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::report::{Checked, Failure, Texts};
    use std::io::{Cursor, Read};
    use zip::ZipArchive;

    /// Returns three cases: one that passed, one that failed, and one with an error.
    pub(in crate::report) fn cases() -> Vec<CaseReport> {
        let case = |name: &str, verdict: Verdict| CaseReport {
            file: "a.illum".to_string(),
            case: name.to_string(),
            verdict,
            score: Some(if verdict == Verdict::Passed {
                1.0
            } else {
                0.25
            }),
            ..CaseReport::default()
        };
        let failure = Failure {
            at: "a.illum:9".to_string(),
            source: "expect contains lamp".to_string(),
            why: "No lamp.".to_string(),
            ..Failure::default()
        };
        let failed = CaseReport {
            failures: vec![failure.clone()],
            expectations: vec![Checked {
                at: failure.at.clone(),
                source: failure.source.clone(),
                weight: 1.0,
                ..Checked::default()
            }],
            story: Some("It rained.\n".to_string()),
            seconds: Some(0.5),
            ..case("dark/night", Verdict::Failed)
        };
        let error = CaseReport {
            error: Some(failure),
            ..case("broken", Verdict::Error)
        };
        let passed = CaseReport {
            texts: Texts {
                typed: "The lamp\n/retry".to_string(),
                story: "The lamp burned.".to_string(),
            },
            ..case("opening", Verdict::Passed)
        };
        vec![passed, failed, error]
    }

    #[test]
    fn the_log_has_a_header_summaries_and_samples() {
        let run = RunReport {
            models: vec!["small on cpu".to_string()],
            passed: 1,
            failed: 1,
            errors: 1,
            ..RunReport::default()
        };
        let log = || {
            let mut log = Cursor::new(Vec::new());
            let created = "2026-01-02T03:04:05Z";
            write_eval_log(&mut log, &run, || cases().into_iter(), created).unwrap();
            log.into_inner()
        };
        assert_eq!(log(), log());
        let log = log();
        let mut archive = ZipArchive::new(Cursor::new(log)).unwrap();
        let mut file = |name: &str| {
            let mut text = String::new();
            archive
                .by_name(name)
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            serde_json::from_str::<Value>(&text).unwrap()
        };
        let header = file("header.json");
        let metrics = &header["results"]["scores"][0]["metrics"];
        assert_eq!(metrics["mean_score"]["value"], 0.5);
        assert_eq!(header["eval"]["model"], "small on cpu");
        assert_eq!(file("summaries.json").as_array().unwrap().len(), 3);
        let ids = &header["eval"]["dataset"]["sample_ids"];
        assert_eq!(
            (ids, &header["status"]),
            (&json!([1, 2, 3]), &json!("success"))
        );
        let opening = file("samples/1_epoch_1.json");
        assert_eq!(opening["input"], "The lamp\n/retry");
        assert_eq!(
            opening["output"]["choices"][0]["message"]["content"],
            "The lamp burned."
        );
        let failed = file("samples/2_epoch_1.json");
        assert_eq!(failed["input"], "dark/night");
        assert_eq!(failed["scores"][SCORER]["value"], 0.0);
        assert_eq!(failed["output"]["completion"], "It rained.\n");
        assert!(
            failed["scores"][SCORER]["explanation"]
                .as_str()
                .unwrap()
                .contains("No lamp.")
        );
        assert_eq!(
            file("samples/3_epoch_1.json")["error"]["message"],
            "No lamp."
        );
    }
}

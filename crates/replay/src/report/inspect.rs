//! Writes the report as a log for Inspect (`.eval`). The log is a ZIP archive with a header,
//! summaries and a file for each sample. `inspect view` and `inspect_ai.log.read_eval_log` can read
//! the log.

use super::samples::{expected, failures, scores};
use super::{CaseReport, RunReport, Verdict};
use base::hash::sha256;
use serde_json::{Map, Value, json};
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The version of the log format.
const VERSION: u32 = 2;
/// The name of the score in the log.
const SCORER: &str = "expectations";

/// Returns the bytes of the log. `created` is the time when the run began, in RFC 3339.
pub fn eval_log(run: &RunReport, cases: &[CaseReport], created: &str) -> Result<Vec<u8>, String> {
    let model = run.models.first().map_or("no model", String::as_str);
    let samples = cases.iter().enumerate();
    let samples: Vec<Value> = samples
        .map(|(at, case)| sample(at + 1, case, model))
        .collect();
    let summaries: Vec<Value> = samples.iter().map(summary).collect();
    let mut files = vec![
        (
            "_journal/start.json".to_string(),
            start(run, cases, created),
        ),
        ("summaries.json".to_string(), Value::from(summaries)),
        ("header.json".to_string(), header(run, cases, created)),
    ];
    let names = (1..).map(|id| format!("samples/{id}_epoch_1.json"));
    files.extend(names.zip(samples));
    archive(&files).map_err(|error| error.to_string())
}

fn archive(files: &[(String, Value)]) -> zip::result::ZipResult<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, value) in files {
        archive.start_file(name.as_str(), options)?;
        archive.write_all(value.to_string().as_bytes())?;
    }
    Ok(archive.finish()?.into_inner())
}

/// Returns the description of the run: the task, its samples, the models and the mode.
fn spec(run: &RunReport, cases: &[CaseReport], created: &str) -> Value {
    let task = cases.first().map_or("replay", |case| case.file.as_str());
    let id = sha256(format!("{created} {task}").as_bytes());
    let ids: Vec<usize> = (1..=cases.len()).collect();
    json!({
        "eval_id": &id[..22],
        "run_id": &id[22..44],
        "created": created,
        "task": task,
        "task_id": &id[42..],
        "task_version": 0,
        "dataset": {"name": task, "samples": cases.len(), "sample_ids": ids, "shuffled": false},
        "model": run.models.first().map_or("no model", String::as_str),
        "config": {"epochs": 1},
        "packages": {"illumine": run.build},
        "metadata": {"mode": run.mode, "models": run.models, "reproducible": run.reproducible},
        "scorers": [{"name": SCORER}],
    })
}

fn start(run: &RunReport, cases: &[CaseReport], created: &str) -> Value {
    json!({"version": VERSION, "eval": spec(run, cases, created), "plan": {"name": "replay", "steps": []}})
}

fn header(run: &RunReport, cases: &[CaseReport], created: &str) -> Value {
    let count = cases.len();
    let mean = |value: fn(&CaseReport) -> f64| match count {
        0 => 0.0,
        count => cases.iter().map(value).sum::<f64>() / count as f64,
    };
    let metrics = [("accuracy", mean(passed)), ("mean_score", mean(score))];
    let metrics: Map<String, Value> = metrics
        .into_iter()
        .map(|(name, value)| (name.to_string(), json!({"name": name, "value": value})))
        .collect();
    let mut header = start(run, cases, created);
    header["status"] = json!("success");
    header["results"] = json!({
        "total_samples": count,
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

fn sample(id: usize, case: &CaseReport, model: &str) -> Value {
    let text = case.story.clone().unwrap_or_default();
    let message = json!({"role": "assistant", "content": text, "source": "generate"});
    let mut sample = json!({
        "id": id,
        "epoch": 1,
        "input": case.case,
        "target": expected(case),
        "messages": [{"role": "user", "content": case.case, "source": "input"}, message],
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
    use crate::report::{Checked, Failure};
    use std::io::Read;
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
        vec![case("opening", Verdict::Passed), failed, error]
    }

    #[test]
    fn the_log_has_a_header_summaries_and_samples() {
        let run = RunReport {
            models: vec!["small on cpu".to_string()],
            ..RunReport::default()
        };
        let log = eval_log(&run, &cases(), "2026-01-02T03:04:05Z").unwrap();
        assert_eq!(
            log,
            eval_log(&run, &cases(), "2026-01-02T03:04:05Z").unwrap()
        );
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
        let failed = file("samples/2_epoch_1.json");
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

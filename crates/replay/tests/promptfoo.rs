//! Imports 60 cases of promptfoo and compares their results with those of promptfoo 0.123.1; see
//! promptfoo/README.md.

use replay::expect::Observed;
use replay::golden::Goldens;
use replay::import::import;
use replay::report::{CaseReport, Verdict};
use replay::script::{self, Case, Step};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use story::{Command, command};

/// Checks a case as if a model had repeated the text that the case types. Returns that text and the
/// report.
fn run(case: &Case) -> (String, CaseReport) {
    let (mut typed, mut report) = (String::new(), CaseReport::default());
    let goldens = Goldens::of(Path::new("a.illum"), false);
    let passage = |_: &str| Err("There is no other passage.".to_string());
    for step in &case.steps {
        match step {
            Step::Line { text, .. } => match command::parse(text) {
                Ok(Command::Write(text)) => typed = text,
                other => panic!("{other:?}"),
            },
            Step::Expect(expectation) => {
                let seen = Observed {
                    text: &typed,
                    story: &typed,
                    answer: "",
                    refused: None,
                    status: None,
                    tokens: None,
                    milliseconds: 1.0,
                    tokens_per_second: None,
                    versions: Vec::new(),
                    pictures: Vec::new(),
                    picture_style: None,
                    picture_concepts: Vec::new(),
                    cost: Some(0.0),
                    measured: None,
                    passage: &passage,
                };
                report.add(expectation, expectation.check(&seen, &goldens), false);
            }
        }
    }
    report.decide(case.threshold, "a.illum:1");
    (typed, report)
}

#[test]
fn every_assertion_has_the_verdict_and_the_score_of_promptfoo() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/promptfoo");
    let imported = import(&folder.join("promptfooconfig.yaml")).unwrap();
    assert!(imported.omitted.is_empty(), "{:?}", imported.omitted);
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.illum");
    std::fs::write(&path, &imported.script).unwrap();
    let script = script::load(&path, &BTreeMap::new()).unwrap();
    let results = include_str!("promptfoo/results.jsonl").lines();
    let results: Vec<Value> = results
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    assert_eq!((script.cases.len(), results.len()), (74, 74));
    let mut compared = 0;
    for (case, theirs) in script.cases.iter().zip(&results) {
        let (typed, ours) = run(case);
        assert_eq!(typed, theirs["output"].as_str().unwrap(), "{}", case.name);
        let assertions = theirs["assertions"].as_array().unwrap();
        assert_eq!(ours.expectations.len(), assertions.len(), "{}", case.name);
        for (ours, theirs) in ours.expectations.iter().zip(assertions) {
            let score = theirs["score"].as_f64().unwrap();
            let near = (ours.score - score).abs() < 1e-9;
            assert!(near, "{}: {ours:?} {theirs}", case.name);
            assert_eq!(
                ours.passed,
                theirs["pass"].as_bool().unwrap(),
                "{}: {ours:?}",
                case.name
            );
            compared += 1;
        }
        let passed = ours.verdict == Verdict::Passed;
        assert_eq!(
            passed,
            theirs["pass"].as_bool().unwrap(),
            "{}: {ours:?}",
            case.name
        );
        let score = theirs["score"].as_f64().unwrap();
        assert!(
            (ours.score.unwrap() - score).abs() < 1e-9,
            "{}: {ours:?}",
            case.name
        );
    }
    assert_eq!(compared, 176);
}

//! Tests `illumine replay` with the real default model.

use crate::support::{Home, Output, home::plain};
use serde_json::Value;
use std::fs;
use std::path::Path;

const SCRIPT: &str = "illumine-replay 1
set seed 42 max_tokens 12
case opening
> The harbour was quiet
expect tokens <= 12
expect golden opening
case second
> The harbour was quiet
/retry
expect not-same-as 1
expect golden second
/undo
expect same-as 1
";

fn replay(home: &Home, args: &[&str]) -> Output {
    let output = home.illumine(&[&["replay"], args].concat()).run();
    plain(&output.stderr);
    output
}

fn objects(output: &Output) -> Vec<Value> {
    let lines = output.text().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_pinned_seed_gives_the_same_bytes_with_any_number_of_threads() {
    let home = Home::new();
    home.file("night.illum", SCRIPT);
    let missing = replay(&home, &["night.illum"]).expect(4);
    assert!(
        missing.text().contains("--update-golden writes it"),
        "{}",
        missing.text()
    );
    replay(&home, &["night.illum", "--update-golden"]).expect(0);
    let golden = home.path().join("goldens/night/second.txt");
    let written = fs::read_to_string(&golden).unwrap();
    let stable = ["night.illum", "--json", "--stable"];
    let one = replay(&home, &stable).expect(0);
    for threads in ["2", "3"] {
        let more = replay(&home, &[&stable[..], &["--threads", threads]].concat()).expect(0);
        assert_eq!(more.text(), one.text(), "{threads} threads");
    }
    // A case alone, and after others, is the same.
    replay(&home, &["night.illum", "--filter", "second"]).expect(0);
    assert_eq!(fs::read_to_string(&golden).unwrap(), written);
    let run = objects(&one).pop().unwrap();
    assert_eq!(
        (&run["mode"], &run["passed"]),
        (&"recompute".into(), &2.into())
    );
    assert_eq!(run["reproducible"], true);
}

#[test]
fn a_failed_expectation_explains_itself() {
    let home = Home::new();
    let golden = " and the sea was quiet.\n";
    home.file("goldens/a/sea.txt", golden);
    home.file(
        "a.illum",
        "illumine-replay 1\nset max_tokens 6\ncase it's quiet\n> The harbour was quiet\nexpect golden sea\nexpect words > 100\ncase fine\n> Night.\nexpect characters >= 1\n",
    );
    let output = replay(
        &home,
        &["a.illum", "--junit", "out.xml", "--set", "top_k=5"],
    )
    .expect(1);
    let text = output.text();
    for part in [
        "FAILED a.illum: it's quiet  (2 of 2 expectations failed",
        "a.illum:5: expect golden sea",
        "The passage differs from goldens/a/sea.txt.",
        "changes:\n         | ",
        "[-",
        "but more than 100 is expected.",
        "illumine replay a.illum --filter 'it'\\''s quiet' --set top_k=5",
        "ok     a.illum: fine  (1 expectation,",
        "2 cases: 1 passed, 1 failed in",
        "Mode: recompute, with smollm2-135m",
    ] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
    let xml = fs::read_to_string(home.path().join("out.xml")).unwrap();
    assert!(
        xml.contains("<failure") && xml.contains("tests=\"2\""),
        "{xml}"
    );
    assert_eq!(
        fs::read_to_string(home.path().join("goldens/a/sea.txt")).unwrap(),
        golden
    );
    let ci = home.illumine(&["replay", "a.illum", "--update-golden"]);
    ci.variable("CI", "true").run().expect(2);
}

#[test]
fn a_line_that_cannot_run_ends_its_case_only() {
    let home = Home::new();
    home.file(
        "a.illum",
        "illumine-replay 1\nset max_tokens 3\ncase refused\n/retry\nexpect refused nothing to regenerate\n/undo 3\n> x\ncase fine\n> Night.\n/set\nexpect answer contains max_tokens\nexpect story starts-with Night.\nexpect finish length\nexpect latency > 0\n",
    );
    let output = replay(&home, &["a.illum", "--json"]).expect(1);
    let [refused, fine, _] = &objects(&output)[..] else {
        panic!("{}", output.text());
    };
    assert_eq!(refused["verdict"], "error");
    assert_eq!(refused["error"]["at"], "a.illum:6");
    assert_eq!(
        (&fine["verdict"], &fine["checked"]),
        (&"passed".into(), &4.into())
    );
    assert!(!home.sessions().exists(), "a replay saves nothing");
}

#[test]
fn a_repeated_case_has_a_pass_rate() {
    let home = Home::new();
    home.file(
        "a.illum",
        "illumine-replay 1\nset max_tokens 3 temperature 1.5\nrepeat 4 pass-rate <= 0.5\ncase never\n> Night fell\nexpect words > 50\ncase all\n> Night fell\n",
    );
    let output = replay(&home, &["a.illum", "--json"]).expect(1);
    // Cases of a batch are written as they end.
    let cases = objects(&output);
    let named = |name: &str| cases.iter().find(|it| it["case"] == name).unwrap();
    let (never, all) = (named("never"), named("all"));
    assert_eq!(
        (&never["verdict"], &never["runs"]["passed"]),
        (&"passed".into(), &0.into())
    );
    assert_eq!(
        (&all["verdict"], &all["runs"]["passed"]),
        (&"failed".into(), &4.into())
    );
    assert!(never["tokens"].as_u64() > Some(6), "{never}");
}

#[test]
fn a_script_with_an_error_runs_nothing() {
    let home = Home::new();
    home.file(
        "a.illum",
        "illumine-replay 1\n> Night.\nexpect contians x\n",
    );
    home.file("b.illum", "illumine-replay 1\n/rtery\n");
    let output = replay(&home, &["a.illum", "b.illum"]).expect(2);
    assert_eq!(output.text(), "");
    assert_eq!(
        output.stderr,
        "illumine: a.illum:3:8: Unknown expectation \"contians\"; did you mean contains?\nillumine: b.illum:2:1: Unknown command /rtery; did you mean /retry?\n"
    );
    home.file("c.illum", "illumine-replay 1\n> Night.\n");
    let none = replay(&home, &["c.illum", "--filter", "dawn"]).expect(2);
    assert!(
        none.stderr.contains("No name of the 1 case contains dawn"),
        "{}",
        none.stderr
    );
}

#[test]
fn a_recorded_session_passes_its_own_script() {
    let home = Home::new();
    let lines = "The harbour was quiet.\n\n/set temperature 0.6\n/note Rain is near.\nA bell\\\nrang.\n/retry\n/memory The sea is calm.\n/instruct Be brief.\n";
    home.illumine(&["repl", "night", "-n", "5"])
        .input(lines)
        .run()
        .expect(0);
    let output = home
        .illumine(&["sessions", "record", "night"])
        .run()
        .expect(0);
    assert!(
        output
            .text()
            .starts_with("Wrote night.illum with 4 goldens"),
        "{}",
        output.text()
    );
    let output = replay(&home, &["night.illum"]).expect(0);
    assert!(
        output.text().contains("(4 expectations"),
        "{}",
        output.text()
    );
    home.illumine(&["sessions", "record", "night"])
        .run()
        .expect(2);
}

/// Runs the 60 cases of crates/replay/tests/promptfoo with an echo of the prompt instead of a
/// model, and compares the verdicts and scores with promptfoo's.
#[test]
fn imported_cases_have_the_verdicts_and_scores_of_promptfoo() {
    let home = Home::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/replay/tests/promptfoo");
    let config = folder.join("promptfooconfig.yaml");
    let config = config.to_str().unwrap();
    let import = ["replay", "import", config, "-o", "cases.illum"];
    let imported = home.illumine(&import).run().expect(0);
    assert!(imported.text().contains("74 cases"), "{}", imported.text());
    let ran = replay(&home, &["cases.illum", "--json", "--stable"]).expect(1);
    let results = fs::read_to_string(folder.join("results.jsonl")).unwrap();
    let results = results.lines().map(|it| serde_json::from_str(it).unwrap());
    let results: Vec<Value> = results.collect();
    let ours = objects(&ran);
    assert_eq!(ours.len(), results.len() + 1);
    let near = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-9;
    for (ours, theirs) in ours.iter().zip(&results) {
        assert_eq!(
            ours["verdict"] == "passed",
            theirs["pass"] == true,
            "{ours}"
        );
        assert!(near(&ours["score"], &theirs["score"]), "{ours}\n{theirs}");
        let none = Vec::new();
        let found = ours["expectations"].as_array().unwrap_or(&none);
        let wanted = theirs["assertions"].as_array().unwrap();
        assert_eq!(found.len(), wanted.len(), "{ours}");
        for (ours, theirs) in found.iter().zip(wanted) {
            assert_eq!(ours["passed"], theirs["pass"], "{ours}");
            assert!(near(&ours["score"], &theirs["score"]), "{ours}\n{theirs}");
        }
    }
}

#[test]
fn what_a_model_cannot_measure_is_an_error() {
    let home = Home::new();
    home.file(
        "a.illum",
        "illumine-replay 1\nmodel echo\n> Night fell\nexpect equals Night fell\nexpect perplexity < 900\n",
    );
    let output = replay(&home, &["a.illum", "--json"]).expect(1);
    let case = &objects(&output)[0];
    assert_eq!(case["verdict"], "error");
    let why = case["error"]["why"].as_str().unwrap();
    assert!(why.contains("cannot measure perplexity"), "{why}");
    // The model on this machine can.
    home.file(
        "b.illum",
        "illumine-replay 1\nset max_tokens 8 seed 1\n> The harbour was quiet\nexpect perplexity 1..200\nexpect story perplexity 1..2000\n",
    );
    replay(&home, &["b.illum"]).expect(0);
}

#[test]
fn the_first_script_passes() {
    let home = Home::new();
    home.illumine(&["replay", "new"]).run().expect(0);
    let taken = replay(&home, &["new"]).expect(2);
    assert!(
        taken.stderr.contains("overwrite it with --force"),
        "{}",
        taken.stderr
    );
    replay(&home, &["first.illum"]).expect(0);
}

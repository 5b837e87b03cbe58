//! Tests of what a script says about how its cases run.

use super::{Answers, Case, HEADER, load};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn cases(files: &[(&str, &str)]) -> Result<Vec<Case>, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, body) in files {
        fs::write(folder.path().join(name), format!("{HEADER}\n{body}")).unwrap();
    }
    let path = folder.path().join(files[0].0);
    let start = format!("{}/", folder.path().display());
    let script = load(&path, &BTreeMap::new());
    let script = script.map_err(|errors| errors[0].to_string().replace(&start, ""))?;
    let mut cases = script.cases;
    for case in &mut cases {
        let short = |path: &Path| path.strip_prefix(folder.path()).unwrap().to_path_buf();
        case.conditions.answers = case.conditions.answers.take().map(|it| match it {
            Answers::Recompute => it,
            Answers::Cassette(path) => Answers::Cassette(short(&path)),
            Answers::Verify {
                cassette,
                tolerance,
            } => Answers::Verify {
                cassette: short(&cassette),
                tolerance,
            },
        });
    }
    Ok(cases)
}

fn parsed(body: &str) -> Result<Vec<Case>, String> {
    cases(&[("a.illum", body)])
}

#[test]
fn a_script_says_where_its_answers_come_from_and_where_it_runs() {
    let body = "answers verify old.tape tolerance 0.25\ndevice CUDA:1\nthreads 3\nbackend gpu\nmodel tale.gguf sha256=B179C952\n> x\ncase a\ncase b\n";
    let error = parsed("> x\nanswers recompute\n").unwrap_err();
    assert!(
        error.contains("answers must come before the lines of a case"),
        "{error}"
    );
    let all = parsed(&body.replace("> x\n", "")).unwrap_err();
    assert!(all.contains("no lines to run"), "{all}");
    let body = body.replace("> x\n", "") + "answers cassette \"new tape\"\n> x\n";
    let [a, b] = &parsed(&body).unwrap()[..] else {
        panic!("two cases");
    };
    let verify = Answers::Verify {
        cassette: "old.tape".into(),
        tolerance: Some(0.25),
    };
    let conditions = &a.conditions;
    assert_eq!(conditions.answers, Some(verify));
    assert_eq!(conditions.device.as_deref(), Some("cuda:1"));
    assert_eq!(
        (conditions.threads, conditions.backend.as_deref()),
        (Some(3), Some("gpu"))
    );
    assert_eq!(conditions.sha256.as_deref(), Some("b179c952"));
    assert_eq!(a.settings.model.as_deref(), Some("tale.gguf"));
    let cassette = Answers::Cassette("new tape".into());
    assert_eq!(b.conditions.answers, Some(cassette));
    for (line, why) in [
        (
            "answers",
            "a.illum:2:8: answers takes recompute, cassette FILE or verify FILE",
        ),
        (
            "answers verify a.tape tolerance many",
            "tolerance takes a number",
        ),
        ("device gpu", "A device is auto, cpu, cuda, cuda:N or metal"),
        ("threads 0", "threads takes a number from 1 to 512"),
        (
            "model a sha256=12",
            "sha256= takes 8 to 64 hexadecimal digits",
        ),
        ("anwsers recompute", "did you mean answers?"),
        ("kv f32", "use --kv on the command line"),
    ] {
        let error = parsed(&format!("{line}\n> x\n")).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_matrix_has_backends_devices_threads_and_included_presets() {
    let files = [
        (
            "a.illum",
            "matrix backend http://one:1 two\nmatrix include warm.illum cold.illum\nmatrix model \"x sha256=0123456789\" y\n> Night\n",
        ),
        ("warm.illum", "set temperature 1.2 min_p 0.02\n"),
        ("cold.illum", "set temperature 0.1\nthreads 2\n"),
    ];
    let cases = cases(&files).unwrap();
    assert_eq!(cases.len(), 8);
    let [first, .., last] = &cases[..] else {
        panic!("eight cases");
    };
    assert_eq!(
        first.name,
        "a [backend=http://one:1, include=warm, model=x]"
    );
    assert_eq!(first.conditions.backend.as_deref(), Some("http://one:1"));
    assert_eq!(first.conditions.sha256.as_deref(), Some("0123456789"));
    assert_eq!(first.settings.sampling.len(), 2);
    assert_eq!(last.name, "a [backend=two, include=cold, model=y]");
    assert_eq!(
        (last.conditions.threads, &last.conditions.sha256),
        (Some(2), &None)
    );
    let devices = parsed("matrix device cpu metal\nmatrix threads 1 2\n> x\n").unwrap();
    assert_eq!(devices[3].conditions.device.as_deref(), Some("metal"));
    assert_eq!(devices[2].conditions.threads, Some(1));
}

#[test]
fn a_preset_contains_neither_cases_nor_a_matrix() {
    for (preset, why) in [
        (
            "case a\n",
            "b.illum:2:6: A file that matrix include names contains no cases",
        ),
        (
            "\nmatrix set seed 1 2\n",
            "b.illum:3:1: A file that matrix include names has one value",
        ),
    ] {
        let files = [
            ("a.illum", "matrix include b.illum\n> x\n"),
            ("b.illum", preset),
        ];
        let error = cases(&files).unwrap_err();
        assert!(error.starts_with(why), "{error}");
    }
    let error = parsed("matrix include b.illum\n> x\n").unwrap_err();
    assert!(error.starts_with("a.illum:2:16: "), "{error}");
}

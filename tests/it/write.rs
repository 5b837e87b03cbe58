//! Tests `illumine write`, which writes one passage for one prompt.

use crate::support::{Home, loaded};
use serde_json::Value;
use std::io::Read;
use std::process::Stdio;

const PROMPT: &str = "The lamp on the harbour wall";

fn write(args: &[&str]) -> String {
    let args = [&["write"], args].concat();
    let output = Home::new().illumine(&args).run().expect(0);
    assert_eq!(output.stderr, "");
    output.text().to_string()
}

fn report(args: &[&str]) -> Value {
    serde_json::from_str(&write(&[&["--json", "-n", "6", PROMPT], args].concat())).unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

fn ids(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_u64().unwrap() as u32)
        .collect()
}

#[test]
fn json_says_all_that_is_documented_and_nothing_else() {
    let report = report(&["--seed", "7"]);
    let fields = [
        "text",
        "prompt_ids",
        "ids",
        "stop",
        "seed",
        "model",
        "timings",
    ];
    assert_eq!(keys(&report), fields);
    assert_eq!(keys(&report["model"]), ["name", "sha256"]);
    let timings = [
        "load_ms",
        "prefill_ms",
        "prefill_tps",
        "decode_ms",
        "decode_tps",
        "reused",
        "guessed",
    ];
    assert_eq!(keys(&report["timings"]), timings);
    assert_eq!(
        (report["seed"].as_u64(), report["stop"].as_str()),
        (Some(7), Some("length"))
    );
    assert_eq!(report["model"]["name"], "smollm2-135m");
    assert!(
        timings[..5]
            .iter()
            .all(|name| report["timings"][name].as_f64().unwrap() > 0.0)
    );
}

#[test]
fn the_text_is_what_its_tokens_say() {
    let report = report(&["--seed", "7"]);
    let tokenizer = loaded().tokenizer;
    let ids = ids(&report["ids"]);
    assert_eq!(ids.len(), 6);
    let bytes: Vec<u8> = ids
        .iter()
        .flat_map(|id| tokenizer.bytes(*id))
        .copied()
        .collect();
    assert_eq!(report["text"].as_str().unwrap().as_bytes(), bytes);
    assert_eq!(
        self::ids(&report["prompt_ids"]),
        tokenizer.encode(PROMPT).unwrap()
    );
}

#[test]
fn standard_output_is_the_text_and_a_seed_makes_it_again() {
    let args = ["-n", "6", "--seed", "7", PROMPT];
    let text = write(&args);
    assert_eq!(text, report(&["--seed", "7"])["text"].as_str().unwrap());
    assert_eq!(text, write(&args));
    assert_ne!(text, write(&["-n", "6", "--seed", "8", PROMPT]));
    assert_eq!(
        write(&["--echo", "-n", "6", "--seed", "7", PROMPT]),
        format!("{PROMPT}{text}")
    );
}

#[test]
fn the_prompt_may_come_on_standard_input() {
    let args = ["write", "-n", "6", "--seed", "7"];
    let piped = Home::new()
        .illumine(&args)
        .input(format!("{PROMPT}\n"))
        .run()
        .expect(0);
    assert_eq!(piped.text(), write(&["-n", "6", "--seed", "7", PROMPT]));
}

#[test]
fn at_temperature_0_no_seed_matters() {
    let greedy = |seed| write(&["-n", "6", "--temperature", "0", "--seed", seed, PROMPT]);
    assert_eq!(greedy("1"), greedy("2"));
}

#[test]
fn a_stop_text_ends_the_passage_and_is_not_part_of_it() {
    let args = ["--json", "--temperature", "0", "-n", "24", "The roads are"];
    let free: Value = serde_json::from_str(&write(&args)).unwrap();
    let text = free["text"].as_str().unwrap();
    // With the same seed, the model is sure to write these letters again.
    let stop = &text[5..9];
    let set = format!("stop=[{}]", Value::from(stop));
    let stopped = [&args[..], &["--set", &set]].concat();
    let stopped: Value = serde_json::from_str(&write(&stopped)).unwrap();
    assert_eq!(stopped["stop"], "stop_string");
    assert_eq!(stopped["text"].as_str(), text.split(stop).next());
}

#[test]
fn chat_answers_in_the_models_template() {
    let args = [
        "--chat",
        "--json",
        "-n",
        "8",
        "--temperature",
        "0",
        "Tell me a story.",
    ];
    let report: Value = serde_json::from_str(&write(&args)).unwrap();
    let prompt = ids(&report["prompt_ids"]);
    // SmolLM2's <|im_start|> opens its default system message.
    assert_eq!(prompt.first(), Some(&1));
    assert!(
        report["text"]
            .as_str()
            .unwrap()
            .contains("story of a young woman"),
        "{report}"
    );
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let home = Home::new();
    let run = home.illumine(&["write", "--seed", "5", "-n", "400", PROMPT]);
    let leave = std::thread::spawn(move || {
        let mut bytes = [0; 5];
        reader.read_exact(&mut bytes).unwrap();
    });
    let output = run.with(|command| {
        command.stdout(Stdio::from(writer));
    });
    leave.join().unwrap();
    assert_eq!(output.expect(0).stderr, "");
}

#[test]
fn ctrl_c_leaves_with_the_text_so_far() {
    let home = Home::new();
    let mut live = home
        .illumine(&["write", "--seed", "5", "-n", "400", PROMPT])
        .start();
    let printed = live.printed(5);
    live.signal(libc::SIGINT);
    let output = live.end().expect(130);
    assert_eq!(output.stderr, "");
    assert!(output.stdout.starts_with(&printed));
}

#[test]
fn ctrl_c_before_the_first_word_is_no_failure_of_the_model() {
    let home = Home::new();
    // The input is still open, so the program waits for its prompt.
    let live = home.illumine(&["write", "-n", "4"]).start();
    live.signal(libc::SIGINT);
    let output = live.end();
    assert_eq!(
        (output.signal(), output.stderr.as_str()),
        (Some(libc::SIGINT), "")
    );
}

#[test]
fn a_termination_is_told_by_the_exit_code() {
    for (signal, code) in [(libc::SIGTERM, 143), (libc::SIGHUP, 129)] {
        let home = Home::new();
        let mut live = home
            .illumine(&["write", "--seed", "5", "-n", "400", PROMPT])
            .start();
        let printed = live.printed(5);
        live.signal(signal);
        let output = live.end().expect(code);
        assert!(output.stdout.starts_with(&printed));
    }
}

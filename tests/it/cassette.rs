//! Tests replays of recorded answers, and the guarantees of the three replay modes, with the real
//! default model.

use crate::support::case_server::{Answer, CaseServer};
use crate::support::gguf::quantized_anew;
use crate::support::{Home, Output, home::plain};
use candle_core::quantized::GgmlDType;
use serde_json::Value;
use std::fs;

const SCRIPT: &str = "illumine-replay 1
set seed 42 max_tokens 6
case opening
> The harbour was quiet
expect golden opening
case second
> The harbour was quiet
/retry
expect golden second
case chat
mode chat
> Say hello.
expect golden chat
expect perplexity > 1
";

fn replay(home: &Home, args: &[&str]) -> Output {
    let output = home
        .illumine(&[&["replay", "a.illum"], args].concat())
        .run();
    plain(&output.stderr);
    output
}

/// Reads all answers from a cassette.
fn answers(home: &Home, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(home.path().join(name)).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let answers = lines.map(|line: Value| line["answer"].clone());
    answers.filter(|answer| answer.is_object()).collect()
}

/// The key, the pieces and the log-probabilities of an answer as one text, without the times.
fn content(answer: &Value) -> String {
    let events = answer["events"].as_array().unwrap().iter();
    let pieces: Vec<&Value> = events.map(|event| &event[1]["piece"]).collect();
    format!("{} {pieces:?} {}", answer["key"], answer["scores"])
}

/// The number of the prompt's tokens that were already in the KV cache.
fn reused(answer: &Value) -> u64 {
    answer["events"][0][1]["prefill"]["reused"]
        .as_u64()
        .unwrap()
}

#[test]
fn answers_are_played_without_a_model_and_are_the_same_however_they_were_computed() {
    let home = Home::new();
    home.file("a.illum", SCRIPT);
    let recorded = replay(&home, &["--update-golden", "--record", "one.tape"]).expect(0);
    let mode = "Mode: recompute, recorded in one.tape, with smollm2-135m";
    assert!(recorded.text().contains(mode), "{}", recorded.text());
    let play = |args: &[&str]| {
        let words = [&["replay", "a.illum", "--cassette", "one.tape"], args].concat();
        home.illumine(&words)
            .variable("ILLUMINE_MODELS", "nowhere")
            .run()
    };
    let played = play(&[]).expect(0);
    assert!(
        played.text().contains("Mode: cassette one.tape"),
        "{}",
        played.text()
    );
    let stable = play(&["--json", "--stable"]).expect(0);
    let slow = play(&["--json", "--stable", "--real-time"]).expect(0);
    assert_eq!(slow.text().replace(" --real-time", ""), stable.text());
    let other = play(&[
        "--filter",
        "opening",
        "--set",
        "temperature=0.7",
        "--junit",
        "out.xml",
    ]);
    let other = other.expect(1);
    for part in [
        "differs in temperature. To record it again: illumine replay a.illum --record one.tape",
        "temperature: [-0.8-]{+0.7+}",
        "(1 of 1 expectation failed",
    ] {
        assert!(
            other.text().contains(part),
            "{part:?} is missing in:\n{}",
            other.text()
        );
    }
    let xml = fs::read_to_string(home.path().join("out.xml")).unwrap();
    assert!(xml.contains("name=\"mode\" value=\"cassette\""), "{xml}");
    play(&["--in-order", "--set", "temperature=0.7"]).expect(0);

    // Recomputed with two threads, and without anything in the KV cache.
    replay(&home, &["--record", "two.tape", "--threads", "2"]).expect(0);
    replay(&home, &["--record", "alone.tape", "--filter", "second"]).expect(0);
    let fewer = replay(&home, &["--record", "one.tape", "--filter", "second"]).sentence(2);
    assert!(
        fewer.contains("would remove the answers of all other cases"),
        "{fewer}"
    );
    let [one, two, alone] = ["one.tape", "two.tape", "alone.tape"].map(|it| answers(&home, it));
    let contents = |answers: &[Value]| answers.iter().map(content).collect::<Vec<String>>();
    // Four passages and the perplexity of one.
    assert_eq!(one.len(), 5);
    assert_eq!(contents(&one), contents(&two));
    assert_eq!(contents(&one[1..3]), contents(&alone));
    assert!(reused(&one[1]) > 0 && reused(&alone[0]) == 0);
}

#[test]
fn verify_finds_a_flipped_token_another_default_and_another_template() {
    let home = Home::new();
    home.file("a.illum", SCRIPT.replace("\nexpect", "\n# expect"));
    replay(&home, &["--record", "a.tape"]).expect(0);
    let verified = replay(&home, &["--verify", "a.tape", "--threads", "2", "--json"]).expect(0);
    let run: Value = serde_json::from_str(verified.text().lines().last().unwrap()).unwrap();
    assert_eq!(run["mode"], "verify");
    assert_eq!(run["verified"]["largest_difference"], 0.0);
    assert!(run["verified"]["tokens"].as_u64() >= Some(18), "{run}");

    let default = replay(&home, &["--verify", "a.tape", "--set", "min_p=0.1"]).expect(1);
    assert!(
        default.text().contains("min_p: [-0.05-]{+0.1+}"),
        "{}",
        default.text()
    );

    // The third token of the first answer becomes a comma.
    let text = fs::read_to_string(home.path().join("a.tape")).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    let mut first: Value = serde_json::from_str(&lines[2]).unwrap();
    let events = first["answer"]["events"].as_array_mut().unwrap();
    let mut pieces = events
        .iter_mut()
        .filter(|event| event[1]["piece"].is_object());
    let piece = &mut pieces.nth(2).unwrap()[1]["piece"];
    piece["text"] = ",".into();
    let ids = piece["ids"].take();
    piece["ids"] = serde_json::json!([28]);
    assert_ne!(ids, piece["ids"]);
    let flip = |lines: &[String]| home.file("flipped.tape", lines.join("\n"));
    lines[2] = first.to_string();
    flip(&lines);
    let flipped = replay(&home, &["--verify", "flipped.tape", "--filter", "opening"]).expect(1);
    let why = flipped.text();
    assert!(why.contains("Token 3 of the passage, \",\""), "{why}");
    // Tokens that do not belong to the text are found as well.
    lines[2] = lines[2].replacen("[28]", "[1980]", 1);
    flip(&lines);
    let flipped = replay(&home, &["--verify", "flipped.tape", "--filter", "opening"]).expect(1);
    assert!(
        flipped.text().contains("do not spell the recorded text"),
        "{}",
        flipped.text()
    );

    // The same model with another system message in its chat template.
    let mut model = fs::read(home.model()).unwrap();
    let (old, new) = (b"trained by Hugging Face", b"painted by Hugging Face");
    let at = model.windows(old.len()).position(|window| window == old);
    let at = at.expect("the template names its makers");
    model[at..at + new.len()].copy_from_slice(new);
    let path = home.file("other.gguf", model);
    let other = [
        "--verify",
        "a.tape",
        "--model",
        path.to_str().unwrap(),
        "--json",
    ];
    let other = replay(&home, &other).expect(1);
    let verdicts: Vec<Value> = other
        .text()
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    assert_eq!(
        [0, 1, 2].map(|case| verdicts[case]["verdict"].as_str()),
        [Some("passed"), Some("passed"), Some("failed")],
        "only the chat depends on the template: {}",
        other.text()
    );
    let why = verdicts[2]["failures"][0]["why"].as_str().unwrap();
    assert!(
        why.contains("those of another model file: smollm2-135m"),
        "{why}"
    );
}

#[test]
fn verify_finds_another_quantization() {
    let home = Home::new();
    let script = "illumine-replay 1\nset seed 42 max_tokens 16\n> The harbour was quiet\n";
    home.file("a.illum", script);
    replay(&home, &["--record", "a.tape"]).expect(0);
    let path = home.path().join("other.gguf");
    quantized_anew(&home.model(), &path, |own| match own {
        GgmlDType::Q4_1 => GgmlDType::Q4_0,
        other => other,
    });
    let path = path.display().to_string();
    let other = replay(&home, &["--verify", "a.tape", "--model", &path]).expect(1);
    let why = "those of another model file: smollm2-135m";
    assert!(other.text().contains(why), "{}", other.text());
    // The script itself can name the file that it was written for.
    let pinned = script.replace(
        "set seed",
        &format!("model {path} sha256=b179c952\nset seed"),
    );
    home.file("a.illum", pinned);
    let why = replay(&home, &[]).sentence(3);
    assert!(why.contains("but the script names b179c952"), "{why}");
}

#[test]
fn a_script_says_where_its_answers_come_from_and_the_command_line_overrides_it() {
    let home = Home::new();
    alike(&home, 2);
    let server = CaseServer::start(|_, _| Answer::Numbered);
    let script = format!(
        "illumine-replay 1\nbackend {}\nset max_tokens 4\n",
        server.root
    );
    let with = |line: &str| home.file("a.illum", format!("{script}{line}\n> Night fell\n"));
    let run = |args: &[&str]| {
        let run = home.illumine(&[&["replay", "a.illum"], args].concat());
        run.without("ILLUMINE_OFFLINE").run()
    };
    let asked = || server.seen(|seen| seen.bodies.len());
    with("");
    run(&["--record", "a.tape"]).expect(0);
    let recorded = asked();
    assert!(recorded > 0, "the script names the server");
    with("answers cassette a.tape");
    let played = run(&[]).expect(0);
    assert!(
        played.text().contains("Mode: cassette a.tape"),
        "{}",
        played.text()
    );
    assert_eq!(asked(), recorded);
    let anew = run(&["--recompute"]).expect(0);
    assert!(anew.text().contains("Mode: recompute"), "{}", anew.text());
    assert!(asked() > recorded);
    with("answers verify a.tape tolerance 0.2");
    let verified = run(&["--json"]).expect(0);
    let totals: Value = serde_json::from_str(verified.text().lines().last().unwrap()).unwrap();
    assert_eq!(
        (&totals["mode"], &totals["verified"]["tolerance"]),
        (&"verify".into(), &0.2.into())
    );
    let why = run(&["--compare", "seed=1", "seed=2"]).sentence(2);
    assert!(why.contains("add --recompute"), "{why}");
    // Cases with different modes in one run.
    let cases = "case played\nanswers cassette a.tape\n> Night fell\ncase anew\n> Night fell\n";
    home.file("a.illum", format!("{script}{cases}"));
    let mixed = run(&["--json"]).expect(0);
    let lines = mixed
        .text()
        .lines()
        .map(|it| serde_json::from_str(it).unwrap());
    let modes: Vec<Value> = lines.map(|it: Value| it["mode"].clone()).collect();
    assert_eq!(modes, ["cassette", "recompute", "mixed"]);
}

/// Writes a script with `count` cases that all send the same request.
fn alike(home: &Home, count: usize) {
    let case = |at: usize| format!("case c{at}\n> the same\nexpect golden c{at}\n");
    let cases: String = (0..count).map(case).collect();
    home.file("a.illum", format!("illumine-replay 1\n{cases}"));
}

#[test]
fn jobs_record_play_and_verify_and_each_case_gets_its_own_answer() {
    let home = Home::new();
    alike(&home, 24);
    let server = CaseServer::start(|_, _| Answer::Numbered);
    let on = |args: &[&str]| {
        let usual = ["replay", "--backend", &server.root];
        let run = home.illumine(&[&usual, args].concat());
        run.without("ILLUMINE_OFFLINE").run()
    };
    let record = ["a.illum", "--jobs", "8", "--record", "a.tape"];
    on(&[&record[..], &["--update-golden"]].concat()).expect(0);
    let asked = || server.seen(|seen| seen.bodies.len());
    assert_eq!(asked(), 24);
    let read = |name: &str| fs::read_to_string(home.path().join(name)).unwrap();
    let files = ["a.xml", "a.tap", "a.html", "a.jsonl"];
    let whole = |name: &str| home.path().join(name).display().to_string();
    let played = ["1", "8"].map(|jobs| {
        // A stable report is the same, however the files were named.
        let [script, tape] = ["a.illum", "a.tape"].map(|name| match jobs {
            "8" => whole(name),
            _ => name.to_string(),
        });
        let reports = files.map(|file| format!("--report={file}"));
        let mut args = vec![&*script, "--cassette", &*tape, "--stable", "--jobs", jobs];
        args.extend(reports.iter().map(String::as_str));
        let run = on(&args).expect(0);
        assert!(!run.stderr.contains("in turn"), "{}", run.stderr);
        [vec![run.text().to_string()], files.map(read).to_vec()].concat()
    });
    assert_eq!(played[0], played[1]);
    for (text, mode) in played[0].iter().zip([
        "\nMode: cassette a.tape, with ",
        "name=\"cassette\" value=\"a.tape\"",
        "\n# Mode: cassette a.tape, with ",
        "<p>Mode: cassette a.tape, with ",
        "{\"mode\":\"cassette\",\"cassette\":\"a.tape\",",
    ]) {
        assert!(text.contains(mode), "{mode:?} is missing in:\n{text}");
    }
    on(&["a.illum", "--cassette", "a.tape", "--filter", "c17"]).expect(0);
    let verified = on(&["a.illum", "--verify", "a.tape", "--jobs", "8"]).expect(0);
    let tokens = "Verified: 120 tokens, whose log-probabilities differ by 0.0000 on average";
    assert!(verified.text().contains(tokens), "{}", verified.text());
    let order = ["a.illum", "--cassette", "a.tape", "--in-order"];
    on(&[&order[..], &["--jobs", "2"]].concat()).expect(2);
    assert_eq!(asked(), 24);

    // What was played was not written by the model, so a run with the model does not take it over.
    let resume = ["a.illum", "--jobs", "8", "--resume", "a.jsonl"];
    let again = on(&[&resume[..], &["--cassette", "a.tape"]].concat()).expect(0);
    assert!(
        again.stderr.contains("0 cases to run, 24"),
        "{}",
        again.stderr
    );
    let model = on(&resume).expect(1);
    assert!(
        model.stderr.contains("24 cases to run, 0"),
        "{}",
        model.stderr
    );

    // An incomplete recording replaces nothing.
    let before = read("a.tape");
    let stopped = on(&[&record[..], &["--bail"]].concat()).expect(1);
    let why = "The cassette a.tape was not written, because some cases did not run";
    assert!(stopped.stderr.contains(why), "{}", stopped.stderr);
    assert!(
        !stopped.text().contains("recorded in"),
        "{}",
        stopped.text()
    );
    assert_eq!(read("a.tape"), before);
    assert!(!home.path().join("a.tape.part").exists());
}

//! Comparisons of commits and of earlier runs, and the choices that a person makes between them.

use crate::support::{Home, home::Output, home::plain, tmux::Terminal};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

fn replay(home: &Home, args: &[&str]) -> Output {
    let output = home.illumine(&[&["replay"], args].concat()).run();
    plain(&output.stderr);
    output
}

fn git(folder: &Path, words: &[&str]) {
    let config = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
    let run = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(config)
        .args(words)
        .output();
    let run = run.unwrap();
    assert!(run.status.success(), "git {words:?}: {run:?}");
}

/// Writes a script that includes a file and reads rows. The echoed text shows which version of each
/// file was read.
fn scripts(home: &Home, word: &str, row: &str, golden: &str) {
    home.file(
        "tests/a.illum",
        "illumine-replay 1\nmodel echo\ninclude ../shared/b.illum\ncase row\nrows rows.csv\n> {{ word }} {{ name }}\ncase golden\n> {{ word }}\nexpect golden text\n",
    );
    home.file(
        "shared/b.illum",
        format!("illumine-replay 1\nlet word = {word}\n"),
    );
    home.file("tests/rows.csv", format!("name\n{row}\n"));
    home.file("tests/goldens/a/text.txt", format!("{golden}\n"));
}

#[test]
fn two_commits_are_compared_with_their_own_includes_rows_and_goldens() {
    let home = Home::new();
    scripts(&home, "lamp", "one", "lamp");
    git(home.path(), &["init", "-q"]);
    git(home.path(), &["add", "tests", "shared"]);
    git(home.path(), &["commit", "-q", "-m", "first"]);
    scripts(&home, "bell", "two", "lamp");
    git(home.path(), &["commit", "-q", "-a", "-m", "second"]);
    let run = replay(&home, &["tests/a.illum", "--compare", "HEAD~1", "HEAD"]).expect(0);
    for part in [
        "A: HEAD~1 (",
        "0/0  0/0  tests/a.illum: row",
        "from word 1: \"lamp",
        "/ \"bell",
        "1/1  0/1  tests/a.illum: golden",
        "Texts that differ: 2 of 2.",
    ] {
        assert!(
            run.text().contains(part),
            "{part:?} is missing in:\n{}",
            run.text()
        );
    }
    // The files that are not committed are a side too.
    scripts(&home, "gull", "two", "gull");
    let run = replay(&home, &["tests/a.illum", "--compare", "commit:HEAD", "."]).expect(0);
    assert!(run.text().contains("B: current files"), "{}", run.text());
    assert!(run.text().contains("/ \"gull"), "{}", run.text());
    for (wrong, part) in [
        (
            "HEAD~9",
            "has no revision HEAD~9; git log lists the commits",
        ),
        ("commit:gone", "has no revision gone"),
        ("smollm", "did you mean 'smollm2-135m'?"),
    ] {
        let run = home.illumine(&["replay", "tests/a.illum", "--compare", wrong, "HEAD"]);
        let why = run.run().sentence(2);
        assert!(why.contains(part), "{why}");
    }
    // A script that did not exist yet.
    home.file("tests/new.illum", "illumine-replay 1\nmodel echo\n> x\n");
    let run = home.illumine(&["replay", "tests/new.illum", "--compare", "HEAD", "."]);
    let why = run.run().sentence(2);
    assert!(why.contains("does not contain tests/new.illum"), "{why}");
    // The repository's index is as before.
    let mut status = Command::new("git");
    status
        .arg("-C")
        .arg(home.path())
        .args(["diff", "--cached", "--quiet"]);
    assert!(status.status().unwrap().success());
}

#[test]
fn two_reports_are_compared_without_running_anything() {
    let home = Home::new();
    let script = |word: &str, more: &str| {
        let text = format!(
            "illumine-replay 1\nmodel echo\ncase one\n> The lamp {word}\nexpect contains fell\ncase two\n> Same\ncase {more}\n> x\n"
        );
        home.file("a.illum", text);
    };
    script("went out", "old");
    replay(&home, &["a.illum", "--report", "old.jsonl"]).expect(1);
    script("fell", "new");
    replay(&home, &["a.illum", "--report", "new.jsonl"]).expect(0);
    fs::remove_file(home.path().join("a.illum")).unwrap();
    let run = replay(&home, &["--compare", "old.jsonl", "report:new.jsonl"]).expect(0);
    for part in [
        "A: old.jsonl\nB: new.jsonl\n",
        "0/1  1/1  a.illum: one",
        "from word 3: \"went out",
        "/ \"fell",
        "Texts that differ: 1 of 2.",
        "Only A has 1 case: a.illum: old.",
        "Only B has 1 case: a.illum: new.",
        "B is better in 1 of 1 decided case",
    ] {
        assert!(
            run.text().contains(part),
            "{part:?} is missing in:\n{}",
            run.text()
        );
    }
    let two = ["--compare", "old.jsonl", "new.jsonl"];
    let filtered = replay(&home, &[&two[..], &["--filter", "two"]].concat()).expect(0);
    assert!(
        filtered.text().contains("differ: 0 of 1."),
        "{}",
        filtered.text()
    );
    for (args, part) in [
        (
            &["--compare", "old.jsonl", "gone.jsonl"][..],
            "Cannot read gone.jsonl",
        ),
        (
            &["--compare", "old.jsonl", "seed=1"],
            "Name the script to run",
        ),
        (
            &["x.illum", "--compare", "old.jsonl", "new.jsonl"],
            "leave out the name of the script",
        ),
        (
            &["--compare", "old.jsonl", "new.jsonl", "--choose"],
            "needs a terminal",
        ),
    ] {
        let run = home.illumine(&[&["replay"], args].concat()).run();
        let why = run.sentence(2);
        assert!(why.contains(part), "{why}");
    }
}

/// Writes a report of four cases. Their prompts are the same in every report; `text` is part of
/// what follows each prompt.
fn report(home: &Home, name: &str, text: &str) {
    let line = |n: usize| {
        let case = json!({
            "file": "a.illum", "case": format!("case {n}"), "line": n, "verdict": "passed",
            "checked": 1, "settings": "mode=prose,seed=1", "seed": 1, "model": name,
            "messages": [
                {"role": "user", "content": format!("Night {n}")},
                {"role": "assistant", "content": format!(" {text} {n}.")},
            ],
        });
        format!("{case}\n")
    };
    home.file(name, (0..4).map(line).collect::<String>());
}

#[test]
fn choices_in_a_terminal_survive_a_kill_and_are_scored() {
    let home = Home::new();
    report(&home, "old.jsonl", "came early");
    report(&home, "new.jsonl", "was late");
    let args = [
        "replay",
        "--compare",
        "old.jsonl",
        "new.jsonl",
        "--choose",
        "--blind=3",
    ];
    let terminal = Terminal::start_in(home, 100, 16, &args);
    let path = terminal.home.path().join("old.pairs.jsonl");
    let pairs = || -> Vec<Value> {
        let text = fs::read_to_string(&path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    // Chooses the text of `old.jsonl`, wherever it is.
    let choose = |number: usize| {
        let screen = terminal.wait_for(&format!("Which text is better? {number} of 4"));
        assert!(!screen.contains("old.jsonl"), "{screen}");
        let row = screen
            .lines()
            .find(|line| line.contains("came early"))
            .unwrap();
        let first = row.find("came early") < row.find("was late");
        terminal.keys(&[if first { "Left" } else { "Right" }]);
    };
    choose(1);
    choose(2);
    terminal.wait_for("Which text is better? 3 of 4");
    terminal.signal("KILL");
    // The shell's message about the kill contains the program's path, so the lines may wrap anywhere.
    terminal.wait("[ended 137]", |screen| {
        let text: String = screen.split_whitespace().collect();
        text.contains("[ended137]")
    });
    assert_eq!(pairs().len(), 2);
    terminal.again(&args);
    choose(3);
    terminal.wait_for("4 of 4");
    terminal.keys(&["q"]);
    let screen = terminal.wait_for("[ended 0]");
    assert!(screen.contains("3 of 4 cases decided"), "{screen}");
    assert!(!screen.contains("came early"), "{screen}");
    terminal.again(&args);
    terminal.wait_for("4 of 4");
    terminal.keys(&["t"]);
    terminal.wait_for("No case is left to decide.");
    terminal.keys(&["Enter"]);
    let screen = terminal.wait_for("[ended 0]");
    assert!(
        screen.contains("A (old.jsonl) was chosen in 3 of 3"),
        "{screen}"
    );
    assert!(!screen.contains("-icanon"), "{screen}");
    let pairs = pairs();
    assert_eq!(pairs.len(), 4);
    let train: Vec<&Value> = pairs.iter().filter(|pair| pair["train"] == true).collect();
    assert_eq!(train.len(), 3);
    for pair in train {
        assert!(pair["chosen"].as_str().unwrap().starts_with(" came early"));
        assert!(pair["prompt"].as_str().unwrap().starts_with("Night"));
    }
    let home = &terminal.home;
    let scores = replay(home, &["scores", "old.pairs.jsonl"]).expect(0);
    let row = scores.text().lines().nth(1).unwrap();
    assert!(
        row.starts_with("old.jsonl") && row.ends_with("3       0     1"),
        "{row}"
    );
    let json = replay(
        home,
        &["scores", "old.pairs.jsonl", "--by", "model", "--json"],
    );
    let json: Value = serde_json::from_slice(&json.expect(0).stdout).unwrap();
    assert_eq!(json["contestants"][0]["name"], "old.jsonl");
    assert_eq!((&json["games"], &json["left_out"]), (&4.into(), &0.into()));
    home.file("notes.txt", "notes\n");
    let why = home
        .illumine(&["replay", "scores", "notes.txt"])
        .run()
        .sentence(2);
    assert!(why.contains("is not a pair"), "{why}");
}

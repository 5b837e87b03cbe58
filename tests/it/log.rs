//! Tests that the log file of `--log FILE` contains what a bug report needs, and none of the
//! writer's words.

use crate::support::Home;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A phrase that a model would not write by itself.
const PHRASE: &str = "the quinquireme of Nineveh";

fn logged(home: &Home, args: &[&str], input: &str) -> String {
    let run = home.illumine(args);
    run.input(input).run().expect(0);
    let path = home.path().join("log.txt");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::read_to_string(path).unwrap()
}

#[test]
fn a_log_tells_what_happened_and_quotes_nobody() {
    let home = Home::new();
    let lines = format!(
        "/set max_tokens 4\n{PHRASE}, \u{1b}[31m{PHRASE}\n/memory {PHRASE}\n/ban {PHRASE}\n\
         /find {PHRASE}\n/retry\n"
    );
    let log = logged(&home, &["repl", "s", "--log", "log.txt"], &lines);
    for said in [
        "version=",
        "command=\"repl\"",
        "features=",
        "kernels=",
        "model loaded",
        "sha256=",
        "backend=",
        "kind=\"text\"",
        "prompt_tokens=",
        "decode_ms=",
        "ended",
    ] {
        assert!(log.contains(said), "{said} is not in\n{log}");
    }
    assert!(
        !log.contains("quinquireme") && !log.contains("Nineveh"),
        "{log}"
    );
}

#[test]
fn words_are_logged_where_they_are_asked_for_and_obey_no_terminal() {
    let home = Home::new();
    let lines = format!("/set max_tokens 4\n{PHRASE} \u{1b}]0;x\u{7}\n");
    let args = ["repl", "s", "--log", "log.txt", "--log-words"];
    let log = logged(&home, &args, &lines);
    assert!(log.contains(PHRASE), "{log}");
    let shown = |c: char| c == '\n' || !c.is_control();
    assert!(log.chars().all(shown), "{log:?}");
}

/// Logs three commands to one file. One of the commands fails with an error that quotes what was
/// typed.
#[test]
fn a_log_goes_with_every_command_and_is_gone_on_with() {
    let home = Home::new();
    home.illumine(&["write", "--log", "log.txt", "-n", "2", PHRASE])
        .run()
        .expect(0);
    home.illumine(&["sessions", "show", PHRASE, "--log", "log.txt"])
        .run()
        .expect(5);
    home.illumine(&["paths", "--log", "log.txt"])
        .run()
        .expect(0);
    let log = fs::read_to_string(home.path().join("log.txt")).unwrap();
    for command in ["write", "sessions", "paths"] {
        assert!(log.contains(&format!("command={command:?}")), "{log}");
    }
    assert!(log.contains("ERROR") && log.contains("code=5"), "{log}");
    assert!(!log.contains("Nineveh"), "{log}");
    let refused = home.illumine(&["paths", "--log", "/nowhere/log.txt"]).run();
    assert!(refused.expect(2).stderr.contains("Cannot write the log"));
}

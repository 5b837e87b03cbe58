//! Tests that every command fails if its output cannot be written, unless the program that reads
//! the output has closed the pipe.

use crate::support::{Home, home::Output};
use std::fs::File;

/// Runs the program with a standard output that behaves like a file on a full disk.
fn on_a_full_disk(home: &Home, args: &[&str], input: &str) -> Output {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let input = File::open(home.file("input.txt", input)).unwrap();
    home.illumine(args).with(|command| {
        command.stdin(input).stdout(full);
    })
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_by_every_command() {
    let home = Home::new();
    let run = home.illumine(&["repl", "s", "--seed", "5", "-n", "2"]);
    run.input("The harbour froze.\n").run().expect(0);
    let commands: &[&[&str]] = &[
        &["--help"],
        &["--version"],
        &["sessions", "--help"],
        &["paths"],
        &["completions", "bash"],
        &["models", "list"],
        &["models", "list", "--json"],
        &["models", "info"],
        &["prompts", "list"],
        &["sessions", "list"],
        &["sessions", "list", "--json"],
        &["sessions", "show", "s"],
        &["sessions", "show", "s", "--all"],
        &["sessions", "grep", "harbour"],
        &["sessions", "check"],
        &["sessions", "restore", "s"],
        &["sessions", "conflicts", "s"],
        &["sessions", "export", "s", "txt", "-o", "-"],
        &["write", "The harbour", "--seed", "5", "-n", "2"],
        &["write", "The harbour", "--seed", "5", "-n", "2", "--json"],
    ];
    for args in commands {
        let said = on_a_full_disk(&home, args, "").sentence(1);
        assert!(
            said.contains("Cannot write to standard output"),
            "{args:?}: {said}"
        );
    }
    for (session, line) in [("t", "The harbour froze.\n"), ("s", "/export txt -\n")] {
        let args = ["repl", session, "--seed", "5", "-n", "2"];
        let output = on_a_full_disk(&home, &args, line).expect(1);
        let said = output.stderr.lines().last().unwrap_or_default();
        assert!(said.contains("Cannot write to standard output"), "{said}");
    }
    // The story written before the failure is saved.
    assert!(!home.recovered("t").story.nodes().is_empty());
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let home = Home::new();
    for args in [
        &["--help"][..],
        &["models", "list"],
        &["completions", "zsh"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = home.illumine(args).with(|command| {
            command.stdout(writer);
        });
        assert_eq!(output.expect(0).stderr, "", "{args:?}");
    }
}

#[test]
fn an_export_in_a_pipe_goes_to_standard_output() {
    let home = Home::new();
    let tale = home.file("tale.txt", "The harbour froze.");
    let lines = format!("/import {}\n/export txt -\n", tale.display());
    let run = home.illumine(&["repl", "s"]).input(lines);
    let output = run.run().expect(0);
    assert!(
        output.text().ends_with("The harbour froze.\n"),
        "{output:?}"
    );
}

#[test]
fn an_argument_that_is_not_utf_8_is_one_sentence() {
    use std::os::unix::ffi::OsStrExt;
    let home = Home::new();
    for args in [
        &["write", "--offline"][..],
        &["repl"],
        &["sessions", "show"],
    ] {
        let output = home.illumine(args).with(|command| {
            command.arg(std::ffi::OsStr::from_bytes(b"caf\xe9"));
        });
        assert!(output.sentence(2).contains("not UTF-8"), "{args:?}");
    }
}

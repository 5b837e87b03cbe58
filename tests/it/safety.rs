//! Tests the ways to recover a session: from conflicting copies, from backups, and from a damaged
//! journal.

use crate::support::Home;
use std::fs;

/// Creates a session from an imported text.
fn begun(home: &Home, session: &str, text: &str) {
    let tale = home.file("tale.txt", text);
    let tale = tale.to_str().unwrap();
    let run = home.illumine(&["sessions", "import", tale, session]);
    run.run().expect(0);
}

fn told(home: &Home, args: &[&str], code: i32) -> String {
    let run = home.illumine(&[&["sessions"], args].concat());
    run.run().expect(code).text().to_string()
}

#[test]
fn copies_that_a_sync_program_left_are_listed_compared_and_opened() {
    let home = Home::new();
    begun(&home, "the tide", "It rose.");
    begun(&home, "other", "It fell.");
    let folder = home.sessions().join("the tide");
    let copy = folder.join("journal.sync-conflict-20261101-120000-ABCDEFG.jsonl");
    fs::copy(home.journal("other"), &copy).unwrap();
    for args in [&["list"][..], &["check", "the tide"]] {
        let said = told(&home, args, 0);
        assert!(said.contains("sessions conflicts \"the tide\""), "{said}");
    }
    let said = told(&home, &["conflicts", "the tide"], 0);
    assert!(
        said.contains("sync-conflict") && said.contains("It rose."),
        "{said}"
    );
    assert!(said.contains("It fell."), "{said}");
    told(&home, &["conflicts", "the tide", "1"], 0);
    assert_eq!(told(&home, &["show", "the tide-copy"], 0), "It fell.\n");
    assert_eq!(told(&home, &["show", "the tide"], 0), "It rose.\n");
    let run = home.illumine(&["sessions", "conflicts", "the tide", "2"]);
    assert!(run.run().sentence(5).contains("no conflicting copy 2"));
}

#[test]
fn what_is_sound_in_a_damaged_journal_becomes_a_session() {
    let home = Home::new();
    begun(&home, "s", "It rose.");
    told(&home, &["check", "s", "--salvage"], 0);
    assert!(
        !home.sessions().join("s-salvaged").exists(),
        "there was no damage"
    );
    let sound = fs::read_to_string(home.journal("s")).unwrap();
    let (first, rest) = sound.split_once('\n').unwrap();
    let damaged = format!("{first}\n{{\"v\":1,\"kind\":\"nope,\"text\":\"two words\"}}\n{rest}");
    fs::write(home.journal("s"), &damaged).unwrap();
    let said = told(&home, &["check", "s"], 5);
    assert!(said.contains("sessions check --salvage s"), "{said}");
    let said = told(&home, &["check", "--salvage", "s"], 0);
    assert!(
        said.contains("line 2: left out (it is damaged), 2 words: two words"),
        "{said}"
    );
    assert_eq!(told(&home, &["show", "s-salvaged"], 0), "It rose.\n");
    assert_eq!(fs::read_to_string(home.journal("s")).unwrap(), damaged);
    fs::write(home.journal("s"), "").unwrap();
    assert!(told(&home, &["check", "s"], 5).contains("journal is empty"));
}

#[test]
fn a_backup_is_restored_as_a_session() {
    let home = Home::new();
    begun(&home, "s", "It rose.");
    assert!(told(&home, &["restore", "s"], 0).contains("no backups yet"));
    let folder = home.sessions().join("s/backups");
    fs::create_dir(&folder).unwrap();
    fs::copy(home.journal("s"), folder.join("2026-11-01.jsonl")).unwrap();
    fs::write(home.journal("s"), "").unwrap();
    assert!(told(&home, &["restore", "s"], 0).starts_with("2026-11-01 "));
    told(&home, &["restore", "s", "2026-11-01", "back"], 0);
    assert_eq!(told(&home, &["show", "back"], 0), "It rose.\n");
    let run = home.illumine(&["sessions", "restore", "s", "2026-11-02"]);
    assert!(
        run.run()
            .sentence(5)
            .contains("no backup of s from 2026-11-02")
    );
}

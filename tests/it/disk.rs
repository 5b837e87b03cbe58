//! Tests sessions on disk: disk errors, damaged files and interference by other programs.

use crate::support::{Home, home::plain};
use std::fs;
use story::{Author, Status, Story};

/// Creates a session with one line by the writer and two tokens by the model.
fn begun(home: &Home, session: &str) {
    let run = home.illumine(&["repl", session, "--seed", "5", "-n", "2"]);
    run.input("The lamp burned.\n").run().expect(0);
}

fn typed(story: &Story) -> Vec<&str> {
    let people = story
        .nodes()
        .iter()
        .filter(|node| node.author == Author::User);
    people.map(|node| node.text.trim()).collect()
}

#[test]
fn a_session_has_one_writer() {
    let home = Home::new();
    let mut first = home
        .illumine(&["repl", "s", "--seed", "5", "-n", "2"])
        .start();
    first.say("The lamp burned.");
    first.printed(1);
    let second = home.illumine(&["repl", "s"]).input("Mine.\n").run();
    assert!(second.sentence(5).contains("open in another illumine"));
    first.say("And the sea?");
    first.end().expect(0);
    assert_eq!(
        typed(&home.recovered("s").story),
        ["The lamp burned.", "And the sea?"]
    );
}

#[test]
fn a_full_disk_loses_nothing_that_was_kept() {
    let home = Home::new();
    let lines: String = (1..=6)
        .map(|line| format!("The {line}th lamp.\n"))
        .collect();
    let run = home.illumine(&["repl", "s", "--seed", "5", "-n", "4"]);
    let output = run.file_limit(5000).input(lines).run().expect(5);
    plain(&output.stderr);
    assert!(
        output.stderr.contains("The disk is full"),
        "{}",
        output.stderr
    );
    let found = home.recovered("s");
    assert_eq!((found.torn, found.read_only_reason), (0, None));
    // The printed text begins with the saved text, passage by passage.
    let mut printed = output.text();
    let passages = found
        .story
        .nodes()
        .iter()
        .filter(|node| node.author == Author::Model);
    let passages: Vec<_> = passages.collect();
    assert!(!passages.is_empty());
    for node in passages {
        let rest = printed.strip_prefix(node.text.as_str());
        printed = rest.unwrap_or_else(|| panic!("{:?} is not in {printed:?}", node.text));
        if node.status == Status::Length {
            printed = printed.trim_start_matches('\n');
        }
    }
    home.illumine(&["repl", "s"]).run().expect(0);
}

#[test]
fn an_import_that_does_not_fit_leaves_no_session() {
    let home = Home::new();
    let text = home.file("long.txt", "Fog came over the quay.\n\n".repeat(900));
    let card = format!(
        r#"{{"name": "Ida", "description": "{}", "first_mes": "Hm."}}"#,
        "Rows. ".repeat(3000)
    );
    let card = home.file("ida.json", card);
    for file in [text, card] {
        let run = home.illumine(&["sessions", "import", &file.to_string_lossy(), "fog"]);
        let said = run.file_limit(4000).run().sentence(5);
        assert!(said.contains("nothing was imported"), "{said}");
        assert!(!said.contains("/save"), "{said}");
        assert!(!home.sessions().join("fog").exists());
    }
}

#[test]
fn a_journal_from_elsewhere_becomes_a_session_with_its_words() {
    let home = Home::new();
    begun(&home, "quay");
    let journal = fs::read(home.journal("quay")).unwrap();
    let copy = home.file("journal (copy).jsonl", &journal);
    let import = |file: &std::path::Path, name: &str| {
        let run = home.illumine(&["sessions", "import", &file.to_string_lossy(), name]);
        run.run()
    };
    let said = import(&copy, "rescued").expect(0);
    assert!(said.text().contains("Created a session from the journal"));
    assert_eq!(
        typed(&home.recovered("rescued").story),
        ["The lamp burned."]
    );
    let glued = home.file("glued.jsonl", [b"<<<<<<< HEAD\n", &journal[..]].concat());
    assert!(import(&glued, "glued").sentence(2).contains("--salvage"));
    assert!(!home.sessions().join("glued").exists());
}

#[test]
fn when_the_disk_has_room_again_everything_is_kept() {
    let home = Home::new();
    let mut live = home
        .illumine(&["repl", "s", "--seed", "5", "-n", "4"])
        .file_limit(2500)
        .start();
    live.say("The first lamp.");
    live.say("The second lamp.");
    live.complained("The disk is full");
    live.lift_file_limit();
    live.say("/save");
    live.say("The third lamp.");
    let output = live.end().expect(5);
    plain(&output.stderr);
    assert!(output.text().contains("Saved as s in "), "{output:?}");
    let found = home.recovered("s");
    assert_eq!(
        typed(&found.story),
        ["The first lamp.", "The second lamp.", "The third lamp."]
    );
    let path: Vec<&str> = found
        .story
        .path()
        .iter()
        .map(|node| node.text.trim())
        .collect();
    assert!(path.contains(&"The second lamp."), "{path:?}");
}

#[test]
fn a_session_that_went_is_written_anew_once_the_disk_has_room() {
    let home = Home::new();
    let lines: String = (0..8).map(|n| format!("The {n}th wave.\n")).collect();
    let args = ["repl", "s", "--seed", "5", "-n", "4"];
    home.illumine(&args).input(lines).run().expect(0);
    let before = home.recovered("s").story;
    assert!(fs::metadata(home.journal("s")).unwrap().len() > 3000);
    let mut live = home.illumine(&args).file_limit(3000).start();
    live.complained("Opened s");
    fs::remove_dir_all(home.sessions().join("s")).unwrap();
    live.say("/save");
    live.complained("cannot be written to a new file (the disk is full)");
    assert!(!home.journal("s").exists());
    live.lift_file_limit();
    live.say("/save");
    let output = live.end().expect(5);
    plain(&output.stderr);
    assert!(output.text().contains("Saved as s in "), "{output:?}");
    assert_eq!(typed(&home.recovered("s").story), typed(&before));
}

#[test]
fn a_sessions_folder_that_is_none() {
    let home = Home::new();
    let file = home.file("sessions", "not a folder");
    for sessions in [file.clone(), file.join("deeper")] {
        let sessions = sessions.to_str().unwrap();
        let run = home.illumine(&["repl", "s", "--sessions", sessions]);
        let said = run.input("The lamp.\n").run().sentence(5);
        assert!(
            said.contains(sessions) && said.contains("--sessions"),
            "{said}"
        );
        let run = home.illumine(&["repl", "--sessions", sessions, "--seed", "5", "-n", "2"]);
        let output = run.input("The lamp.\n").run().expect(5);
        plain(&output.stderr);
        assert!(output.stderr.contains("--sessions"), "{}", output.stderr);
    }
    assert_eq!(fs::read(&file).unwrap(), b"not a folder");
}

#[test]
fn a_private_session_leaves_nothing() {
    let home = Home::new();
    let run = home.illumine(&["repl", "secret", "--private", "--seed", "5", "-n", "2"]);
    run.input("The lamp.\n/save\n").run().expect(2);
    assert!(!home.sessions().exists());
}

#[test]
fn names_that_are_none() {
    let home = Home::new();
    for name in ["../x", "a/b", ".hidden", "\u{1b}[2J", " "] {
        let said = home.illumine(&["repl", name]).run().sentence(5);
        assert!(said.contains("is not a valid session name"), "{said}");
    }
    let lines = "/new ../x\n/open ../x\n/save ../x\n";
    let output = home.illumine(&["repl"]).input(lines).run().expect(5);
    plain(&output.stderr);
    assert_eq!(
        output.stderr.matches("is not a valid session name").count(),
        3,
        "{}",
        output.stderr
    );
    assert!(!home.path().join(".local/share/illumine/x").exists());
}

#[test]
fn a_torn_tail_is_set_aside() {
    let home = Home::new();
    begun(&home, "s");
    let whole = fs::read(home.journal("s")).unwrap();
    let torn = br#"{"v":1,"kind":"text","node":1,"te"#;
    fs::write(home.journal("s"), [&whole[..], torn].concat()).unwrap();
    let output = home
        .illumine(&["repl", "s", "--seed", "5", "-n", "2"])
        .input("More.\n")
        .run()
        .expect(0);
    assert!(
        output
            .stderr
            .contains("moved an incomplete record of 33 bytes, left by a crash"),
        "{}",
        output.stderr
    );
    assert_eq!(
        fs::read(home.sessions().join("s/torn-1.txt")).unwrap(),
        torn
    );
    assert_eq!(
        typed(&home.recovered("s").story),
        ["The lamp burned.", "More."]
    );
}

/// Opens a session with a journal that the program does not fully understand, and checks that the
/// journal is unchanged afterwards. Returns the text on standard error.
#[track_caller]
fn read_only(home: &Home, journal: &[u8]) -> String {
    fs::write(home.journal("s"), journal).unwrap();
    let lines = "More.\n/undo\n/new t\nA new tale.\n";
    let output = home
        .illumine(&["repl", "s", "--seed", "5", "-n", "2"])
        .input(lines)
        .run()
        .expect(5);
    plain(&output.stderr);
    assert_eq!(fs::read(home.journal("s")).unwrap(), journal);
    // Another session can be created from here.
    assert_eq!(typed(&home.recovered("t").story), ["A new tale."]);
    fs::remove_dir_all(home.sessions().join("t")).unwrap();
    output.stderr
}

#[test]
fn a_journal_that_is_not_understood_is_only_read() {
    let home = Home::new();
    begun(&home, "s");
    let whole = fs::read(home.journal("s")).unwrap();
    let mut lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let garbage = b"\x00\xff\x1b[2J garbage\n";
    lines.insert(3, garbage);
    let said = read_only(&home, &lines.concat());
    assert!(
        said.contains("Opened s read-only because line 4 of its journal"),
        "{said}"
    );
    let later = b"{\"v\":7,\"kind\":\"head\",\"to\":{\"node\":0}}\n";
    let said = read_only(&home, &[&whole[..], later].concat());
    assert!(said.contains("a newer version, 7"), "{said}");
    let kind = b"{\"v\":1,\"kind\":\"hologram\",\"node\":9}\n";
    let said = read_only(&home, &[&whole[..], kind].concat());
    assert!(
        said.contains("its kind comes from a newer version"),
        "{said}"
    );
}

//! Tests `illumine repl` with piped input: what each line does, and what the journal contains
//! afterwards.

use crate::support::{Home, Output, home::plain};
use serde_json::Value;
use std::fs;
use story::{Author, Mode, Node, Status, Story};

fn repl(home: &Home, lines: &str) -> Output {
    let output = home
        .illumine(&["repl", "s", "--seed", "5", "-n", "3"])
        .input(lines)
        .run();
    plain(&output.stderr);
    output
}

/// The texts that the writer typed, without the spaces that may join them to the story.
fn typed(story: &Story) -> Vec<&str> {
    let people = story
        .nodes()
        .iter()
        .filter(|node| node.provenance.is_none());
    people.map(|node| node.text.trim()).collect()
}

fn seed(node: &Node) -> u64 {
    node.provenance.as_ref().unwrap().seed
}

#[test]
fn lines_go_in_and_the_story_comes_out() {
    let home = Home::new();
    let output = repl(&home, "The harbour was quiet.\nA bell rang.\n").expect(0);
    assert_eq!(output.stderr, "");
    let story = home.recovered("s").story;
    assert_eq!(typed(&story), ["The harbour was quiet.", "A bell rang."]);
    let passages = story
        .nodes()
        .iter()
        .filter(|node| node.provenance.is_some());
    let line = |node: &Node| format!("{}\n", node.text.strip_suffix('\n').unwrap_or(&node.text));
    let printed: String = passages.map(line).collect();
    assert_eq!(output.text(), printed);
    for node in story
        .nodes()
        .iter()
        .filter(|node| node.author == Author::Model)
    {
        let how = node.provenance.as_ref().unwrap();
        assert_eq!((node.status, node.ids.len()), (Status::Length, 3));
        assert_eq!(
            (how.maker.model.as_str(), how.sampling.max_tokens),
            ("smollm2-135m", 3)
        );
        assert_eq!(how.maker.model_sha256.len(), 64);
    }
}

#[test]
fn a_retry_stands_beside_what_it_retries() {
    let home = Home::new();
    let lines = "The harbour was quiet.\n/retry\n/retry seed=7\n/swipe 1\n/next\n/prev\n/swipe 9\n";
    let output = repl(&home, lines).expect(2);
    let said: Vec<&str> = output
        .text()
        .lines()
        .filter(|line| line.starts_with("Version"))
        .collect();
    assert_eq!(said, ["Version 1 of 3", "Version 2 of 3", "Version 1 of 3"]);
    assert_eq!(output.stderr, "This passage has 3 versions\n");
    let story = home.recovered("s").story;
    let siblings = story.versions(1);
    assert_eq!(siblings, [1, 2, 3]);
    let seeds: Vec<u64> = siblings
        .iter()
        .map(|id| seed(story.node(*id).unwrap()))
        .collect();
    assert!(seeds[0] != seeds[1] && seeds[2] == 7, "{seeds:?}");
    assert_eq!(story.head(), Some(1));
}

#[test]
fn undo_and_redo_move_and_erase_nothing() {
    let home = Home::new();
    let lines = "One.\nTwo.\n/undo\n/undo\n/redo\n/continue 1\n/redo\n";
    let output = repl(&home, lines).expect(2);
    assert_eq!(output.stderr, "There is nothing to redo\n");
    let story = home.recovered("s").story;
    // Both lines and their passages, and the passage written after going back to the first.
    assert_eq!(story.nodes().len(), 5);
    assert_eq!(typed(&story), ["One.", "Two."]);
    let path: Vec<u64> = story.path().iter().map(|node| node.id).collect();
    assert_eq!(path, [0, 1, 4]);
    assert_eq!(story.nodes()[4].ids.len(), 1);
}

#[test]
fn settings_are_shown_changed_and_kept() {
    let home = Home::new();
    let lines = "/set temperature 0.25\n/set temp\n/mode chat\n/mode\n/system Be brief.\n/system\n/set\n/model\n";
    let output = repl(&home, lines).expect(0);
    for part in [
        "temperature is 0.25\n",
        "temperature 0.25\n",
        "The mode is chat: each line is a turn",
        "The mode is chat\n",
        "Be brief.\n",
        "  top_k 0 ",
        "smollm2-135m (llama, 8192 tokens of context, cpu",
    ] {
        assert!(
            output.text().contains(part),
            "{part:?} is not in {}",
            output.text()
        );
    }
    let settings = home.recovered("s").settings.unwrap();
    assert_eq!(
        (settings.mode, settings.system.as_str()),
        (Mode::Chat, "Be brief.")
    );
    assert_eq!(
        (settings.sampling.temperature, settings.sampling.max_tokens),
        (0.25, 3)
    );
    // The settings apply when the session is reopened, unless the command line overrides them.
    let reopened = home
        .illumine(&["repl", "s", "--top-k", "9"])
        .input("/set temperature\n/set top_k\n/mode\n");
    let output = reopened.run().expect(0);
    assert!(
        output.text().starts_with("temperature 0.25\n"),
        "{}",
        output.text()
    );
    assert!(output.text().contains("top_k 9\n") && output.text().contains("The mode is chat\n"));
}

#[test]
fn a_backslash_at_the_end_is_a_line_end_in_ones_own_text() {
    let home = Home::new();
    let lines = "\u{feff}One  \\\r\ntwo\\\r\n\\\r\nfour.\r\n/memory a\\\r\nb\r\n/memory\r\nLast\\";
    let output = repl(&home, lines).expect(0);
    assert_eq!(
        typed(&home.recovered("s").story),
        ["One\ntwo\n\nfour.", "Last"]
    );
    assert!(output.text().contains("a\nb\n"), "{}", output.text());
}

#[test]
fn a_chat_has_turns() {
    let home = Home::new();
    let output = repl(&home, "/mode chat\nWhat is a lamp?\nAnd an oar?\n").expect(0);
    assert_eq!(output.stderr, "");
    let story = home.recovered("s").story;
    assert_eq!(typed(&story), ["What is a lamp?", "And an oar?"]);
    assert!(story.nodes().iter().all(|node| node.turn));
    let shown = home.illumine(&["sessions", "show", "s"]).run().expect(0);
    let lines: Vec<&str> = shown.text().lines().collect();
    assert!(
        lines.contains(&"What is a lamp?") && lines.contains(&"And an oar?"),
        "{lines:?}"
    );
}

#[test]
fn sessions_are_named_listed_left_and_opened() {
    let home = Home::new();
    let lines = "One.\n/save lantern\n/new other\nTwo.\n/sessions\n/open lantern\nThree.\n/new\nFour.\n/open nowhere\n";
    let output = repl(&home, lines).expect(5);
    assert!(
        output.text().contains("Saved as lantern in "),
        "{}",
        output.text()
    );
    assert!(output.text().contains("* other  (") && output.text().contains("  lantern  ("));
    assert!(
        output.stderr.contains("There is no session \"nowhere\""),
        "{}",
        output.stderr
    );
    assert!(!home.sessions().join("s").exists());
    assert_eq!(typed(&home.recovered("lantern").story), ["One.", "Three."]);
    assert_eq!(typed(&home.recovered("other").story), ["Two."]);
    assert_eq!(typed(&home.recovered("story-1").story), ["Four."]);
    let list = home
        .illumine(&["sessions", "list", "--json"])
        .run()
        .expect(0);
    let list: Vec<Value> = serde_json::from_str(list.text()).unwrap();
    let names: Vec<&str> = list
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 3);
    assert!(
        ["lantern", "other", "story-1"]
            .iter()
            .all(|name| names.contains(name))
    );
}

#[test]
fn a_slip_is_answered_and_never_written() {
    let home = Home::new();
    let lines = "/rtery\n/xyzzy\n/undo\n/continue\n/open\n/set minp_p 1\n//slash begins.\n/quit\nnever read\n";
    let output = repl(&home, lines).expect(2);
    let said: Vec<&str> = output.stderr.lines().collect();
    assert_eq!(said.len(), 6, "{said:?}");
    assert_eq!(said[0], "Unknown command /rtery; did you mean /retry?");
    assert!(said[1].starts_with("Unknown command /xyzzy; /help lists all commands"));
    assert_eq!(
        said[2..4],
        [
            "There is nothing to undo",
            "The story is empty; write its first line"
        ]
    );
    assert_eq!(typed(&home.recovered("s").story), ["/slash begins."]);
}

#[test]
fn help_is_the_table_of_commands() {
    let home = Home::new();
    let output = repl(&home, "/help\n/help retry\n").expect(0);
    for spec in story::command::COMMANDS {
        assert!(
            output.text().contains(&format!("  /{} ", spec.name)),
            "{}",
            spec.name
        );
    }
    assert!(
        output
            .text()
            .contains("/retry, /regen, /regenerate, /r [seed=N]\n")
    );
}

#[test]
fn a_model_that_cannot_be_had_changes_nothing() {
    let home = Home::new();
    let output = repl(
        &home,
        "/model no/such.gguf\n/model frankenstein\nThe lamp.\n/model\n",
    )
    .expect(3);
    assert!(
        output.stderr.contains("no/such.gguf is not a file"),
        "{}",
        output.stderr
    );
    assert!(
        output.text().contains("smollm2-135m (llama"),
        "{}",
        output.text()
    );
    let found = home.recovered("s");
    assert_eq!(found.settings.unwrap().model, "");
    assert_eq!(found.story.nodes()[1].ids.len(), 3);
}

#[test]
fn every_line_of_the_journal_is_a_record_of_this_version() {
    let home = Home::new();
    repl(&home, "One.\n/retry\n/undo\n").expect(0);
    let journal = fs::read_to_string(home.journal("s")).unwrap();
    let records: Vec<Value> = journal
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(records.iter().all(|record| record["v"] == 1));
    assert_eq!(records[0]["kind"], "session");
    let nodes = records.iter().filter(|record| record["kind"] == "node");
    assert_eq!(
        nodes
            .map(|node| node["id"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [0, 1, 2]
    );
    let last = records.last().unwrap();
    assert_eq!(
        (&last["kind"], &last["steps"]),
        (&Value::from("undo"), &Value::from(1))
    );
}

#[test]
fn the_same_seed_writes_the_same_session() {
    let write = || {
        let home = Home::new();
        let run = home.illumine(&["repl", "-n", "3", "--seed", "11"]);
        run.input("One.\n\n/retry\n")
            .run()
            .expect(0)
            .text()
            .to_string()
    };
    assert_eq!(write(), write());
}

#[test]
fn without_a_session_or_a_line_nothing_is_left_on_disk() {
    let home = Home::new();
    let output = home.illumine(&[]).input("").run().expect(0);
    assert_eq!((output.text(), output.stderr.as_str()), ("", ""));
    assert!(!home.sessions().exists());
}

#[test]
fn a_reader_that_goes_away_loses_nothing() {
    let home = Home::new();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (stdin, mut lines) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut lines, b"The lamp burned.\n").unwrap();
    let leave = std::thread::spawn(move || {
        std::io::Read::read_exact(&mut reader, &mut [0; 5]).unwrap();
    });
    let output = home
        .illumine(&["repl", "s", "--seed", "5", "-n", "400"])
        .with(|command| {
            command.stdin(stdin).stdout(writer);
        });
    leave.join().unwrap();
    assert_eq!(output.expect(0).stderr, "");
    let found = home.recovered("s");
    let node = found.story.nodes().last().unwrap();
    assert_eq!(node.status, Status::Stopped);
    assert!(node.text.len() >= 5);
    drop(lines);
}

#[test]
fn nobody_reading_standard_error_is_no_failure() {
    let home = Home::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = home
        .illumine(&["write", "-m", "frankenstein", "x"])
        .with(|command| {
            command.stderr(writer);
        });
    assert_eq!(output.code(), Some(3));
}

//! Tests the editor in a real terminal, with the real model: checks the screen and the files on
//! disk.
//!
//! The screens are reproducible, because seeds are fixed and the kernels give the same results on
//! every processor. The only things left out of the snapshots are speeds and the names of kernels.

use crate::support::Home;
use crate::support::tmux::{Terminal, passage};
use insta::assert_snapshot;

/// The names of the kernel families. Results do not depend on the kernel family.
const KERNELS: [&str; 5] = ["amx", "avx512vnni", "avxvnni", "avx2", "portable"];

/// Removes the parts of a screen that differ between runs or machines: speeds, the names of kernel
/// families, and the blank space around them.
fn steady(screen: &str) -> String {
    let word = |word: &str| match word.parse::<f64>() {
        Ok(_) if word.contains('.') => "N".to_string(),
        _ if KERNELS.contains(&word) => "KERNELS".to_string(),
        _ => word.to_string(),
    };
    // The gaps in the status line depend on the length of its parts.
    let line = |line: &str| match line.contains("tok/s") {
        true => format!(
            "   {}",
            line.split_whitespace()
                .map(word)
                .collect::<Vec<String>>()
                .join(" ")
        ),
        false => line.split(' ').map(word).collect::<Vec<String>>().join(" "),
    };
    let lines: Vec<String> = screen
        .lines()
        .map(|text| line(text).trim_end().to_string())
        .collect();
    lines.join("\n").trim_end().to_string()
}

/// Waits until the model is loaded and not generating.
fn ready(terminal: &Terminal) {
    terminal.wait_for("smollm2-135m · cpu");
}

fn at_rest(screen: &str) -> bool {
    screen.contains("tok/s ·") && screen.contains("Enter continues")
}

/// The text of the model's first passage, put together from the records of the journal.
fn model_text(terminal: &Terminal) -> String {
    passage(&terminal.journal("story-1"), 1)
}

#[test]
fn first_run_to_first_words() {
    let terminal = Terminal::start(80, 20, &["--seed", "1", "-n", "40", "--temperature", "0"]);
    ready(&terminal);
    assert_snapshot!("first_screen", steady(&terminal.screen()));
    terminal.text("The lighthouse keeper had not spoken in three days.");
    terminal.keys(&["Enter"]);
    let screen = terminal.wait("a passage", at_rest);
    assert_snapshot!("first_passage", steady(&screen));
    let text = model_text(&terminal);
    assert!(text.split_whitespace().count() > 10, "{text}");
    terminal.keys(&["C-d"]);
    let screen = terminal.wait_for("icanon");
    assert!(
        screen.contains("[ended 0]") && !screen.contains("-icanon"),
        "{screen}"
    );
}

#[test]
fn a_story_of_wide_characters_and_emoji_is_wrapped() {
    let terminal = Terminal::start(40, 16, &["--seed", "1", "-n", "8", "--temperature", "0"]);
    terminal.wait_for("smollm2-135m");
    terminal.text("灯台守は三日間、誰とも話さなかった。霧が港を覆い、鐘だけが鳴っていた。👩‍🚀 🏴‍☠️ e\u{301}toile 👍🏽 end");
    terminal.keys(&["Enter"]);
    let screen = terminal.wait("a passage", |screen| {
        screen.contains("story-1") && screen.contains("Enter continues")
    });
    for word in ["灯台守は", "鳴っていた。", "end"] {
        assert!(screen.contains(word), "{word}:\n{screen}");
    }
    assert_snapshot!("wide_characters", steady(&screen));
}

#[test]
fn resizing_while_it_writes_loses_nothing() {
    let terminal = Terminal::start(80, 20, &["--seed", "3", "-n", "300"]);
    ready(&terminal);
    terminal.text("The harbour was quiet.");
    terminal.keys(&["Enter"]);
    terminal.wait_for("tok/s");
    for (columns, rows) in [(40, 10), (20, 6), (120, 30), (10, 3), (60, 18)] {
        terminal.resize(columns, rows);
        terminal.wait("a screen of that height", |screen| {
            screen.lines().count() == rows as usize
        });
    }
    terminal.keys(&["Escape"]);
    let screen = terminal.wait("it to stop", at_rest);
    let text = model_text(&terminal);
    let last: Vec<&str> = text.split_whitespace().collect();
    let last = last[last.len().saturating_sub(2)..].join(" ");
    let flowing = screen.split_whitespace().collect::<Vec<&str>>().join(" ");
    assert!(
        flowing.contains(&last),
        "{last:?} is not on the screen:\n{screen}"
    );
}

#[test]
fn escape_stops_the_reading_of_a_long_prompt() {
    let terminal = Terminal::start(80, 20, &["--seed", "1", "-n", "20"]);
    ready(&terminal);
    terminal.paste(&"The sea was grey and the ship was slow. ".repeat(600));
    terminal.keys(&["Enter"]);
    terminal.wait("evaluating", |screen| screen.contains("evaluating"));
    terminal.keys(&["Escape"]);
    let ended = |record: &serde_json::Value| record["kind"] == "end";
    let screen = terminal.wait("it to stop", |_| {
        terminal.journal("story-1").iter().any(ended)
    });
    let records = terminal.journal("story-1");
    let end = records.iter().find(|record| ended(record)).unwrap();
    assert_eq!(end["status"], "stopped", "{screen}");
    assert_eq!(passage(&records, 1), "");
}

#[test]
fn escape_keeps_what_was_written() {
    let terminal = Terminal::start(80, 20, &["--seed", "2", "-n", "2000"]);
    ready(&terminal);
    terminal.text("Once upon a time");
    terminal.keys(&["Enter"]);
    terminal.wait_for("tok/s");
    terminal.keys(&["Escape"]);
    terminal.wait("it to stop", at_rest);
    let records = terminal.journal("story-1");
    let end = records.last().expect("a record");
    assert_eq!(
        (&end["kind"], &end["status"]),
        (&"end".into(), &"stopped".into())
    );
    assert!(!passage(&records, 1).is_empty());
    // A stopped passage can be continued.
    terminal.keys(&["Enter"]);
    terminal.wait("more", |_| {
        terminal
            .journal("story-1")
            .iter()
            .any(|record| record["id"] == 2)
    });
}

#[test]
fn control_c_stops_then_clears_then_hints_then_leaves() {
    let terminal = Terminal::start(80, 20, &["--seed", "2", "-n", "2000"]);
    ready(&terminal);
    terminal.text("Once upon a time");
    terminal.keys(&["Enter"]);
    terminal.wait_for("tok/s");
    terminal.keys(&["C-c"]);
    terminal.wait("it to stop", at_rest);
    terminal.text("never mind");
    terminal.wait_for("never mind");
    terminal.keys(&["C-c"]);
    terminal.wait("an empty line", |screen| !screen.contains("never mind"));
    terminal.keys(&["C-c"]);
    terminal.wait_for("Ctrl+D");
    terminal.keys(&["C-c", "C-c"]);
    let screen = terminal.wait_for("icanon");
    assert!(
        screen.contains("[ended 130]") && !screen.contains("-icanon"),
        "{screen}"
    );
}

#[test]
fn a_hang_up_or_termination_leaves_journal_and_terminal_whole() {
    for (signal, code) in [("TERM", 143), ("HUP", 129)] {
        let terminal = Terminal::start(80, 20, &["--seed", "2", "-n", "2000"]);
        ready(&terminal);
        terminal.text("Once upon a time");
        terminal.keys(&["Enter"]);
        terminal.wait_for("tok/s");
        terminal.signal(signal);
        let screen = terminal.wait_for("icanon");
        assert!(screen.contains(&format!("[ended {code}]")), "{screen}");
        assert!(
            !screen.contains("-icanon"),
            "the terminal is left raw:\n{screen}"
        );
        let records = terminal.journal("story-1");
        let end = records.last().expect("a record");
        assert_eq!(
            (&end["kind"], &end["status"]),
            (&"end".into(), &"stopped".into())
        );
        assert!(!passage(&records, 1).is_empty());
    }
}

#[test]
fn two_hundred_pasted_lines_are_one_passage() {
    let terminal = Terminal::start(80, 24, &["--seed", "1", "-n", "4", "--temperature", "0"]);
    ready(&terminal);
    let lines: Vec<String> = (1..=200)
        .map(|n| format!("Line {n} of the ship's log."))
        .collect();
    terminal.paste(&lines.join("\n"));
    let screen = terminal.wait_for("Line 200 of the ship's log.");
    assert_snapshot!("pasted", steady(&screen));
    terminal.keys(&["Enter"]);
    terminal.wait("a passage", at_rest);
    let records = terminal.journal("story-1");
    let mine: Vec<&serde_json::Value> = records
        .iter()
        .filter(|record| record["author"] == "user")
        .collect();
    assert_eq!(mine.len(), 1);
    assert_eq!(
        mine[0]["text"].as_str().map(|text| text.lines().count()),
        Some(200)
    );
}

#[test]
fn tomorrow_the_story_is_there() {
    let home = Home::new();
    let first = Terminal::start_in(home, 80, 20, &["--seed", "1", "-n", "12"]);
    ready(&first);
    first.text("The lamp was lit.");
    first.keys(&["Enter"]);
    first.wait("a passage", at_rest);
    first.keys(&["M-r"]);
    first.wait("a second version", |screen| {
        screen.contains("2/2") && at_rest(screen)
    });
    first.keys(&["C-d"]);
    first.wait_for("[ended 0]");
    first.again(&[]);
    let screen = first.wait_for("The lamp was lit.");
    assert!(screen.contains("2/2"), "{screen}");
    ready(&first);
    first.keys(&["M-Up"]);
    first.wait_for("1/2");
}

/// Types what a writer would type while drafting, branching, editing and undoing, and checks the
/// screen after each step.
#[test]
fn a_story_is_drafted_branched_edited_and_undone() {
    let args = ["--seed", "5", "-n", "12"];
    let terminal = Terminal::start(90, 20, &args);
    ready(&terminal);
    terminal.text("The keeper lit the lamp.");
    terminal.keys(&["Enter"]);
    terminal.wait("a passage", at_rest);
    terminal.keys(&["M-n"]);
    terminal.wait_for("Enter picks");
    let whole = |screen: &str| screen.contains("tok/s ·") && !screen.contains("writing");
    let screen = terminal.wait("four candidates", whole);
    assert_snapshot!("candidates_side_by_side", steady(&screen));
    terminal.keys(&["3", "Enter"]);
    let screen = terminal.wait_for("‹3/4›");
    assert_snapshot!("candidate_picked", steady(&screen));
    // The first line changes; the text after it stays.
    terminal.text("/edit 0 The keeper lit the old lamp.");
    terminal.keys(&["Enter"]);
    let screen = terminal.wait_for("Edited; /undo reverts it");
    assert!(screen.contains("the old lamp."), "{screen}");
    terminal.keys(&["M-t"]);
    let screen = terminal.wait_for("All passages");
    assert_snapshot!("tree_of_passages", steady(&screen));
    terminal.keys(&["Escape"]);
    terminal.text("/diff 4 .");
    terminal.keys(&["Enter"]);
    let screen = terminal.wait_for(" A ");
    assert_snapshot!("branches_side_by_side", steady(&screen));
    terminal.keys(&["Escape"]);
    // ↑ takes the last passage into the input line; Esc leaves it as it was.
    terminal.keys(&["Up"]);
    terminal.wait_for("Enter saves, Esc cancels");
    terminal.keys(&["Escape"]);
    terminal.wait("the line to be empty", at_rest);
    terminal.keys(&["M-u"]);
    terminal.wait("the edit to be undone", |screen| {
        screen.contains("lit the lamp.")
    });
    terminal.keys(&["M-u"]);
    terminal.wait("the pick to be undone", |screen| screen.contains("‹1/4›"));
    terminal.keys(&["C-d"]);
    terminal.wait_for("[ended 0]");
    // After a restart everything is still there, and can be redone.
    terminal.again(&args);
    ready(&terminal);
    terminal.wait_for("‹1/4›");
    terminal.keys(&["C-y"]);
    terminal.wait_for("‹3/4›");
    terminal.keys(&["C-y"]);
    let screen = terminal.wait_for("the old lamp.");
    assert_snapshot!("drafted_again", steady(&screen));
}

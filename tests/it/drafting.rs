//! Tests drafting with the real model: candidates, alternatives, edits, bans, token healing and the
//! context.

use crate::support::{Home, Output, home::plain};
use story::{Author, Status, Story, edit};

fn repl(home: &Home, tokens: &str, lines: &str) -> Output {
    let output = home
        .illumine(&["repl", "s", "--seed", "5", "-n", tokens])
        .input(lines)
        .run();
    plain(&output.stderr);
    output
}

fn told(story: &Story) -> String {
    story.path().iter().map(|passage| passage.text).collect()
}

#[test]
fn several_continuations_are_kept_and_one_is_picked() {
    let home = Home::new();
    let output = repl(
        &home,
        "8",
        "The harbour was quiet.\n/gen 3\n/pick 2\n/undo\n",
    )
    .expect(0);
    let story = home.recovered("s").story;
    assert_eq!(story.versions(2), [2, 3, 4]);
    let texts: Vec<&str> = (2..5)
        .map(|id| story.node(id).unwrap().text.trim())
        .collect();
    assert!(texts[0] != texts[1] && texts[1] != texts[2], "{texts:?}");
    for text in texts {
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            output.text().contains(&line),
            "{line:?} is not in {}",
            output.text()
        );
    }
    assert_eq!(story.head(), Some(2), "undo takes the pick back");
    assert!(
        story
            .nodes()
            .iter()
            .filter(|node| node.author == Author::Model)
            .all(|node| node.status == Status::Length)
    );
    assert_eq!(story.running(), None);
}

#[test]
fn candidates_are_those_that_would_be_written_one_by_one() {
    let home = Home::new();
    repl(&home, "8", "The harbour was quiet.\n/gen 2\n").expect(0);
    let several = home.recovered("s").story;
    let other = Home::new();
    let seed = several.node(3).unwrap().provenance.as_ref().unwrap().seed;
    let lines = format!("The harbour was quiet.\n/continue\n/retry seed={seed}\n");
    repl(&other, "8", &lines).expect(0);
    let single = other.recovered("s").story;
    assert_eq!(single.node(1).unwrap().ids, several.node(1).unwrap().ids);
    assert_eq!(single.node(3).unwrap().ids, several.node(3).unwrap().ids);
}

#[test]
fn another_word_is_chosen_and_written_on_from() {
    let home = Home::new();
    let output = repl(&home, "8", "The harbour was quiet.\n/alts\n/pick 4\n").expect(0);
    let row = output.text().lines().find(|line| line.starts_with("  4  "));
    let word = row.unwrap().split('"').nth(1).unwrap().to_string();
    let story = home.recovered("s").story;
    let node = story.node(2).unwrap();
    assert!(
        node.text.starts_with(&word),
        "{:?} after {word:?}",
        node.text
    );
    assert_eq!(node.provenance.as_ref().unwrap().begin, node.ids[..1]);
}

#[test]
fn alternatives_at_a_word_fork_inside_its_passage() {
    let home = Home::new();
    let lines = "The harbour was quiet and the lamp was lit.\n/alts lamp\n/pick 1\n/prev\n";
    repl(&home, "4", lines).expect(0);
    let story = home.recovered("s").story;
    let fork = story.node(2).unwrap();
    assert_eq!(
        (fork.parent, fork.cut),
        (Some(0), Some("The harbour was quiet and the".len()))
    );
}

#[test]
fn an_edit_in_the_middle_keeps_what_follows_and_undo_brings_the_old_back() {
    let home = Home::new();
    let lines = "One red lamp.\nTwo.\n/edit 0 One blue lamp.\n";
    repl(&home, "3", lines).expect(0);
    let edited = home.recovered("s").story;
    let before = edited.path_to(Some(3));
    let before: String = before.iter().map(|passage| passage.text).collect();
    assert_eq!(told(&edited), before.replace("red", "blue"));
    let authors: Vec<(Author, bool)> = edited.path().iter().map(|p| (p.author, p.edited)).collect();
    assert_eq!(
        authors[..3],
        [
            (Author::User, false),
            (Author::User, true),
            (Author::User, false)
        ]
    );
    repl(&home, "3", "/undo\n").expect(0);
    assert_eq!(told(&home.recovered("s").story), before);
    let shown = home.illumine(&["sessions", "show", "s"]).run().expect(0);
    assert_eq!(shown.text().trim_end(), before.trim_end());
}

#[test]
fn deletes_and_marks_are_steps_that_survive_a_restart() {
    let home = Home::new();
    repl(&home, "3", "One.\nTwo.\n/mark here\n/delete 1\n").expect(0);
    let story = home.recovered("s").story;
    assert!(!told(&story).contains(&story.node(1).unwrap().text));
    assert!(story.is_hidden(1));
    let output = repl(&home, "3", "/undo\n/goto here\n/undo 2\n/redo 2\n/mark\n").expect(0);
    assert!(output.text().contains("here: #3"), "{output:?}");
    let story = home.recovered("s").story;
    assert!(!story.is_hidden(1) && story.head() == Some(3));
}

#[test]
fn a_banned_phrase_is_turned_away_from() {
    let home = Home::new();
    let lines = "Once upon a time there was a\n/why\n";
    repl(&home, "40", lines).expect(0);
    let first = home.recovered("s").story.node(1).unwrap().text.clone();
    let words: Vec<&str> = first.split_whitespace().collect();
    let banned = format!("{} {}", words[4], words[5]);
    let other = Home::new();
    let lines = format!("/ban {banned}\nOnce upon a time there was a\n");
    let output = repl(&other, "40", &lines).expect(0);
    assert!(
        output.stderr.contains("Avoided banned phrases"),
        "{}",
        output.stderr
    );
    let story = other.recovered("s").story;
    let text = &story.node(1).unwrap().text;
    assert!(
        !text.to_lowercase().contains(&banned.to_lowercase()),
        "{text:?} has {banned:?}"
    );
    // Up to the ban, both passages are the same.
    let same: Vec<&str> = text.split_whitespace().take(4).collect();
    assert_eq!(same, words[..4]);
}

#[test]
fn an_unfinished_word_goes_on_and_a_space_is_not_written_twice() {
    let home = Home::new();
    let output = repl(&home, "6", "They sailed around the isl\n\n/why\n").expect(0);
    // The healed word stays in the cache, so the next passage prefills one token.
    let read = output
        .text()
        .lines()
        .find(|line| line.contains("of them reused"))
        .unwrap();
    let numbers: Vec<usize> = read
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    assert_eq!(numbers[0], numbers[1] + 1, "{read}");
    let story = home.recovered("s").story;
    let node = story.node(1).unwrap();
    assert!(
        node.text.starts_with(char::is_alphabetic),
        "{:?}",
        node.text
    );
    assert_eq!(node.healed, " isl".len());
    let spaced = Home::new();
    repl(&spaced, "6", "The old man sat down and \n").expect(0);
    let text = told(&spaced.recovered("s").story);
    assert!(!text.contains("and  "), "{text:?}");
}

#[test]
fn a_word_that_is_whole_does_not_go_on() {
    // If the word were removed and sampled again, it would sometimes become "many".
    for line in ["A man", "I am", "The red", "It was the end of the war"] {
        let home = Home::new();
        let lines = format!("{line}\n{}", "/retry\n".repeat(5));
        repl(&home, "2", &lines).expect(0);
        let story = home.recovered("s").story;
        for id in 1..story.next_id() {
            let node = story.node(id).unwrap();
            assert!(
                !node.text.starts_with(char::is_alphanumeric),
                "{line}|{}",
                node.text
            );
        }
    }
}

#[test]
fn passages_are_merged_and_parted_again() {
    let home = Home::new();
    let lines = "The harbour was quiet.\n/merge\n/edit mine\n/undo\n/merge 0\n/merge 1\n/why\n";
    let output = repl(&home, "8", lines);
    let story = home.recovered("s").story;
    assert!(
        output
            .stderr
            .contains("There is no passage before this one")
    );
    let path = story.path();
    assert_eq!(edit::passage_group(&path, 0), 0..2);
    assert_eq!(path[0].author, Author::User);
    assert_eq!(
        path[1].author,
        Author::Model,
        "who wrote what is known as before"
    );
    let home = Home::new();
    let output = repl(&home, "8", "/mode chat\nWhat is a lamp?\n/merge\n");
    assert!(
        output.stderr.contains("cannot be merged"),
        "{}",
        output.stderr
    );
}

#[test]
fn a_line_is_written_for_the_writer_and_is_no_part_of_the_story() {
    for mode in ["prose", "chat"] {
        let home = Home::new();
        let lines = format!("/mode {mode}\nWhat is a lamp?\n/impersonate And what about\n/imp\n");
        let output = repl(&home, "12", &lines).expect(0);
        let told = output.text();
        let mut said = told
            .lines()
            .filter(|line| line.starts_with("And what about "));
        assert!(said.next().is_some_and(|line| line.len() > 18), "{told}");
        assert!(!told.contains("<|"), "{told}");
        let story = home.recovered("s").story;
        assert_eq!(story.nodes().len(), 2, "{mode}");
        // The story is not evaluated a second time.
        let output = repl(&home, "12", "A lamp\n/imp\nis lit.\n/why\n").expect(0);
        assert!(
            !output.text().contains(" 0 of them reused"),
            "{}",
            output.text()
        );
    }
}

#[test]
fn a_continuation_ends_where_it_is_asked_to() {
    let home = Home::new();
    let lines = "The harbour was quiet.\n/continue sent\n/continue \"the\"\n";
    repl(&home, "40", lines).expect(0);
    let story = home.recovered("s").story;
    let text = |id| story.node(id).unwrap().text.trim_end().to_string();
    assert!(
        text(1).ends_with(['.', '!', '?', '"', '”']),
        "{:?}",
        text(1)
    );
    assert!(
        text(2).ends_with(['.', '!', '?', '"', '”']),
        "{:?}",
        text(2)
    );
    assert!(text(3).ends_with("the"), "{:?}", text(3));
}

#[test]
fn the_context_is_told_part_by_part_as_it_is_sent() {
    let home = Home::new();
    let lines = "/memory The keeper is old.\n/note It rains. depth=2\n/lore add lamp: It burns oil.\nThe lamp burned.\n/context\n/lore why\n/instruct Let it go out\n/why\n";
    let output = repl(&home, "4", lines).expect(0);
    let text = output.text();
    for part in [
        "memory",
        "The keeper is old.",
        "note",
        "lore: lamp",
        "It burns oil.",
        "story #0",
        "+ lamp (notes): the story contains \"lamp\"",
        "instruction: Let it go out",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let story = home.recovered("s").story;
    assert_eq!(story.frame().memory, "The keeper is old.");
    let how = story.node(1).unwrap().provenance.clone().unwrap();
    assert_eq!(how.lore[0].book, "notes");
}

#[test]
fn a_summary_stands_beside_the_story_and_can_be_edited() {
    let home = Home::new();
    repl(&home, "12", "The lamp burned all night.\n/summarize\n").expect(0);
    let story = home.recovered("s").story;
    let summary = story.frame().summary.unwrap();
    assert!(story.node(summary).unwrap().aside);
    assert!(!told(&story).contains(&story.node(summary).unwrap().text));
    let lines = format!("/edit {summary} A lamp burned.\n/context\n/undo\n");
    let output = repl(&home, "12", &lines).expect(0);
    assert!(output.text().contains("A lamp burned."), "{output:?}");
    assert_eq!(home.recovered("s").story.frame().summary, Some(summary));
}

#[test]
fn the_middle_of_a_passage_is_filled_and_the_rest_kept() {
    let home = Home::new();
    let lines = "The lamp burned. The sea was still. Nobody came that night.\n/fill 0.1\n/diff 0 .\n/undo\n";
    let output = repl(&home, "8", lines).expect(0);
    assert!(output.text().contains("{+"), "{output:?}");
    let story = home.recovered("s").story;
    assert_eq!(story.head(), Some(1), "one undo takes all of it back");
    let filled = story
        .nodes()
        .iter()
        .rev()
        .find(|node| node.copied_from.is_some())
        .unwrap();
    let path = story.path_to(Some(filled.id));
    let text: String = path.iter().map(|passage| passage.text).collect();
    assert!(
        text.starts_with("The lamp burned.") && text.contains("Nobody came that night."),
        "{text}"
    );
}

#[test]
fn sessions_are_searched_renamed_and_checked() {
    let home = Home::new();
    repl(&home, "3", "The lamp burned.\n").expect(0);
    let found = home.illumine(&["sessions", "grep", "LAMP"]).run().expect(0);
    assert!(
        found.text().starts_with("s #0: The lamp burned."),
        "{found:?}"
    );
    home.illumine(&["sessions", "grep", "elephant"])
        .run()
        .expect(1);
    home.illumine(&["sessions", "rename", "s", "night"])
        .run()
        .expect(0);
    let checked = home.illumine(&["sessions", "check"]).run().expect(0);
    assert!(checked.text().starts_with("night: OK, "), "{checked:?}");
    let journal = home.journal("night");
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(
        &journal,
        text.replacen("\"kind\":\"node\"", "\"kind\":\"", 1),
    )
    .unwrap();
    let checked = home
        .illumine(&["sessions", "check", "night"])
        .run()
        .expect(5);
    assert!(checked.text().contains("damaged"), "{checked:?}");
}

#[test]
fn what_the_model_has_read_is_kept_and_not_read_again() {
    let home = Home::new();
    let reused = |output: &Output| -> (usize, usize) {
        let line = output
            .text()
            .lines()
            .rfind(|line| line.contains("of them reused"));
        let numbers = line
            .unwrap()
            .split(' ')
            .filter_map(|word| word.parse().ok());
        let numbers: Vec<usize> = numbers.collect();
        (numbers[0], numbers[1])
    };
    let line = "The lamp burned all night, and in the morning the keeper was gone.\n/save --warm\n";
    let output = repl(&home, "3", line).expect(0);
    assert!(
        output.stderr.contains("Saved the KV cache"),
        "{}",
        output.stderr
    );
    let (read, again) = reused(&repl(&home, "3", "\n/why\n").expect(0));
    assert_eq!(again, read - 1, "only the last token is read again");
    // A damaged saved cache is ignored and does no harm.
    let journal = home.journal("s").with_file_name("warm.kv");
    let mut bytes = std::fs::read(&journal).unwrap();
    let at = bytes.len() - 5;
    bytes[at] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    let (_, again) = reused(&repl(&home, "3", "\n/why\n").expect(0));
    assert_eq!(again, 0, "a damaged one is not trusted");
}

/// A passage stays a single passage however often it is edited: every edit replaces the whole text
/// of the passage.
#[test]
fn an_edit_of_an_edited_passage_is_of_the_whole_passage() {
    let home = Home::new();
    let lines = "The old man walked to the sea.\n/edit 0 The young man walked to the sea.\n\
        /edit 0 The young man ran to the sea.\n/edit 0 The young man ran to the sea at night.\n";
    repl(&home, "3", lines).expect(0);
    let story = home.recovered("s").story;
    assert!(
        told(&story).starts_with("The young man ran to the sea at night."),
        "{}",
        told(&story)
    );
    // A place inside a passage is not a passage, so nothing is overwritten.
    let output = repl(&home, "3", "/edit 0.1 The keeper laughed.\n");
    assert!(
        output.stderr.contains("whole passages"),
        "{}",
        output.stderr
    );
    assert_eq!(told(&home.recovered("s").story), told(&story));
}

#[test]
fn alternatives_are_of_whole_words_at_any_place() {
    let home = Home::new();
    let lines = "She said the weather was fine.\n/alts eath\n/alts SAID\n/alts 0:weather\n";
    let output = repl(&home, "2", lines);
    assert!(
        output.stderr.contains("does not contain \"eath\""),
        "{}",
        output.stderr
    );
    let shown = output.text();
    assert!(shown.contains("Alternatives after \"…She\""), "{shown}");
    assert!(
        shown.contains("Alternatives after \"…She said the weather\""),
        "{shown}"
    );
    assert!(shown.contains("current"), "{shown}");
}

#[test]
fn what_is_asked_of_one_passage_leaves_a_long_paragraph_read() {
    let home = Home::new();
    let sentence = "The rain fell on the roofs of the town, and nobody went out. ";
    let lines = format!(
        "{}\n/instruct more rain\n/continue\n/why\n",
        sentence.repeat(40).trim()
    );
    let output = repl(&home, "4", &lines).expect(0);
    let why = output
        .text()
        .lines()
        .find(|line| line.contains("of them reused"))
        .unwrap();
    let numbers: Vec<usize> = why
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let (read, reused) = (numbers[0], numbers[1]);
    assert!(read > 400 && reused * 4 > read * 3, "{why}");
}

#[test]
fn a_context_that_was_cut_is_shown_as_it_is_sent() {
    let home = Home::new();
    let model = crate::support::talker::talker(700);
    let model = model.path().to_str().unwrap();
    let first = "It began in spring, with a letter. ".repeat(9);
    let last = "It ended in winter, with none. ".repeat(9);
    let lines = format!("{first}\n{last}\n{last}\n/context\n");
    let args = ["repl", "s", "--seed", "5", "-n", "2", "-m", model];
    let output = home.illumine(&args).input(lines).run().expect(0);
    let shown = output.text();
    let shown = &shown[shown.find("Left out").expect("it was cut")..];
    assert!(shown.matches("spring").count() <= 4, "{shown}");
    assert!(shown.contains("winter"), "{shown}");
}

#[test]
fn a_long_story_is_said_to_be_long_when_it_comes() {
    let home = Home::new();
    let text = "The road went on, and so did they.\n\n".repeat(1200);
    let file = home.file("road.txt", text);
    let line = format!("/import {}\n/undo 0\n", file.display());
    let output = repl(&home, "2", &line);
    assert!(
        output.text().contains("oldest part will be left out"),
        "{}",
        output.text()
    );
    assert!(output.text().contains("passages"), "{}", output.text());
    assert!(
        output.stderr.contains("a number of steps, 1 or higher"),
        "{}",
        output.stderr
    );
}

//! Tests that the real program imports and exports other programs' files, but leaves out the API
//! keys in them.

use crate::support::{Home, skip};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use story::Author;

const SECRET: &str = "hf_made_up_0123456789";
/// The API key that the file kobold.json contains.
const KEY: &str = "sk-made-up-0123456789";

fn file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    folder.join(name)
}

fn lines(home: &Home, session: &str, lines: &str) -> String {
    let args = ["repl", session, "--seed", "5", "-n", "3"];
    let output = home.illumine(&args).input(lines).run();
    let remarks = output.stderr.replace(&format!("Opened {session}\n"), "");
    assert_eq!(remarks, "", "{lines}");
    output.text().to_string()
}

/// Creates a session with branches, edits, markup in the text, lore and an author's note.
fn told(home: &Home) {
    let said = "# One\n\nThe <b>lamp</b> & the \"sea\".\n\nIt rained.";
    home.file("told.txt", said);
    lines(
        home,
        "s",
        "/import told.txt\n/continue 3\n/retry\n/lore add lamp: it never goes out\n\
         /memory Skarn is an island.\n/note It rains.\n/edit 0 # One\n/goto 0\nA fork here.\n",
    );
}

#[test]
fn a_card_sets_the_scene_and_goes_out_again() {
    let home = Home::new();
    let card = file("tavern-card.png");
    let said = lines(
        &home,
        "s",
        &format!(
            "/import \"{}\" user=Jon\n/swipe 2\n/lore\n/continue 3\n/export card mara.png\n/export card mara.json\n",
            card.display()
        ),
    );
    assert!(
        said.contains("Imported Mara") && said.contains("Best in winter."),
        "{said}"
    );
    let story = home.recovered("s").story;
    assert_eq!(story.versions(0).len(), 3);
    assert!(story.frame().memory.contains("Jon is the first to land"));
    assert!(
        story.path()[0]
            .text
            .contains("\"The tide brought you,\" says Mara.")
    );
    let kept = home.sessions().join("s/card.png");
    assert_eq!(fs::read(kept).unwrap(), fs::read(&card).unwrap());
    let json: Value =
        serde_json::from_slice(&fs::read(home.path().join("mara.json")).unwrap()).unwrap();
    assert_eq!(json["data"]["extensions"]["other/app"]["keep"][2]["x"], "y");
    let again = lines(&home, "t", "/import mara.png\n/context\n");
    assert!(
        again.contains("3 first messages") && again.contains("lore"),
        "{again}"
    );
}

#[test]
fn a_story_of_another_program_goes_in_where_there_is_none() {
    let home = Home::new();
    let kobold = file("kobold.json");
    let said = lines(
        &home,
        "s",
        &format!(
            "/import {}\n/goto branch-1\n/export kobold x.json\n",
            kobold.display()
        ),
    );
    assert!(said.contains("Nobody came."), "{said}");
    let written: Value =
        serde_json::from_slice(&fs::read(home.path().join("x.json")).unwrap()).unwrap();
    assert_eq!(written["altbranches"][0], Value::Null, "{written}");
    let output = home
        .illumine(&["repl", "s"])
        .input(format!("/import {}\n", file("tavern.jsonl").display()))
        .run();
    assert!(
        output.stderr.contains("start a new one with /new"),
        "{}",
        output.stderr
    );
    let args = [
        "sessions",
        "import",
        file("tavern.jsonl").to_str().unwrap().to_owned().leak(),
        "chat",
    ];
    let output = home.illumine(&args).run().expect(0);
    assert!(
        output.text().contains("chat: Imported the story"),
        "{}",
        output.text()
    );
    let story = home.recovered("chat").story;
    assert_eq!(story.path()[1].author, Author::User);
    let args = ["sessions", "export", "chat", "tavern", "-o", "-"];
    let chat = home.illumine(&args).run().expect(0);
    assert_eq!(chat.text().lines().count(), 5);
}

#[test]
fn a_bad_file_gives_one_sentence_and_changes_nothing() {
    let home = Home::new();
    let picture = fs::read(file("tavern-card.png")).unwrap();
    home.file("cut.png", &picture[..picture.len() - 30]);
    home.file("plain.bin", [0xff, 0x00, 0x80]);
    home.file("half.json", "{\"spec\": \"chara_card_v2\", \"data\": {");
    for name in ["cut.png", "plain.bin", "half.json", "none.json", "."] {
        let output = home
            .illumine(&["repl", "s"])
            .input(format!("/import {name}\n"))
            .run();
        assert_eq!(output.status.code(), Some(2), "{name}");
        let said = output.stderr.replace("Opened s\n", "");
        assert_eq!(said.lines().count(), 1, "{name}: {said}");
    }
    assert!(!home.journal("s").exists() || home.recovered("s").story.nodes().is_empty());
}

#[test]
fn exports_go_where_they_are_told_and_over_nothing() {
    let home = Home::new();
    told(&home);
    let said = lines(
        &home,
        "s",
        "/export md\n/export md\n/export txt tree all.txt\n/export all.html\n",
    );
    assert!(said.contains("s.md") && said.contains("s-2.md"), "{said}");
    let text = fs::read_to_string(home.path().join("all.txt")).unwrap();
    assert!(
        text.contains("Alternative") && text.contains("A fork here."),
        "{text}"
    );
    let page = fs::read_to_string(home.path().join("all.html")).unwrap();
    assert!(page.contains("class=\"writer\"> A fork here."), "{page}");
    let output = home
        .illumine(&["repl", "s"])
        .input("/export txt all.txt\n")
        .run();
    assert!(
        output.stderr.contains("add ! at the end of the line"),
        "{}",
        output.stderr
    );
    lines(&home, "s", "/export txt all.txt !\n");
    let over = fs::read_to_string(home.path().join("all.txt")).unwrap();
    assert!(!over.contains("Alternative"));
    let output = home
        .illumine(&["repl", "s"])
        .input("/export markdwon\n")
        .run();
    assert!(
        output.stderr.contains("did you mean markdown?"),
        "{}",
        output.stderr
    );
}

#[test]
fn what_is_learned_from_has_what_was_chosen_and_what_was_not() {
    let home = Home::new();
    lines(
        &home,
        "s",
        "The lamp was out.\n/retry\n/retry\n/swipe 2\nShe waited.\n",
    );
    let export = |format| {
        let args = ["sessions", "export", "s", format, "-o", "-"];
        let output = home.illumine(&args).run().expect(0);
        let rows = output
            .text()
            .lines()
            .map(|row| serde_json::from_str(row).unwrap());
        rows.collect::<Vec<Value>>()
    };
    let story = home.recovered("s").story;
    let pairs = export("pairs");
    assert_eq!(pairs.len(), 2);
    for pair in &pairs {
        assert_eq!(pair["chosen"][0]["content"], story.path()[1].text);
        assert_eq!(pair["prompt"][0]["content"], "The lamp was out.");
        assert_ne!(pair["chosen"], pair["rejected"]);
    }
    let messages = &export("jsonl")[0]["messages"];
    let roles: Vec<&str> = messages
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant"]);
}

/// Checks that a secret from the environment and an API key from an imported file do not appear in
/// anything that is saved or exported.
#[test]
fn no_secret_is_in_a_journal_or_an_export() {
    let home = Home::new();
    let kobold = file("kobold.json");
    let lines = format!(
        "/import {}\n/continue 3\n/retry\n/save told\n",
        kobold.display()
    );
    let run = home.illumine(&["repl", "s", "--seed", "5"]).input(lines);
    run.variable("HF_TOKEN", SECRET)
        .variable("OPENAI_API_KEY", KEY)
        .run()
        .expect(0);
    for format in illumine::store::export::names() {
        for tree in [&[][..], &["--tree"]] {
            let name = format!("out-{format}{}", tree.len());
            let args = [
                &["sessions", "export", "told", format, "-o", &name][..],
                tree,
            ]
            .concat();
            let run = home.illumine(&args).variable("HF_TOKEN", SECRET);
            run.run().expect(0);
        }
    }
    let mut seen = 0;
    let mut folders = vec![home.path().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("models") {
                folders.push(path);
            } else if path.is_file() {
                let bytes = fs::read(&path).unwrap();
                let text = String::from_utf8_lossy(&bytes);
                assert!(
                    !text.contains(SECRET) && !text.contains(KEY),
                    "{}",
                    path.display()
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 22, "{seen} files");
}

/// Checks that exported e-books are valid according to epubcheck, the W3C's validator.
#[test]
fn an_e_book_is_valid() {
    let home = Home::new();
    told(&home);
    let named = ["--tree", "--language", "en", "--title", "L <&> \"S\""];
    for (name, more) in [("a.epub", &[][..]), ("b.epub", &named)] {
        let args = [&["sessions", "export", "s", "epub", "-o", name][..], more].concat();
        home.illumine(&args).run().expect(0);
        let book = home.path().join(name);
        let bytes = fs::read(&book).unwrap();
        assert_eq!(&bytes[30..58], b"mimetypeapplication/epub+zip");
        let Some(mut check) = epubcheck() else {
            continue;
        };
        let check = check.arg("--failonwarnings").arg(&book).output().unwrap();
        let said = String::from_utf8_lossy(&check.stderr);
        assert!(check.status.success(), "{said}");
    }
}

/// Checks that e-books are valid according to epubcheck even if the story is in another script or
/// contains characters that markup forbids.
#[test]
fn an_e_book_is_valid_whatever_it_holds() {
    let home = Home::new();
    let odd = "# \u{1}\u{ffff}\n\n]]> &amp; <p> \"'\u{fffe}\u{fdd0}\u{1fffe}\u{85}\n\n# 👩\u{200d}🚀 & co\n\n# \n\n## Alone";
    let long = format!("# {}\n\n{}", "Long ".repeat(900), "e\u{301}".repeat(9000));
    let titled = "👩\u{200d}👩\u{200d}👧 & <Love> \"q\" ]]>\nTwo";
    let told = [
        ("odd", odd, ["en", titled]),
        ("hebrew", "# פרק 1\n\nשלום.\n\nHello.", ["HE", "שלום & Co"]),
        ("kashmiri", "فصل 1\n\n…", ["ks-Arab", ""]),
        ("japanese", "第一章\n\n「海」。", ["ja", "海"]),
        ("long", long.as_str(), ["x-mine", long.as_str()]),
    ];
    for (name, text, [language, title]) in told {
        home.file(&format!("{name}.txt"), text);
        let file = format!("{name}.txt");
        home.illumine(&["sessions", "import", &file, name])
            .run()
            .expect(0);
        let book = home.path().join(format!("{name}.epub"));
        let out = book.to_str().unwrap();
        let args = ["sessions", "export", name, "epub", "-o", out];
        let more = ["--language", language, "--title", title];
        home.illumine(&[&args[..], &more].concat()).run().expect(0);
        let Some(mut check) = epubcheck() else {
            continue;
        };
        let check = check.arg("--failonwarnings").arg(&book).output().unwrap();
        let said = String::from_utf8_lossy(&check.stderr);
        assert!(check.status.success(), "{name}: {said}");
    }
    let args = ["sessions", "export", "odd", "epub", "--language", "english"];
    let said = home.illumine(&args).run().sentence(2);
    assert!(said.contains("\"english\" is not a language tag"), "{said}");
}

/// The commands that can run epubcheck: its own name or, if the kernel does not run jar files, Java
/// with the jar file.
const EPUBCHECKS: [&[&str]; 2] = [&["epubcheck"], &["java", "-jar", "/usr/bin/epubcheck"]];

/// A command that runs epubcheck; None if there is no epubcheck, in which case tests skip the
/// check.
pub fn epubcheck() -> Option<Command> {
    static FOUND: OnceLock<Option<&[&str]>> = OnceLock::new();
    let command = |words: &[&str]| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command
    };
    let runs = |words: &&[&str]| {
        let version = command(words).arg("--version").output();
        // It exits with an error, because no book was given.
        version.is_ok_and(|output| {
            [output.stdout, output.stderr]
                .iter()
                .any(|said| said.starts_with(b"EPUBCheck"))
        })
    };
    let found = *FOUND.get_or_init(|| EPUBCHECKS.into_iter().find(runs));
    if found.is_none() {
        skip("epubcheck is missing; `apt-get install epubcheck`, or its like, brings it");
    }
    found.map(command)
}

//! Tests pictures in the story with the real program and tiny weights: drawing, saving and undoing
//! pictures, and what happens when their files are damaged or missing.

use crate::interop::epubcheck;
use crate::support::home::plain;
use crate::support::tmux::Terminal;
use crate::support::{Home, ILLUMINE, Output};
use base::hash::sha256;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use story::{Author, NodeId, Story};

pub fn weights() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/illuminator")
}

fn repl(home: &Home, session: &str, lines: &str) -> Output {
    let output = home
        .illumine(&["repl", session, "--seed", "5", "-n", "6"])
        .variable("ILLUMINE_WEIGHTS", weights().to_str().unwrap())
        .input(lines)
        .run();
    plain(&output.stderr);
    output
}

fn story(home: &Home) -> Story {
    home.recovered("s").story
}

fn on_page(story: &Story) -> Vec<NodeId> {
    let on = story.pictures_on(&story.path());
    on.into_iter().map(|(_, id)| id).collect()
}

fn file(home: &Home, id: NodeId) -> PathBuf {
    home.sessions().join(format!("s/pictures/{id}.png"))
}

fn told(story: &Story) -> String {
    story.path().iter().map(|passage| passage.text).collect()
}

#[test]
fn a_picture_is_part_of_the_story_and_adds_no_words() {
    let home = Home::with_encoder();
    let words = "The castle stood above the sea.\n";
    let lines = format!("{words}/image a castle by moonlight style=ink size=64\n/continue\n");
    let output = repl(&home, "s", &lines).expect(0);
    assert!(
        output.text().contains("I drew: castle 1.00"),
        "{}",
        output.text()
    );
    let with = story(&home);
    let node = with.node(2).unwrap();
    let picture = node.picture.as_ref().unwrap();
    assert!(node.aside && node.text.is_empty() && node.parent == Some(1));
    assert_eq!(picture.provenance.prompt, "a castle by moonlight");
    assert_eq!(
        (picture.provenance.style.as_deref(), picture.width),
        (Some("ink"), 64)
    );
    let bytes = fs::read(file(&home, 2)).unwrap();
    assert_eq!(picture.sha256, sha256(&bytes));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file(&home, 2)), 0o600);
    // The model reads and writes the same as without pictures.
    let other = Home::with_encoder();
    repl(&other, "s", &format!("{words}/set seed 5\n")).expect(0);
    let without = story(&other);
    assert_eq!(with.node(1).unwrap().ids, without.node(1).unwrap().ids);
    assert_eq!(with.path().len(), 3);
    assert_eq!(
        with.path()[2].parent,
        Some(1),
        "what follows follows the passage"
    );
    assert_eq!(on_page(&with), [2]);
}

#[test]
fn pictures_are_taken_back_put_away_and_gone_to_and_survive_reopening() {
    let home = Home::with_encoder();
    let lines = "The fox ran.\n/image fox\n/vary 0.5 2\n/undo\n";
    let output = repl(&home, "s", lines).expect(0);
    assert!(
        output.text().contains("/pick N shows another one"),
        "{}",
        output.text()
    );
    let now = story(&home);
    assert_eq!(on_page(&now), [2], "the first is back");
    assert_eq!(now.versions(2), [2, 3, 4]);
    repl(&home, "s", "/redo\n/goto #4\n").expect(0);
    assert_eq!(on_page(&story(&home)), [4]);
    let output = repl(
        &home,
        "s",
        "/delete #4\n/goto #2\n/find fox\n/why #2\n/tree\n",
    )
    .expect(0);
    assert_eq!(on_page(&story(&home)), [2]);
    for part in ["picture: fox", "interpreted as fox", "style flat", "#4"] {
        assert!(output.text().contains(part), "{part}: {}", output.text());
    }
    repl(&home, "s", "/undo 2\n").expect(0);
    assert_eq!(on_page(&story(&home)), [4]);
    // Editing the passage keeps the picture.
    repl(&home, "s", "/edit 0 The red fox ran.\n").expect(0);
    let now = story(&home);
    assert!(told(&now).starts_with("The red fox ran."));
    assert_eq!(on_page(&now), [4]);
}

#[test]
fn without_words_the_last_passage_is_drawn_and_what_the_model_says_of_it_stays_out() {
    let home = Home::with_encoder();
    let lines = "All night the moon shone on the castle.\n/set max_tokens 3\n/image\n/scene\n";
    let output = repl(&home, "s", lines).expect(0);
    assert_eq!(
        output.text().matches("I drew: ").count(),
        2,
        "{}",
        output.text()
    );
    let now = story(&home);
    let prompt = &now
        .node(2)
        .unwrap()
        .picture
        .as_ref()
        .unwrap()
        .provenance
        .prompt;
    assert!(!prompt.is_empty() && prompt.len() < 200, "{prompt}");
    assert!(!told(&now).contains(prompt.as_str()));
    let scene = now.node(3).unwrap().picture.as_ref().unwrap();
    assert_eq!((scene.width, scene.height), (512, 256));
    assert!(
        now.nodes()
            .iter()
            .all(|node| node.picture.is_none() || node.author == Author::Model)
    );
    // The story need not be evaluated again.
    let output = repl(&home, "t", "The moon shone.\n/image\n/continue\n/why\n").expect(0);
    let line = output
        .text()
        .lines()
        .find(|line| line.contains("reused"))
        .unwrap();
    let reused: usize = line
        .split(", ")
        .nth(1)
        .and_then(|part| part.split(' ').next())
        .and_then(|n| n.parse().ok())
        .unwrap();
    assert!(reused > 4, "{line}");
}

#[test]
fn the_same_words_seed_and_weights_give_the_same_file() {
    let home = Home::with_encoder();
    let lines = "/image fox seed=7\n/image fox seed=7\n/mix #0 #1 seed=3\n/mix #0 #1 seed=3\n\
                 /restyle #0 ink seed=3\n/restyle #0 ink seed=3\n/lerp #0 \"a moon\" 3\n";
    repl(&home, "s", lines).expect(0);
    let bytes = |id| fs::read(file(&home, id)).unwrap();
    assert_eq!(bytes(0), bytes(1));
    assert_eq!(bytes(2), bytes(3));
    assert_eq!(bytes(4), bytes(5));
    assert_ne!(bytes(0), bytes(2));
    assert_ne!(bytes(0), bytes(4));
    let now = story(&home);
    let how = |id: NodeId| &now.node(id).unwrap().picture.as_ref().unwrap().provenance;
    assert_eq!(
        how(6).tokens,
        how(0).tokens,
        "a way begins with its first picture"
    );
    assert_eq!(how(8).title(), "a moon");
}

#[test]
fn what_cannot_be_done_is_one_sentence_and_costs_nothing() {
    let home = Home::with_encoder();
    home.file("no.png", "no picture");
    let long = format!("/image {}\n", "dragon ".repeat(15_000));
    for (line, part) in [
        ("/image\n", "no passage to illustrate yet"),
        ("/vary 0.3\n", "no picture yet"),
        (
            "/restyle no.png ink\n",
            "not a readable PNG, JPEG, GIF or WebP",
        ),
        ("/restyle none.png ink\n", "Cannot use"),
        ("/restyle . ink\n", "it is not a file"),
        ("/image fox style=oil\n", "available styles: flat, ink"),
        ("/mix #0 #1\n", "The story is empty"),
        (long.as_str(), "prompt is too long"),
    ] {
        let output = repl(&home, "s", line);
        let said = output.stderr.replace("Opened s\n", "");
        assert!(said.contains(part), "{line}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
    repl(&home, "s", "The fox ran.\n").expect(0);
    assert_eq!(story(&home).nodes().len(), 2);
    // Without weights, and with weights of another shape.
    let nowhere = home.path().join("nowhere");
    let output = home
        .illumine(&["repl", "s"])
        .variable("ILLUMINE_WEIGHTS", nowhere.to_str().unwrap())
        .input("/image fox\n")
        .run();
    assert!(
        output
            .stderr
            .contains("Cannot use the image model's weights"),
        "{}",
        output.stderr
    );
    // A program far from the shipped weights.
    let alone = home.path().join("illumine");
    std::fs::copy(ILLUMINE, &alone).unwrap();
    let output = home
        .program(&alone, &["repl", "s"])
        .input("/image fox\n")
        .run();
    let said = "Cannot find the image model's weights";
    assert!(output.stderr.contains(said), "{}", output.stderr);
    assert_eq!(story(&home).nodes().len(), 2);
}

#[test]
fn check_proves_the_files_and_a_missing_one_spoils_nothing() {
    let home = Home::with_encoder();
    repl(&home, "s", "The fox ran.\n/image fox\n/image moon\n").expect(0);
    let check = || home.illumine(&["sessions", "check", "s"]).run();
    assert!(check().expect(0).text().contains("s: OK"));
    let path = file(&home, 2);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::remove_file(file(&home, 3)).unwrap();
    let found = check().expect(5);
    for part in [
        "damaged",
        "picture #2: pictures/2.png was changed or damaged",
        "picture #3: pictures/3.png is missing",
    ] {
        assert!(found.text().contains(part), "{part}: {}", found.text());
    }
    // Its tokens are in the journal, so it can still be varied.
    let output = repl(&home, "s", "/why #3\n/vary 0.5 #3\n/export html\n").expect(0);
    assert!(output.text().contains("I drew: moon"), "{}", output.text());
    assert_eq!(on_page(&story(&home)), [2, 4]);
}

#[test]
fn a_full_disk_loses_no_words() {
    let home = Home::with_encoder();
    repl(&home, "s", "The fox ran.\n").expect(0);
    let lines = "/image fox size=1024\nIt hid.\n";
    let run = home
        .illumine(&["repl", "s", "-n", "3"])
        .variable("ILLUMINE_WEIGHTS", weights().to_str().unwrap())
        .file_limit(12_000)
        .input(lines);
    let output = run.run();
    assert!(output.stderr.contains("disk is full"), "{}", output.stderr);
    assert!(
        output.stderr.contains("draws it again"),
        "{}",
        output.stderr
    );
    let now = story(&home);
    assert!(told(&now).contains("It hid."), "{}", told(&now));
    assert!(now.nodes().iter().all(|node| node.picture.is_none()));
    let left = fs::read_dir(home.sessions().join("s/pictures")).unwrap();
    assert_eq!(left.count(), 0, "nothing half written is left");
}

#[test]
fn a_private_session_keeps_pictures_in_memory() {
    let home = Home::with_encoder();
    let output = home
        .illumine(&["repl", "--private", "-n", "3"])
        .variable("ILLUMINE_WEIGHTS", weights().to_str().unwrap())
        .input("The fox ran.\n/image fox\n/vary 0.5\n/export html told.html\n")
        .run()
        .expect(0);
    assert_eq!(
        output.text().matches("I drew: fox").count(),
        2,
        "{}",
        output.text()
    );
    let page = fs::read_to_string(home.path().join("told.html")).unwrap();
    assert!(page.contains("src=\"data:image/png;base64,"), "no picture");
    assert!(!home.sessions().exists());
}

/// Checks how the exports show or mention a picture, and that the exported text can be imported
/// again.
#[test]
fn exports_show_pictures() {
    let home = Home::with_encoder();
    let words = "# One\n\nThe fox ran.\n/image a <fox> & \"moon\"\n/export html a.html\n\
                 /export md a.md\n/export txt a.txt\n/export jsonl a.jsonl\n/export kobold a.json\n\
                 /export epub a.epub\n";
    repl(&home, "s", words).expect(0);
    let read = |name: &str| fs::read_to_string(home.path().join(name)).unwrap();
    let title = "a &lt;fox&gt; &amp; &quot;moon&quot;";
    let page = read("a.html");
    assert!(page.contains(&format!("alt=\"{title}\"")), "no description");
    assert!(page.contains("<img src=\"data:image/png;base64,"));
    let markdown = read("a.md");
    assert!(markdown.contains("](<a-pictures/"), "{markdown}");
    let now = story(&home);
    let id = on_page(&now)[0];
    let beside = home.path().join(format!("a-pictures/{id}.png"));
    assert_eq!(
        fs::read(beside).unwrap(),
        fs::read(file(&home, id)).unwrap()
    );
    let text = read("a.txt");
    assert!(text.contains("[Picture: a <fox> & \"moon\"]"), "{text}");
    let rows: serde_json::Value = serde_json::from_str(&read("a.jsonl")).unwrap();
    assert_eq!(rows["pictures"][0]["shows"], "a <fox> & \"moon\"");
    assert!(!rows["messages"].to_string().contains("moon"));
    // Another program's story contains only the text.
    assert!(!read("a.json").contains("moon"));
    let output = home
        .illumine(&["sessions", "export", "s", "md", "-o", "-"])
        .run()
        .expect(0);
    assert!(
        output.text().contains("*Picture: a \\<fox>"),
        "{}",
        output.text()
    );
    let import = ["sessions", "import", "a.txt", "again"];
    home.illumine(&import).run().expect(0);
    assert!(told(&home.recovered("again").story).contains("The fox ran."));
}

/// Checks that an e-book with pictures is valid according to epubcheck.
#[test]
fn an_e_book_with_pictures_is_valid() {
    let home = Home::with_encoder();
    let words = "The fox ran.\n/image fox\n/retry\n/image a <moon> & \"more\"\n/scene a fox in the wood\n\
                 /export epub tree a.epub\n";
    repl(&home, "s", words).expect(0);
    let book = home.path().join("a.epub");
    let archive = zip::ZipArchive::new(fs::File::open(&book).unwrap()).unwrap();
    let names = archive.file_names().filter_map(Result::ok);
    let images = names.filter(|name| name.starts_with("EPUB/images/"));
    assert_eq!(images.count(), 3);
    let Some(mut check) = epubcheck() else {
        return;
    };
    let check = check.arg("--failonwarnings").arg(&book).output().unwrap();
    let said = String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success(), "{said}");
}

/// In a real terminal, a picture is drawn, shown as half-blocks, scrolled, undone, and shown again
/// after a restart. The terminal's answers to queries never appear in the input line.
#[test]
fn a_terminal_shows_pictures_on_the_page() {
    let terminal = Terminal::start_in(
        Home::with_encoder(),
        80,
        40,
        &["s", "--weights", weights().to_str().unwrap()],
    );
    terminal.wait_for("Write the first line");
    terminal.text("/image fox seed=5");
    terminal.keys(&["Enter"]);
    let screen = terminal.wait("a picture", |screen| {
        screen.contains("I drew: fox") && screen.contains('▀')
    });
    assert!(screen.contains("#0 fox"), "{screen}");
    let line = screen.lines().find(|line| line.contains('›')).unwrap();
    assert!(!line.contains("[?") && !line.contains(";OK"), "{line}");
    terminal.keys(&["M-u"]);
    terminal.wait("no picture", |screen| !screen.contains('▀'));
    terminal.keys(&["C-y"]);
    terminal.wait("the picture again", |screen| screen.contains('▀'));
    terminal.text("/vary 0.5 3");
    terminal.keys(&["Enter"]);
    terminal.wait_for("Pictures; /pick N");
    terminal.keys(&["Down", "Enter"]);
    terminal.wait_for("version 3 of 4");
    terminal.keys(&["C-d"]);
    terminal.wait_for("[ended 0]");
    terminal.again(&["s", "--weights", weights().to_str().unwrap()]);
    terminal.wait("the same picture", |screen| {
        screen.contains("‹3/4›") && screen.contains('▀')
    });
}

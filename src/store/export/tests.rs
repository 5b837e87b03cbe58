//! Tests that exports contain the story and that its text is never interpreted as markup.

use super::*;
use crate::store::files::free_path;
use proptest::prelude::*;
use story::record::{HeadMove, Record, StepKind};
use story::{Author, Node, NodeId, Provenance, edit};

fn meta() -> ExportMeta {
    ExportMeta {
        title: "Skarn".to_string(),
        now: "2026-01-01T00:00:00.5Z".to_string(),
        ..ExportMeta::default()
    }
}

fn add(story: &mut Story, parent: Option<NodeId>, author: Author, text: &str) -> NodeId {
    let id = story.next_id();
    let node = Node {
        id,
        parent,
        author,
        text: text.to_string(),
        provenance: (author == Author::Model).then(Provenance::default),
        ..Node::default()
    };
    story.apply(&Record::Node(node)).unwrap();
    stand(story, Some(id));
    id
}

fn stand(story: &mut Story, to: Option<NodeId>) {
    let why = StepKind::Write;
    story.apply(&Record::Head(HeadMove { to, why })).unwrap();
}

fn written(story: &Story, format: ExportFormat, extent: ExportScope) -> String {
    let bytes = encode_export(story, format, extent, &meta(), Path::new("x")).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A story with two branches after "The lamp". One of the branches was edited.
fn story() -> Story {
    let mut story = Story::default();
    let first = add(&mut story, None, Author::User, "The lamp");
    add(&mut story, Some(first), Author::Model, " was lit.");
    add(
        &mut story,
        Some(first),
        Author::Model,
        " went out.\n\nIt rained.",
    );
    let edit = edit::replace_text(&story, &story.path(), 1..2, " blew out.\n\nIt rained.").unwrap();
    for node in edit.nodes {
        story.apply(&Record::Node(node)).unwrap();
    }
    stand(&mut story, edit.head);
    story
}

#[test]
fn words_go_out_as_they_stand_and_branches_once_each() {
    let story = story();
    assert_eq!(
        written(&story, ExportFormat::Text, ExportScope::Path),
        "The lamp blew out.\n\nIt rained.\n"
    );
    let tree = written(&story, ExportFormat::Text, ExportScope::Tree);
    assert_eq!(tree.matches(" was lit.").count(), 0, "{tree}");
    assert_eq!(tree.matches("was lit.").count(), 1, "{tree}");
    let page = written(&story, ExportFormat::Html, ExportScope::Tree);
    assert!(
        page.contains(
            "<p><span class=\"writer\">The lamp</span> <span class=\"edited\">blew</span>"
        ),
        "{page}"
    );
    assert!(page.contains("<summary>Alternative, after “The lamp”</summary>"));
}

#[test]
fn an_edited_passage_was_chosen_over_its_versions() {
    let pairs = written(&story(), ExportFormat::Pairs, ExportScope::Path);
    let rows: Vec<serde_json::Value> = pairs
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    let said = |row: usize, what: &str| rows[row][what][0]["content"].as_str().unwrap().to_string();
    assert_eq!(rows.len(), 2);
    assert_eq!(said(0, "prompt"), "The lamp");
    assert_eq!(said(0, "chosen"), " blew out.\n\nIt rained.");
    assert_eq!(
        (said(0, "rejected"), said(1, "rejected")),
        (" was lit.".into(), " went out.\n\nIt rained.".into())
    );
}

#[test]
fn chapters_are_found_by_their_headings() {
    let mut story = Story::default();
    add(
        &mut story,
        None,
        Author::User,
        "Before.\n\n# One\n\nText.\n\nChapter 2: The Boat\n\nMore # text.",
    );
    let book = encode_export(
        &story,
        ExportFormat::Epub,
        ExportScope::Path,
        &meta(),
        Path::new("x"),
    )
    .unwrap();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(book)).unwrap();
    let mut nav = String::new();
    std::io::Read::read_to_string(&mut archive.by_name("EPUB/nav.xhtml").unwrap(), &mut nav)
        .unwrap();
    for title in ["Skarn", "One", "Chapter 2: The Boat"] {
        assert!(nav.contains(&format!("\">{title}</a>")), "{nav}");
    }
    assert_eq!(nav.matches("<li>").count(), 3);
}

#[test]
fn a_format_is_known_by_its_name_and_its_files() {
    for (format, names, ending, _) in FORMATS {
        for name in *names {
            assert_eq!(ExportFormat::parse(name).unwrap(), *format);
        }
        let file = PathBuf::from(format!("my.story.{ending}"));
        assert_eq!(ExportFormat::of_file(&file), Some(*format));
    }
    assert_eq!(ExportFormat::of_file(Path::new("md")), None);
    assert!(
        ExportFormat::parse("pdf")
            .unwrap_err()
            .to_string()
            .contains("available formats: txt")
    );
}

#[test]
fn nothing_is_written_over_unless_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = free_path(folder.path(), "s", "md");
    write_file(&path, b"one", false).unwrap();
    assert!(matches!(
        write_file(&path, b"two", false),
        Err(FileError::Taken(_))
    ));
    assert!(free_path(folder.path(), "s", "md").ends_with("s-2.md"));
    write_file(&path, b"two", true).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is left beside it"
    );
    assert!(write_file(&folder.path().join("no/x"), b"", false).is_err());
}

/// Exports a story as an e-book, and returns the files in the e-book by name.
fn book(story: &Story, meta: &ExportMeta) -> BTreeMap<String, String> {
    let bytes = encode_export(
        story,
        ExportFormat::Epub,
        ExportScope::Path,
        meta,
        Path::new("x"),
    )
    .unwrap();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let mut files = BTreeMap::new();
    for at in 0..archive.len() {
        let (mut file, mut text) = (archive.by_index(at).unwrap(), String::new());
        std::io::Read::read_to_string(&mut file, &mut text).unwrap();
        let name = file.name().unwrap().into_owned();
        files.insert(name, text);
    }
    files
}

fn told(text: &str) -> Story {
    let mut story = Story::default();
    add(&mut story, None, Author::Model, text);
    story
}

#[test]
fn a_book_runs_as_its_language_does() {
    let story =
        told("היה היה פעם מגדלור אחד ליד הים.\n\n\"Once\" she said.\n\n1, 2, 3.\n\nשלום (hello).");
    let meta = ExportMeta {
        language: "he".to_string(),
        ..meta()
    };
    let files = book(&story, &meta);
    assert!(files["EPUB/package.opf"].contains("<spine page-progression-direction=\"rtl\">"));
    let chapter = &files["EPUB/chapter-1.xhtml"];
    assert!(
        chapter.contains("lang=\"he\" xml:lang=\"he\" dir=\"rtl\">"),
        "{chapter}"
    );
    assert!(chapter.contains("<h1 dir=\"ltr\">Skarn</h1>"), "{chapter}");
    assert_eq!(chapter.matches("<p dir=\"ltr\">").count(), 1, "{chapter}");
    assert_eq!(chapter.matches("<p>").count(), 3, "{chapter}");
    let page = html::page(&story, ExportScope::Path, &meta);
    assert!(page.contains("<html lang=\"he\" dir=\"rtl\">"), "{page}");
    // Without a language, the text determines the direction; otherwise each paragraph that differs
    // is marked.
    let page = html::page(&story, ExportScope::Path, &super::tests::meta());
    assert!(page.contains("<html dir=\"rtl\">"), "{page}");
    let english = ExportMeta {
        language: "en".to_string(),
        ..meta
    };
    let files = book(&story, &english);
    assert!(files["EPUB/package.opf"].contains("<spine>"));
    assert_eq!(
        files["EPUB/chapter-1.xhtml"]
            .matches("<p dir=\"rtl\">")
            .count(),
        2
    );
}

#[test]
fn a_title_that_says_nothing_is_the_sessions_name() {
    for title in ["", " ", "\t\n", "\u{200b}\u{feff}", "\u{a0}"] {
        assert_eq!(ExportMeta::title_or(Some(title), "harbour"), "harbour");
    }
    assert_eq!(ExportMeta::title_or(None, "harbour"), "harbour");
    assert_eq!(ExportMeta::title_or(Some(" One\nTwo "), "x"), "One Two");
}

#[test]
fn a_story_of_spaces_is_a_book_with_a_page() {
    let files = book(&told(" \n \n"), &meta());
    assert!(files["EPUB/package.opf"].contains("<itemref idref=\"chapter-1\"/>"));
    assert!(files["EPUB/nav.xhtml"].contains(">Skarn</a>"));
}

#[test]
fn turns_of_a_chat_stand_apart() {
    let mut story = Story::default();
    let mut parent = None;
    for (author, text) in [
        (Author::User, "My name is Ines."),
        (Author::Model, "Ines, then."),
        (Author::User, "Who are you?\n"),
        (Author::Model, "A lamp."),
    ] {
        let id = story.next_id();
        let (text, turn) = (text.to_string(), true);
        let node = Node {
            id,
            parent,
            author,
            text,
            turn,
            ..Node::default()
        };
        story.apply(&Record::Node(node)).unwrap();
        stand(&mut story, Some(id));
        parent = Some(id);
    }
    assert_eq!(
        bare_text(&story),
        "My name is Ines.\n\nInes, then.\n\nWho are you?\nA lamp."
    );
    let text = written(&story, ExportFormat::Text, ExportScope::Path);
    assert!(
        text.contains("You: My name is Ines.\n\nSkarn: Ines, then.\n\nYou:"),
        "{text}"
    );
}

proptest! {
    #[test]
    fn nothing_that_a_story_holds_is_forbidden_in_xml(text in any::<String>(), title in any::<String>()) {
        let title = ExportMeta::title_or(Some(&title), "x");
        let files = book(&told(&format!("# {text}\n\n{text}")), &ExportMeta { title, ..meta() });
        let allowed = |c: char| match u32::from(c) {
            0x9 | 0xa | 0xd => true,
            n => n >= 0x20 && n & 0xfffe != 0xfffe,
        };
        for (name, text) in files {
            prop_assert!(text.chars().all(allowed), "{}: {:?}", name, text);
        }
    }

    #[test]
    fn no_words_become_markup(text in "\\PC{0,40}(<script>|&amp;|\\]\\]>|\"|\n){0,3}\\PC{0,40}") {
        let mut story = Story::default();
        add(&mut story, None, Author::Model, &format!("x{text}"));
        let page = written(&story, ExportFormat::Html, ExportScope::Path);
        prop_assert!(!page.contains("<script"));
        let body = &page[page.find("<main>").unwrap()..page.find("</main>").unwrap()];
        let tags = body.matches('<').count();
        let turned = ["<p dir=\"rtl\">", "<p dir=\"ltr\">", "<h1 dir=\"ltr\">"];
        let known = ["<main>", "<h1>", "</h1>", "<p>", "</p>", "<br/>"].into_iter().chain(turned);
        let ours: usize = known.map(|tag| body.matches(tag).count()).sum();
        prop_assert_eq!(tags, ours);
        prop_assert!(!written(&story, ExportFormat::Markdown, ExportScope::Path).replace("\\<", " ").contains("<s"));
    }
}

#[test]
fn no_export_contains_what_the_model_thought() {
    let mut story = story();
    let parent = story.head();
    let thinks = Node {
        id: story.next_id(),
        parent,
        author: Author::Model,
        text: " It stopped.".to_string(),
        thought: "PLANTED".to_string(),
        ..Node::default()
    };
    let head = thinks.id;
    story.apply(&Record::Node(thinks)).unwrap();
    stand(&mut story, Some(head));
    for (format, ..) in FORMATS {
        for extent in [ExportScope::Path, ExportScope::Tree] {
            // Some formats need a card or several versions.
            let bytes = encode_export(&story, *format, extent, &meta(), Path::new("x"));
            let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
            assert!(!text.contains("PLANTED"), "{format:?}");
        }
    }
    assert!(written(&story, ExportFormat::Text, ExportScope::Path).contains("It stopped."));
}

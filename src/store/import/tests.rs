//! Tests with other programs' files and with malicious files.

use super::super::export::{ExportFormat, ExportMeta, ExportScope, encode_export};
use super::super::lorebook;
use super::*;
use proptest::prelude::*;
use serde_json::json;
use story::import::{ImportTarget, ImportedStory, import_records};
use story::lore::{InsertPosition, KeyLogic, Lorebook, ScanInput, scan};
use story::{Author, Mode, Story};

const WORLDINFO: &[u8] = include_bytes!("../../../tests/interop/worldinfo.json");
const LOREBOOK: &[u8] = include_bytes!("../../../tests/interop/lorebook-v3.json");
const AGNAI: &[u8] = include_bytes!("../../../tests/interop/agnai.json");
const KOBOLD: &[u8] = include_bytes!("../../../tests/interop/kobold.json");
const CHAT: &[u8] = include_bytes!("../../../tests/interop/tavern.jsonl");
const MARA: &[u8] = include_bytes!("../../../tests/interop/mara-v2.json");
const MARA_V3: &[u8] = include_bytes!("../../../tests/interop/mara-v3.json");
const CHARX: &[u8] = include_bytes!("../../../tests/interop/mara.charx");
const AICHAR: &[u8] = include_bytes!("../../../tests/interop/aichar.json");
const AICHAR_PNG: &[u8] = include_bytes!("../../../tests/interop/aichar.png");
const TAVERN_CARD: &[u8] = include_bytes!("../../../tests/interop/tavern-card.png");

mod bounds;
mod chats;
mod forms;
mod kinds;
mod rows;

fn parsed(bytes: &[u8]) -> Import {
    parse_file(bytes.to_vec(), "file").unwrap().content
}

/// The notices to the writer about a file.
fn notices(bytes: &[u8]) -> String {
    parse_file(bytes.to_vec(), "file")
        .unwrap()
        .notices
        .join("; ")
}

/// Imports a file that must be refused, and returns the error message.
fn refusal(bytes: &[u8]) -> String {
    let said = parse_file(bytes.to_vec(), "file").unwrap_err().to_string();
    assert!(!said.contains('\n'), "{said}");
    said
}

fn book(bytes: &[u8]) -> Lorebook {
    match parsed(bytes) {
        Import::Book(book) => book,
        other => panic!("{other:?}"),
    }
}

fn tale(bytes: &[u8]) -> ImportedStory {
    match parsed(bytes) {
        Import::Story(tale) => *tale,
        other => panic!("{other:?}"),
    }
}

/// A story into which the given file was imported.
fn story(bytes: &[u8]) -> Story {
    let mut story = Story::default();
    let session = ImportTarget {
        story: &story,
        mode: Mode::Prose,
        user: None,
        file: None,
    };
    for record in import_records(parsed(bytes), session).unwrap().records {
        story.apply(&record).unwrap();
    }
    story
}

fn exported(story: &Story, format: ExportFormat, file: &str) -> Vec<u8> {
    let meta = ExportMeta {
        title: "Skarn".to_string(),
        now: "2026-01-01T00:00:00Z".to_string(),
        ..ExportMeta::default()
    };
    encode_export(story, format, ExportScope::Path, &meta, Path::new(file)).unwrap()
}

/// Asserts that `written` contains everything in `original`.
#[track_caller]
fn holds(written: &Value, original: &Value, at: &str) {
    match (written, original) {
        (Value::Object(written), Value::Object(original)) => {
            for (key, value) in original {
                let there = written.get(key).unwrap_or(&Value::Null);
                holds(there, value, &format!("{at}.{key}"));
            }
        }
        (Value::Array(written), Value::Array(original)) => {
            assert_eq!(written.len(), original.len(), "{at}");
            for (n, (a, b)) in written.iter().zip(original).enumerate() {
                holds(a, b, &format!("{at}[{n}]"));
            }
        }
        _ => assert_eq!(written, original, "{at}"),
    }
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn world_info_is_understood_and_comes_back_whole() {
    let book = book(WORLDINFO);
    let lamp = &book.entries[0];
    assert_eq!(
        (lamp.position, lamp.depth, lamp.logic),
        (InsertPosition::AtDepth, 2, KeyLogic::AndAll)
    );
    assert_eq!(
        (lamp.sticky, lamp.cooldown, lamp.delay),
        (Some(2), Some(3), Some(1))
    );
    assert_eq!((lamp.scan_depth, lamp.whole_words), (Some(6), Some(true)));
    assert!(lamp.exclude_recursion && lamp.group_override && lamp.probability == 80.0);
    let storm = &book.entries[1];
    assert_eq!(storm.uid, 7);
    assert_eq!(storm.content, "Storms last three days.\nAlways.");
    assert!(
        storm.delay_until_recursion && !storm.enabled,
        "an outlet is not read by itself"
    );
    let written = lorebook::tavern(&book);
    let rows = written["entries"].as_object().unwrap();
    let rows: Vec<&Value> = rows.values().collect();
    let original = value(WORLDINFO);
    holds(rows[0], &original["entries"]["0"], "0");
    holds(rows[1], &original["entries"]["7"], "7");
    assert_eq!(written["originalData"], original["originalData"]);
    let again = parsed(&serde_json::to_vec(&written).unwrap());
    assert_eq!(again, Import::Book(book));
}

#[test]
fn a_v3_lorebook_is_understood_and_comes_back_whole() {
    let book = book(LOREBOOK);
    assert_eq!((book.name.as_str(), book.scan_depth), ("Skarn", Some(4)));
    assert_eq!((book.token_budget, book.recursive), (Some(300), true));
    let tides = &book.entries[0];
    assert_eq!(tides.content, "The tide turns at noon.");
    assert_eq!((tides.position, tides.depth), (InsertPosition::AtDepth, 3));
    assert_eq!(tides.secondary, ["boat", "rowing"]);
    assert_eq!(book.entries[1].position, InsertPosition::After);
    let written = lorebook::v3(&book);
    holds(&written, &value(LOREBOOK), "");
    // A format without decorators keeps their meaning but not their text.
    let tavern = lorebook::tavern(&book);
    let row = &tavern["entries"]["0"];
    assert_eq!((&row["position"], &row["depth"]), (&json!(4), &json!(3)));
    assert_eq!(row["content"], "The tide turns at noon.");
    assert_eq!(tavern["entries"]["1"]["key"][0], "/whales?/i");
    assert_eq!(row["priority"], 9, "what the form does not know is kept");
}

#[test]
fn every_form_goes_into_every_other_and_keeps_its_rules() {
    for bytes in [WORLDINFO, LOREBOOK, AGNAI] {
        let book = book(bytes);
        for written in [lorebook::tavern(&book), lorebook::v3(&book)] {
            let again = parse_file(serde_json::to_vec(&written).unwrap(), &book.name).unwrap();
            let again = match again.content {
                Import::Book(again) => again,
                other => panic!("{other:?}"),
            };
            assert_eq!(again.entries.len(), book.entries.len());
            for (a, b) in again.entries.iter().zip(&book.entries) {
                assert_eq!((&a.content, &a.name), (&b.content, &b.name));
                assert_eq!((a.position, a.depth), (b.position, b.depth));
                assert_eq!((a.logic, &a.secondary), (b.logic, &b.secondary));
                assert_eq!((a.enabled, a.constant), (b.enabled, b.constant));
                assert_eq!(
                    (a.sticky, a.cooldown, a.delay),
                    (b.sticky, b.cooldown, b.delay)
                );
                assert_eq!((a.probability, &a.group), (b.probability, &b.group));
            }
        }
    }
}

#[test]
fn cards_of_others_tools_are_read() {
    for bytes in [AICHAR, AICHAR_PNG, TAVERN_CARD, MARA, MARA_V3, CHARX] {
        let Import::Card { card, .. } = parsed(bytes) else {
            panic!("no card");
        };
        assert_eq!(card.line("name"), "Mara");
        assert!(card.memory().contains("keeps the lighthouse"));
        assert!(card.greetings()[0].contains("You rowed here?"));
    }
}

#[test]
fn a_card_comes_back_whole_in_each_kind_of_file() {
    for (bytes, original) in [(MARA, MARA), (MARA_V3, MARA_V3), (CHARX, MARA_V3)] {
        let story = story(bytes);
        assert_eq!(story.frame().enabled_books().len(), 1);
        let json = exported(&story, ExportFormat::Card, "x.json");
        holds(&value(&json), &value(original), "");
        let picture = exported(&story, ExportFormat::Card, "x.png");
        let inside = png::extract(&picture).unwrap().cards.remove(0).unwrap();
        assert_eq!(
            value(&inside)["spec"],
            "chara_card_v3",
            "the newer one is preferred"
        );
        let data = &value(&inside)["data"];
        for key in ["extensions", "alternate_greetings", "tags", "creator_notes"] {
            assert_eq!(data[key], value(original)["data"][key]);
        }
        let archive = exported(&story, ExportFormat::Card, "x.charx");
        assert!(matches!(parsed(&archive), Import::Card { .. }));
    }
}

#[test]
fn a_cards_lore_is_read_as_its_extensions_say() {
    let story = story(MARA);
    let book = story.frame().enabled_books()[0];
    let lamp = &book.entries[0];
    assert_eq!((lamp.position, lamp.depth), (InsertPosition::AtDepth, 2));
    assert_eq!((lamp.probability, lamp.secondary.len()), (80.0, 1));
    assert_eq!(story.path()[0].author, Author::Model);
    assert_eq!(story.versions(0).len(), 3);
}

#[test]
fn a_kobold_story_is_a_tree_and_comes_back() {
    let story = story(KOBOLD);
    let text: String = story.path().iter().map(|passage| passage.text).collect();
    assert_eq!(
        text,
        "The keeper climbed the stairs. The lamp was out.\n> light the lamp\nIt caught. "
    );
    assert_eq!((story.roots().len(), story.marks().len()), (2, 3));
    assert_eq!(story.frame().note.text, "It rains.");
    let book = story.frame().enabled_books()[0];
    assert_eq!(book.entries[0].keys, ["lamp", "lantern"]);
    assert_eq!(
        (book.entries[0].probability, book.entries[1].enabled),
        (90.0, false)
    );
    assert_eq!(book.entries[1].logic, KeyLogic::NotAny);
    let written = value(&exported(&story, ExportFormat::Kobold, "x.json"));
    let mut original = value(KOBOLD);
    let fields = original.as_object_mut().unwrap();
    // Settings are never imported, and KoboldAI's alternative answers are branches.
    fields.retain(|key, _| !key.starts_with("saved") && key != "my_future_token");
    let branches = fields.remove("altbranches").unwrap();
    fields.remove("actions_metadata");
    holds(&written, &original, "");
    let ours = written["altbranches"].as_array().unwrap();
    for branch in branches.as_array().unwrap() {
        assert!(ours.contains(branch), "{branch}");
    }
    assert!(ours.iter().any(|branch| branch[2] == "\n> shout\n"));
    assert_eq!(ours.len(), 4);
    let again = serde_json::to_vec(&written).unwrap();
    assert_eq!(tale(&again).nodes.len(), story.nodes().len());
}

#[test]
fn a_chat_is_a_tree_of_swipes_and_comes_back() {
    let story = story(CHAT);
    assert_eq!(story.versions(1), [0, 1]);
    let said: Vec<&str> = story.path().iter().map(|passage| passage.text).collect();
    assert_eq!(
        said,
        ["\"You rowed here?\"", "I did.", "", "She lifts the lamp."]
    );
    let written = exported(&story, ExportFormat::Tavern, "x.jsonl");
    let lines = |bytes: &[u8]| -> Vec<Value> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let (ours, original) = (lines(&written), lines(CHAT));
    assert_eq!(ours.len(), original.len());
    for (n, (ours, original)) in ours.iter().zip(&original).enumerate() {
        holds(ours, original, &format!("line {}", n + 1));
    }
}

#[test]
fn plain_words_are_words() {
    assert_eq!(
        parsed(b"Once.\r\nTwice.\n"),
        Import::Text("Once.\nTwice.".to_string())
    );
    assert_eq!(
        parsed(b"[He left.]"),
        Import::Text("[He left.]".to_string())
    );
    assert_eq!(
        parsed("\u{feff}Once \u{1b}[2J".as_bytes()),
        Import::Text("Once ␛[2J".to_string())
    );
}

#[test]
fn what_cannot_be_used_gives_a_sentence() {
    let deep = format!("{{\"entries\":{}", "[".repeat(100_000));
    let cases: [(&[u8], &str); 9] = [
        (b"", "is empty"),
        (b" \n ", "is empty"),
        (b"\xff\xfe\x00", "damaged UTF-16"),
        (b"{\"name\": ", "not valid JSON"),
        (b"{\"a\": 1}", "not a character card"),
        (deep.as_bytes(), "not valid JSON"),
        (&TAVERN_CARD[..100], "damaged"),
        (&CHARX[..200], "damaged"),
        (
            b"{\"user_name\":1,\"character_name\":2}\n{\"name\":1}",
            "line 2",
        ),
    ];
    for (bytes, part) in cases {
        let said = parse_file(bytes.to_vec(), "x").unwrap_err().to_string();
        assert!(said.contains(part) && !said.contains('\n'), "{said}");
    }
    let large = vec![b' '; LARGEST_JSON + 1];
    let large = [b"{".to_vec(), large].concat();
    assert!(matches!(parse_file(large, "x"), Err(ImportError::Large)));
}

#[test]
fn lore_that_names_itself_and_patterns_that_never_end_do_not_hang() {
    let key = "/(a+)+(b+)+(a|aa)+$/";
    let entries: Vec<Value> = (0..50)
        .map(|n| {
            let next = (n + 1) % 50;
            json!({"keys": [format!("k{n}x"), key], "content": format!("k{next}x k{n}x"),
                "extensions": {}, "enabled": true, "insertion_order": 1, "use_regex": false})
        })
        .collect();
    let file = json!({"spec": "lorebook_v3", "data": {"recursive_scanning": true,
        "extensions": {}, "entries": entries}});
    let book = book(&serde_json::to_vec(&file).unwrap());
    let text = format!("{}! k0x", "a".repeat(50_000));
    let past = ScanInput {
        passages: &[&text],
        fired: &[],
        seed: 1,
        macros: None,
    };
    let scanned = scan(&[&book], &|_, _| false, &past);
    assert_eq!(scanned.active.len(), 50);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_in_one_sentence(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        at in 0usize..2000,
        flip in any::<u8>(),
    ) {
        let said = |bytes: Vec<u8>| parse_file(bytes, "x").err().map(|error| error.to_string());
        prop_assert!(!said(bytes).is_some_and(|said| said.contains('\n')));
        for whole in [WORLDINFO, LOREBOOK, KOBOLD, CHAT, MARA, CHARX, TAVERN_CARD] {
            let mut broken = whole.to_vec();
            let at = at % broken.len();
            broken[at] = flip;
            prop_assert!(!said(broken).is_some_and(|said| said.contains('\n')));
        }
    }
}

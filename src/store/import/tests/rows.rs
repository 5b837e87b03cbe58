//! Tests that an unusable row is named in a notice and does not affect the other rows.

use super::*;
use crate::store::lorebook::LEFT_OUT;

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn contents(book: &Lorebook) -> Vec<&str> {
    book.entries
        .iter()
        .map(|entry| entry.content.as_str())
        .collect()
}

#[test]
fn holes_in_a_lorebook_are_left_out_named_and_put_back() {
    let good = |key: &str| json!({"uid": 3, "key": [key], "content": format!("The {key}.")});
    let file = json!({"entries": {"3": good("oar"), "4": null, "5": {"key": ["rope"]},
        "6": "words", "9": good("keel")}});
    let read = book(&bytes(&file));
    assert_eq!(contents(&read), ["The oar.", "The keel."]);
    assert_ne!(read.entries[0].uid, read.entries[1].uid);
    let said = notices(&bytes(&file));
    assert!(
        said.contains("left out 3 lore entries (\"4\" is null, \"5\" has no text"),
        "{said}"
    );
    let written = lorebook::tavern(&read);
    assert_eq!(written["entries"]["5"], json!({"key": ["rope"]}));
    assert!(written["entries"]["4"].is_null() && written.get(LEFT_OUT).is_none());
    let list = json!({"entries": [{"keys": ["oar"], "content": "A."}, null, 7,
        {"keys": ["keel", 12], "content": "B.", "extensions": null, "position": null}]});
    let read = book(&bytes(&list));
    assert_eq!(contents(&read), ["A.", "B."]);
    assert_eq!(read.entries[1].keys, ["keel", "12"]);
    let card = lorebook::of_card(&read, lorebook::LoreFormat::V2);
    assert_eq!(card["entries"][1], Value::Null);
    assert_eq!(card["entries"][3]["content"], "B.");
}

#[test]
fn a_book_without_one_usable_entry_is_refused_and_not_emptied() {
    assert!(refusal(br#"{"entries": [null, {"keys": ["a"]}]}"#).contains("number 1 is null"));
    assert!(
        refusal(br#"{"entries": [{"date": "1851", "weather": "fair"}]}"#).contains("has no text")
    );
}

#[test]
fn rows_of_several_forms_keep_their_keys() {
    let mixed = json!({"entries": [
        {"uid": 0, "key": ["oar"], "content": "A."},
        {"keys": ["keel"], "content": "B.", "insertion_order": 5, "from_elsewhere": 1},
        {"keywords": ["mast"], "entry": "C.", "weight": 2},
        {"key": "sail, sheet", "secondkey": "", "content": "D.", "insertorder": 3}]});
    let read = book(&bytes(&mixed));
    let keys: Vec<&str> = read
        .entries
        .iter()
        .map(|entry| entry.keys[0].as_str())
        .collect();
    assert_eq!(keys, ["oar", "keel", "mast", "sail"]);
    let written = lorebook::tavern(&read);
    let again = book(&bytes(&written));
    assert_eq!(contents(&again), ["A.", "B.", "C.", "D."]);
    assert_eq!(again.entries[1].keys, ["keel"]);
    assert!(!bytes(&written).windows(12).any(|it| it == b"illumine_for"));
}

#[test]
fn lists_and_objects_stand_for_each_other() {
    let entry = json!({"keys": ["oar"], "content": "A.", "enabled": true});
    for book in [
        json!({"entries": {"7": entry}}),
        json!({"entries": [entry]}),
        json!([entry]),
    ] {
        let card = json!({"spec": "chara_card_v2", "data": {"name": "Ida", "description": "Rows.",
            "alternate_greetings": null, "tags": null, "extensions": null, "mes_example": null,
            "character_book": book}});
        let Import::Card { card, book, .. } = parsed(&bytes(&card)) else {
            panic!("no card");
        };
        assert_eq!(contents(&book.unwrap()), ["A."]);
        assert_eq!(card.memory(), "Rows.");
    }
    let nothing = json!({"spec": "chara_card_v3",
        "data": {"name": "Ida", "description": "Rows.", "character_book": null}});
    let story = story(&bytes(&nothing));
    let out = value(&exported(&story, ExportFormat::Card, "x.json"));
    assert!(
        out["data"]
            .as_object()
            .unwrap()
            .contains_key("character_book")
    );
}

#[test]
fn a_kobold_story_loses_only_the_rows_that_are_none() {
    let file = json!({"prompt": null, "actions": ["One. ", null, 4, "Two."], "memory": null,
        "worldinfo": [{"key": "oar", "content": "A."}, {"key": null, "content": ""},
            {"key": "keel"}, {"key": ["mast", "sail"], "content": "D."}]});
    let read = tale(&bytes(&file));
    let text: Vec<&str> = read.nodes.iter().map(|node| node.text.as_str()).collect();
    assert_eq!(text, ["One. ", "Two."]);
    let book = read.book.unwrap();
    assert_eq!(contents(&book), ["A.", "D."]);
    assert_eq!(book.entries[1].keys, ["mast", "sail"]);
    let said = notices(&bytes(&file));
    assert!(
        said.contains("2 lore entries") && said.contains("2 passages"),
        "{said}"
    );
    let story = story(&bytes(&file));
    let out = value(&exported(&story, ExportFormat::Kobold, "x.json"));
    assert_eq!(out["worldinfo"][2], json!({"key": "keel"}));
    assert_eq!(out["worldinfo"].as_array().unwrap().len(), 4);
}

#[test]
fn what_sillytavern_leaves_to_its_settings_is_as_it_is_installed() {
    let file = json!({"entries": {"0": {"uid": 0, "key": ["Ida"], "content": "Fears Tove.",
            "matchWholeWords": null, "caseSensitive": null, "scanDepth": null},
        "1": {"uid": 1, "key": ["Tove"], "content": "T.", "matchWholeWords": false}}});
    let read = book(&bytes(&file));
    assert_eq!((read.recursive, read.scan_depth), (true, Some(2)));
    assert_eq!(read.entries[0].whole_words, Some(true));
    assert_eq!(read.entries[1].whole_words, Some(false));
    let written = lorebook::tavern(&read);
    assert_eq!(written["entries"]["0"]["matchWholeWords"], Value::Null);
    let other = book(br#"{"entries": [{"keys": ["a"], "content": "b", "extensions": {}}]}"#);
    assert_eq!(
        (other.recursive, other.entries[0].whole_words),
        (false, None)
    );
    let tavern = json!({"keys": ["a"], "content": "b", "extensions": {"match_whole_words": null}});
    let read = book(&bytes(&json!({"entries": [tavern]})));
    assert_eq!(
        (read.recursive, read.entries[0].whole_words),
        (true, Some(true))
    );
}

#[test]
fn keys_that_cannot_be_looked_for_are_named() {
    let file =
        json!({"entries": [{"keys": ["/(oar/", "/keel/gx", "/ma(?=st)/"], "content": "A."}]});
    let said = notices(&bytes(&file));
    assert!(said.contains("/(oar/ is not a valid regex"), "{said}");
    assert!(
        said.contains("/keel/gx is matched as words") && !said.contains("st)"),
        "{said}"
    );
}

/// A lore entry as SillyTavern writes it into a card.
fn of_sillytavern(key: &str, whole: Value) -> Value {
    json!({"id": 4, "keys": [key], "secondary_keys": [], "comment": "", "content": format!("{key}."),
        "constant": false, "selective": false, "insertion_order": 10, "enabled": true,
        "position": "before_char", "use_regex": true, "extensions": {"position": 0,
        "exclude_recursion": false, "display_index": 0, "probability": 100, "useProbability": true,
        "depth": 4, "selectiveLogic": 0, "match_whole_words": whole}})
}

#[test]
fn sillytavern_calls_every_key_a_regex_and_means_those_between_slashes() {
    let keys = ["oar", "(keel", "St. Ives", "/ma?st/"];
    let rows: Vec<Value> = keys
        .iter()
        .zip([json!(null), json!(false), json!(true), json!(null)])
        .map(|(key, whole)| of_sillytavern(key, whole))
        .collect();
    for spec in ["chara_card_v3", "chara_card_v2"] {
        let card = json!({"spec": spec, "data": {"name": "Ida", "description": "Rows.",
            "first_mes": "The board, a (keel, StX Ives, a mst.", "extensions": {},
            "character_book": {"entries": rows, "extensions": {}}}});
        assert!(!notices(&bytes(&card)).contains("regex"));
        let story = story(&bytes(&card));
        let past = ScanInput {
            passages: &[story.path()[0].text],
            fired: &[],
            seed: 1,
            macros: None,
        };
        let scanned = scan(&story.frame().enabled_books(), &|_, _| false, &past);
        let mut fired: Vec<&str> = scanned
            .active
            .iter()
            .map(|it| it.entry.content.as_str())
            .collect();
        fired.sort_unstable();
        assert_eq!(fired, ["(keel.", "/ma?st/."]);
        let picture = exported(&story, ExportFormat::Card, "x.png");
        for inside in png::extract(&picture).unwrap().cards {
            let written = value(&inside.unwrap());
            let written = written["data"]["character_book"]["entries"]
                .as_array()
                .unwrap();
            for (row, original) in written.iter().zip(&rows) {
                holds(row, original, spec);
            }
        }
    }
}

#[test]
fn a_regex_of_another_program_stays_one() {
    let row = json!({"keys": ["oars?"], "content": "A.", "enabled": true, "insertion_order": 1,
        "use_regex": true, "extensions": {"match_whole_words": true}});
    let file = json!({"spec": "lorebook_v3", "data": {"entries": [row], "extensions": {}}});
    let read = book(&bytes(&file));
    assert!(read.entries[0].use_regex);
    let older = lorebook::of_card(&read, lorebook::LoreFormat::V2);
    assert_eq!(older["entries"][0]["keys"], json!(["/oars?/i"]));
}

#[test]
fn what_came_in_with_keys_alone_goes_out_and_in_again() {
    for row in [
        json!({"id": "7", "keys": "#[pier]", "entry": "", "hidden": true}),
        json!({"keys": ["pier"], "value": "", "title": "", "type": "place"}),
        json!({"keywords": ["pier"], "entry": "", "name": "", "weight": 1}),
        json!({"displayName": "", "text": "", "keys": ["pier"], "id": "x"}),
    ] {
        let first = book(&bytes(&json!([row])));
        for written in [lorebook::tavern(&first), lorebook::v3(&first)] {
            let again = book(&bytes(&written));
            assert_eq!(again.entries.len(), 1, "{written}");
            assert_eq!(again.entries[0].keys, first.entries[0].keys, "{written}");
        }
    }
}

//! Tests the import of stories and lorebooks from NovelAI, KoboldAI United, AI Dungeon and Risu.

use super::*;

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn told(value: &Value) -> ImportedStory {
    tale(&bytes(value))
}

fn texts(tale: &ImportedStory) -> Vec<(Author, &str)> {
    let nodes = tale.nodes.iter();
    nodes
        .map(|node| (node.author, node.text.as_str()))
        .collect()
}

fn novelai_book() -> Value {
    json!({"lorebookVersion": 6, "settings": {}, "categories": [], "entries": [
        {"text": "Oars are ash.", "displayName": "Oars", "keys": ["oar", "/row(s|ing)/i"],
            "enabled": true, "forceActivation": false, "contextConfig": {"budgetPriority": 7}},
        null,
        {"text": "It is 1851.", "displayName": "Year", "keys": [], "enabled": false,
            "forceActivation": true}]})
}

#[test]
fn novelais_files_are_read() {
    let read = book(&bytes(&novelai_book()));
    let [oars, year] = &read.entries[..] else {
        panic!()
    };
    assert_eq!(
        (oars.name.as_str(), oars.keys.len(), oars.order),
        ("Oars", 2, 7)
    );
    assert!(year.constant && !year.enabled);
    assert!(notices(&bytes(&novelai_book())).contains("number 2 is null"));
    let context = json!([{"text": "An island."},
        {"text": "It rains.", "contextConfig": {"insertionPosition": -3}}]);
    let scenario = json!({"scenarioVersion": 3, "title": "Fog", "prompt": "Fog came.\r\n",
        "context": context, "lorebook": novelai_book()});
    let read = told(&scenario);
    assert_eq!(texts(&read), [(Author::Prompt, "Fog came.\n")]);
    let note = read.note.unwrap();
    assert_eq!(
        (read.memory.as_str(), note.text.as_str(), note.depth),
        ("An island.", "It rains.", 3)
    );
    assert_eq!(read.book.unwrap().entries.len(), 2);
    let story = json!({"storyContainerVersion": 1, "metadata": {"title": "Fog"}, "content": {
        "context": context, "story": {"fragments": [{"data": "Fog came.", "origin": "prompt"},
            {"data": " It stayed.", "origin": "ai"}, {"origin": "ai"},
            {"data": " She rowed.", "origin": "user"}]}}});
    assert_eq!(
        texts(&told(&story)),
        [
            (Author::Prompt, "Fog came."),
            (Author::Model, " It stayed."),
            (Author::User, " She rowed.")
        ]
    );
    let torn = json!({"storyContainerVersion": 1, "content": {"document": "AAAA"}});
    assert!(refusal(&bytes(&torn)).contains("export it in NovelAI as plain text"));
}

#[test]
fn a_story_of_koboldai_united_is_read_in_its_order() {
    let file = json!({"gamestarted": true, "file_version": 2, "prompt": "Fog came.",
        "memory": "An island.", "authornote": "It rains.",
        "actions": {"action_count": 11, "actions": {
            "10": {"Selected Text": " End.", "Options": []},
            "2": {"Selected Text": " Then?"}, "3": {"Options": []},
            "0": {"Selected Text": " It stayed.", "Options": [{"text": " It left.", "Pinned": true}]}}},
        "worldinfo_v2": {"entries": {"0": {"key": ["oar"], "keysecondary": [], "content": "Ash."},
            "1": null}}});
    let read = told(&file);
    let story = story(&bytes(&file));
    let path: String = story.path().iter().map(|passage| passage.text).collect();
    assert_eq!(path, "Fog came. It stayed. Then? End.");
    assert!(
        read.nodes
            .iter()
            .any(|node| node.text == " It left." && node.parent == Some(0))
    );
    assert_eq!(read.note.unwrap().text, "It rains.");
    assert_eq!(read.book.unwrap().entries[0].keys, ["oar"]);
}

#[test]
fn ai_dungeons_exports_are_read() {
    let cards = json!([{"keys": "oar, rowing", "value": "Ash.", "type": "thing", "title": "Oars",
        "useForCharacterCreation": false}, {"keys": "fog"}]);
    let adventure = json!({"title": "Fog", "memory": "An island.", "authorsNote": "It rains.",
        "actions": [{"type": "start", "text": "Fog came."}, {"type": "do", "text": "\n> You row.\n"},
            {"type": "continue", "text": "It lifted."}, null,
            {"type": "continue", "text": "It sank.", "undoneAt": "2024-01-01"}],
        "storyCards": cards});
    let wrapped = json!({"data": {"adventure": adventure}});
    let listed = json!({"stories": [adventure, {"actions": []}]});
    for file in [&adventure, &wrapped, &listed] {
        let read = told(file);
        assert_eq!(
            texts(&read),
            [
                (Author::Prompt, "Fog came."),
                (Author::User, "\n> You row.\n"),
                (Author::Model, "It lifted.")
            ]
        );
        assert_eq!(read.memory, "An island.");
        assert_eq!(read.book.unwrap().entries[0].keys, ["oar", "rowing"]);
        let said = notices(&bytes(file));
        assert!(
            said.contains("number 4 is null") && said.contains("1 action that"),
            "{said}"
        );
    }
    assert!(notices(&bytes(&listed)).contains("1 other adventure"));
    let scenario =
        json!({"title": "Fog", "prompt": "Fog came.", "memory": "", "storyCards": cards});
    assert_eq!(texts(&told(&scenario)), [(Author::Prompt, "Fog came.")]);
    assert_eq!(book(&bytes(&cards)).entries[0].name, "Oars");
    let old = json!({"promptContent": "Fog came.", "memory": "M", "worldInfos":
        [{"keysList": ["oar"], "entry": "Ash."}]});
    assert_eq!(told(&old).book.unwrap().entries[0].keys, ["oar"]);
    let first = json!({"story_start": "Fog came.", "actions": ["row"], "results": ["It lifted."]});
    assert_eq!(
        texts(&told(&first)),
        [
            (Author::Prompt, "Fog came."),
            (Author::User, "\n> row\n"),
            (Author::Model, "It lifted.")
        ]
    );
}

#[test]
fn risus_lorebooks_and_modules_are_read() {
    let rows = json!([
        {"key": "oar, rowing", "secondkey": "boat", "comment": "Oars", "content": "@@depth 2\nAsh.",
            "mode": "normal", "insertorder": 9, "alwaysActive": false, "selective": true},
        {"key": "", "comment": "Things", "content": "", "mode": "folder", "insertorder": 1},
        {"key": "row(s|ing)", "content": "Hard.", "useRegex": true, "insertorder": 2}]);
    let lore = json!({"type": "risu", "ver": 1, "data": rows});
    let module = json!({"type": "risuModule", "module": {"name": "Sea", "lorebook": rows}});
    for (file, name) in [(&lore, "file"), (&module, "Sea")] {
        let read = book(&bytes(file));
        assert_eq!((read.name.as_str(), read.entries.len()), (name, 2));
        let oars = &read.entries[0];
        assert_eq!((oars.keys.len(), oars.order, oars.depth), (2, 9, 2));
        assert!(oars.selective && oars.content == "Ash.");
        assert!(read.entries[1].use_regex);
        assert!(notices(&bytes(file)).contains("is a folder"));
    }
}

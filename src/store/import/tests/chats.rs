//! Tests that imported chats retain their speakers, turns and lines.

use super::*;

fn line(name: &str, user: bool, mes: &str) -> String {
    json!({"name": name, "is_user": user, "is_system": false, "mes": mes}).to_string()
}

fn chat(lines: &[String]) -> Vec<u8> {
    lines.join("\n").into_bytes()
}

fn group() -> Vec<String> {
    vec![
        line("Tove", false, "Who rows?"),
        line("Tove", false, "Speak up."),
        line("Ida", true, "I do."),
        line("Ida", true, "And you?"),
        line("Aksel", false, "Nobody.\r\nNot now."),
    ]
}

#[test]
fn messages_in_a_row_stay_messages_and_names_are_those_of_the_file() {
    let story = story(&chat(&group()));
    let written = |format, file: &str| String::from_utf8(exported(&story, format, file)).unwrap();
    let said = "Tove: Who rows?\n\nTove: Speak up.\n\nIda: I do.\n\nIda: And you?\n\n\
        Aksel: Nobody.\nNot now.\n";
    assert_eq!(written(ExportFormat::Text, "x.txt"), said);
    assert!(written(ExportFormat::Markdown, "x.md").contains(said.trim_end()));
    let html = written(ExportFormat::Html, "x.html");
    assert_eq!(html.matches("class=\"speaker\"").count(), 5);
    assert!(html.contains("Who rows?</span></p>"), "{html}");
    let row = value(written(ExportFormat::Messages, "x.jsonl").as_bytes());
    let messages = row["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 5);
    assert_eq!(messages[4]["content"], "Nobody.\nNot now.");
    let again = written(ExportFormat::Tavern, "x.jsonl");
    assert_eq!(again.lines().count(), 5, "without a header, as it came");
    for (ours, theirs) in again.lines().zip(group()) {
        let (ours, mut theirs) = (value(ours.as_bytes()), value(theirs.as_bytes()));
        theirs["mes"] = json!(theirs["mes"].as_str().unwrap().replace('\r', ""));
        holds(&ours, &theirs, "line");
    }
}

#[test]
fn the_model_reads_a_line_end_between_messages() {
    use story::context::{ContextExtras, build_context};
    let story = story(&chat(&group()));
    let read = |mode| {
        let settings = story::Settings {
            mode,
            ..story::Settings::default()
        };
        let beside = ContextExtras::default();
        build_context(&settings, story.frame(), &story.path(), &beside).text()
    };
    assert!(read(Mode::Chat).contains("Who rows?\nSpeak up."));
    assert!(read(Mode::Chat).contains("I do.\nAnd you?"));
    assert!(read(Mode::Prose).contains("Who rows?\n\nSpeak up.\n\nI do.\n\nAnd you?"));
}

#[test]
fn an_edit_leaves_the_other_speakers_their_names() {
    let mut story = story(&chat(&group()));
    let path = story.path();
    let plan = story::edit::replace_text(&story, &path, 0..1, "Who sails?").unwrap();
    let mut records: Vec<story::Record> = plan.nodes.into_iter().map(story::Record::Node).collect();
    records.push(story::Record::Head(story::record::HeadMove {
        to: plan.head,
        why: story::record::StepKind::Edit,
    }));
    for record in records {
        story.apply(&record).unwrap();
    }
    let text = String::from_utf8(exported(&story, ExportFormat::Text, "x.txt")).unwrap();
    assert!(
        text.starts_with("Tove: Who sails?\n\nTove: Speak up."),
        "{text}"
    );
    assert!(text.contains("Aksel: Nobody."));
}

#[test]
fn what_a_crash_tore_is_left_out_and_named() {
    let header = r#"{"user_name":"Ida","character_name":"Tove","chat_metadata":{}}"#.to_string();
    let mut lines = group();
    lines.insert(0, header);
    lines[3] = "null".to_string();
    lines[4] = "\0\0\0\0".to_string();
    lines.push(r#"{"name":"Tove","is_user":false,"mes":"I nev"#.to_string());
    let said = notices(&chat(&lines));
    assert!(
        said.contains(
            "left out 3 lines (line 4 is null, line 5 contains only zeros, line 7 is cut off)"
        ),
        "{said}"
    );
    let read = tale(&chat(&lines));
    assert_eq!((read.nodes.len(), read.mode), (3, Mode::Chat));
    assert!(
        refusal(b"{\"user_name\":\"a\",\"character_name\":\"b\"}\n{\"mes\": \"")
            .contains("line 2 is cut off")
    );
}

#[test]
fn swipes_that_are_none_cost_no_other_and_keep_their_order() {
    let row = json!({"name": "Tove", "is_user": false, "mes": "Third.", "swipe_id": 3,
        "swipes": ["First.", null, 7, "Third."], "swipe_info": [{"n": 0}, {}, {}, {"n": 3}]});
    let file = chat(&[row.to_string()]);
    let read = tale(&file);
    let texts: Vec<&str> = read.nodes.iter().map(|node| node.text.as_str()).collect();
    assert_eq!((texts, read.head), (vec!["First.", "Third."], Some(1)));
    assert_eq!(read.nodes[1].extra.as_ref().unwrap()["swipe_info"]["n"], 3);
    assert!(notices(&file).contains("left out 2 swipes (number 2 of line 1"));
}

#[test]
fn a_list_of_messages_is_a_chat() {
    let list = json!([{"name": "Ida", "is_user": true, "mes": "Hm."}, null]);
    let file = serde_json::to_vec(&list).unwrap();
    assert_eq!(tale(&file).nodes[0].author, Author::User);
    assert!(notices(&file).contains("number 2 is null"));
}

#[test]
fn kobolds_marks_become_turns_and_come_back() {
    let file = json!({"gamestarted": true, "prompt": "\n{{[INPUT]}}\nName a tree.\n{{[OUTPUT]}}\n",
        "actions": ["Oak.", "\n{{[INPUT]}}\nAnother.\n{{[OUTPUT]}}\n", "Elm.\n"],
        "savedsettings": {"opmode": 4, "my_api_key": "SECRET"}});
    let bytes = serde_json::to_vec(&file).unwrap();
    let story = story(&bytes);
    let text = String::from_utf8(exported(&story, ExportFormat::Text, "x.txt")).unwrap();
    assert_eq!(
        text,
        "You: Name a tree.\n\nSkarn: Oak.\n\nYou: Another.\n\nSkarn: Elm.\n"
    );
    let out = value(&exported(&story, ExportFormat::Kobold, "x.json"));
    assert_eq!(
        (&out["prompt"], &out["actions"]),
        (&file["prompt"], &file["actions"])
    );
    assert_eq!(out["savedsettings"], json!({"opmode": 4}));
}

#[test]
fn the_lines_of_a_kobold_chat_are_its_speakers() {
    let file = json!({"prompt": "\nIda: Ship ahoy.\nTove: Where?", "actions": ["\nIda: There.\nTove:",
        " Ah.", "\nAksel: Fog."], "savedsettings":
        {"opmode": 3, "chatname": "Ida", "chatopponent": "Tove||$||Aksel"}});
    let bytes = serde_json::to_vec(&file).unwrap();
    let story = story(&bytes);
    let row = value(&exported(&story, ExportFormat::Messages, "x.jsonl"));
    let roles: Vec<&str> = row["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["role"].as_str().unwrap())
        .collect();
    assert_eq!(
        roles,
        ["user", "assistant", "user", "assistant", "assistant"]
    );
    let text = String::from_utf8(exported(&story, ExportFormat::Text, "x.txt")).unwrap();
    assert!(
        text.ends_with("Ida: There.\n\nTove: Ah.\n\nAksel: Fog.\n"),
        "{text}"
    );
    let out = value(&exported(&story, ExportFormat::Kobold, "x.json"));
    assert_eq!(
        (&out["prompt"], &out["actions"]),
        (&file["prompt"], &file["actions"])
    );
    let again = serde_json::to_vec(&out).unwrap();
    assert_eq!(tale(&again).nodes.len(), story.nodes().len());
}

/// Imports a chat with one message. Returns all versions of the message, the version shown, and the
/// notices.
fn versions(row: &Value) -> (Vec<String>, String, String) {
    let file = chat(&[row.to_string()]);
    let read = tale(&file);
    let shown = read.nodes[read.head.unwrap() as usize].text.clone();
    let texts = read.nodes.into_iter().map(|node| node.text).collect();
    (texts, shown, notices(&file))
}

#[test]
fn a_text_that_is_not_its_swipe_costs_no_swipe() {
    let row = |mes: &str, number: Value| {
        json!({"name": "Tove", "is_user": false, "mes": mes, "swipe_id": number,
            "swipes": ["Ash.", "Elm.", "Ash."], "swipe_info": [{"n": 0}, {"n": 1}, {"n": 2}]})
    };
    for (mes, number, all, said) in [
        ("Ash.", json!(2), vec!["Ash.", "Elm.", "Ash."], ""),
        (
            "Oak.",
            json!(1),
            vec!["Ash.", "Oak.", "Elm.", "Ash."],
            "edited text of 1 message",
        ),
        (
            "Oak.",
            json!(9),
            vec!["Ash.", "Elm.", "Ash.", "Oak."],
            "missing swipe",
        ),
        (
            "Oak.",
            json!(-1),
            vec!["Ash.", "Elm.", "Ash.", "Oak."],
            "missing swipe",
        ),
        (
            "Elm.",
            json!(3),
            vec!["Ash.", "Elm.", "Ash."],
            "missing swipe",
        ),
    ] {
        let row = row(mes, number);
        let (texts, shown, notices) = versions(&row);
        assert_eq!(
            (texts, shown.as_str()),
            (all.iter().map(ToString::to_string).collect(), mes)
        );
        assert!(
            notices.contains(said) && (said.is_empty() == notices.is_empty()),
            "{notices}"
        );
        let written = exported(
            &story(&chat(&[row.to_string()])),
            ExportFormat::Tavern,
            "x.jsonl",
        );
        let written = value(&written);
        let chosen = written["swipe_id"].as_u64().unwrap() as usize;
        assert_eq!(written["swipes"], json!(all));
        assert_eq!(
            (&written["mes"], &written["swipes"][chosen]),
            (&json!(mes), &json!(mes))
        );
        assert_eq!(written["swipe_info"].as_array().unwrap().len(), all.len());
        assert_eq!(versions(&written).1, mes);
    }
}

#[test]
fn messages_hidden_from_the_model_are_counted() {
    let mut lines = group();
    for text in ["Aside.", "Note."] {
        lines.push(
            json!({"name": "Ida", "is_user": true, "is_system": true, "mes": text}).to_string(),
        );
    }
    assert!(notices(&chat(&lines)).contains("kept 2 messages hidden from the model"));
    let out = exported(&story(&chat(&lines)), ExportFormat::Tavern, "x.jsonl");
    let out = String::from_utf8(out).unwrap();
    assert_eq!(out.matches("\"is_system\":true").count(), 2);
}

fn agnai(messages: Value) -> Vec<u8> {
    let file = json!({"name": "Exported", "greeting": "Hm.", "sampleChat": "Ida: Hm.",
        "scenario": "A quay.", "treeLeafId": "aaaabbbb-2", "messages": messages});
    serde_json::to_vec(&file).unwrap()
}

#[test]
fn a_chat_of_agnai_keeps_its_speakers_versions_and_branches() {
    let says = |id: &str, parent: Option<&str>, user: bool, msg: &str| {
        json!({"_id": id, "parent": parent, "handle": if user { "Ida" } else { "Tove" }, "msg": msg,
            "characterId": if user { Value::Null } else { json!("imported") },
            "userId": if user { json!("u") } else { Value::Null }})
    };
    let mut first = says("aaaa0001", None, false, "Who rows?");
    first["retries"] = json!(["Who sails?"]);
    let mut aside = says("aaaa0003", Some("aaaa0002"), true, "(Back soon.)");
    aside["ooc"] = json!(true);
    let bytes = agnai(json!([
        first,
        says("aaaa0002", Some("aaaa0001"), true, "I do."),
        aside,
        says("aaaabbbb", Some("aaaa0003"), false, "Row on."),
        null,
        says("aaaa0009", Some("aaaa0002"), false, "Then row.")
    ]));
    let story = story(&bytes);
    assert_eq!(story.versions(0).len(), 2);
    assert_eq!(story.frame().memory, "Scenario: A quay.\n\nIda: Hm.");
    let text = String::from_utf8(exported(&story, ExportFormat::Text, "x.txt")).unwrap();
    assert_eq!(
        text, "Tove: Who rows?\n\nIda: I do.\n\nTove: Row on.\n",
        "the leaf is shown"
    );
    let said = notices(&bytes);
    assert!(
        said.contains("number 5 is not a message") && said.contains("1 message out of character")
    );
    let short = json!({"messages": [{"handle": "Tove", "characterId": "x", "msg": "Who rows?"},
        {"handle": "You", "msg": "I do."}]});
    let read = tale(&serde_json::to_vec(&short).unwrap());
    let authors: Vec<Author> = read.nodes.iter().map(|node| node.author).collect();
    assert_eq!(
        (authors, read.mode),
        (vec![Author::Model, Author::User], Mode::Chat)
    );
    assert!(tale(&agnai(json!([]))).nodes.is_empty());
}

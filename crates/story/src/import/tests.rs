//! Tests of the changes that an import makes to a session.

use super::*;
use serde_json::json;

fn taken(story: &mut Story, import: Import) -> Result<ImportResult, ImportRefused> {
    let session = ImportTarget {
        story,
        mode: Mode::Prose,
        user: Some("Jon"),
        file: None,
    };
    let made = import_records(import, session)?;
    for record in &made.records {
        story.apply(record).unwrap();
    }
    Ok(made)
}

#[test]
fn a_long_text_comes_in_passages_and_says_the_same() {
    let paragraph = "The river rose in the night, and nobody heard it. ".repeat(10);
    let text = format!("{paragraph}\n\n").repeat(9);
    let found = split_passages(&text);
    assert_eq!(found.concat(), text);
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|piece| piece.ends_with("\n\n")));
    assert_eq!(split_passages("One line."), ["One line."]);
    assert_eq!(split_passages(&paragraph.repeat(9)).len(), 1);
}

fn card() -> Import {
    let data = json!({"name": "Mara", "description": "{{char}} keeps a lamp for {{user}}.",
        "first_mes": "\"{{user}}?\"", "alternate_greetings": ["\"Who goes?\"", ""],
        "system_prompt": "{{original}} Be brief.", "post_history_instructions": "It rains.",
        "creator_notes": "For winter."});
    let Value::Object(file) = json!({"spec": "chara_card_v2", "data": data}) else {
        unreachable!()
    };
    let (card, _) = Card::from_json(file).unwrap();
    let book = Some(Lorebook {
        name: "Mara".to_string(),
        ..Lorebook::default()
    });
    let card = Box::new(card);
    Import::Card {
        card,
        book,
        file: None,
    }
}

#[test]
fn a_card_sets_the_scene_and_one_undo_takes_it_back() {
    let mut story = Story::default();
    let made = taken(&mut story, card()).unwrap();
    assert!(made.said.contains("For winter."), "{}", made.said);
    let frame = story.frame();
    assert_eq!(frame.memory, "Mara keeps a lamp for Jon.");
    assert_eq!(frame.voice.as_ref().unwrap().text, "Be brief.");
    assert_eq!(
        (frame.note.text.as_str(), frame.note.depth),
        ("It rains.", 1)
    );
    assert_eq!(frame.enabled_books().len(), 1);
    assert_eq!(story.path()[0].text, "\"Jon?\"");
    assert_eq!(story.versions(0), [0, 1]);
    let undo = super::super::record::StepCount { steps: 1 };
    story.apply(&Record::Undo(undo)).unwrap();
    let frame = story.frame();
    assert!(story.path().is_empty() && frame.memory.is_empty() && frame.character.is_none());
    assert!(frame.enabled_books().is_empty());
}

#[test]
fn a_story_goes_into_an_empty_session_alone() {
    let mut story = Story::default();
    taken(&mut story, Import::Text("Once.".to_string())).unwrap();
    assert_eq!(story.path()[0].author, Author::Prompt);
    let tale = Import::Story(Box::default());
    assert!(taken(&mut story, tale).unwrap_err().0.contains("/new"));
    taken(&mut story, card()).unwrap();
    assert_eq!(story.path().len(), 1, "the story had begun");
}

#[test]
fn what_came_with_a_story_is_said_and_nothing_is_no_story() {
    let said = |tale: ImportedStory| {
        let made = taken(&mut Story::default(), Import::Story(Box::new(tale)));
        made.map(|made| made.said).map_err(|refused| refused.0)
    };
    let bare = ImportedStory::default();
    assert!(said(bare).unwrap_err().contains("no story text"));
    let mut tale = ImportedStory {
        memory: "A quay.".to_string(),
        note: Some(Note {
            text: "Fog.".to_string(),
            depth: 3,
        }),
        book: Some(Lorebook {
            entries: vec![crate::lore::LoreEntry::default()],
            ..Lorebook::default()
        }),
        ..ImportedStory::default()
    };
    let brought = "it came with its memory, its author's note, a lorebook with 1 entry";
    let without = said(tale.clone()).unwrap();
    assert_eq!(
        without,
        format!("The file contains no story text; {brought}")
    );
    tale.nodes.push(Node {
        text: "Once.".to_string(),
        ..Node::default()
    });
    tale.head = Some(0);
    let with = said(tale).unwrap();
    assert!(with.starts_with("Imported the story: 1 passage") && with.ends_with(brought));
}

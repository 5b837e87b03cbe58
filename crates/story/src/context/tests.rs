use super::build::{ContextExtras, build_context};
use super::*;
use crate::frame::Note;
use crate::{Mode, Node, Provenance, Record, Settings, Status};

fn story(passages: &[(Author, &str, bool)]) -> Story {
    let mut story = Story::default();
    for (author, text, turn) in passages {
        let id = story.next_id();
        let node = Node {
            id,
            parent: story.head(),
            author: *author,
            text: text.to_string(),
            turn: *turn,
            status: Status::Whole,
            provenance: (*author == Author::Model).then(Provenance::default),
            ..Node::default()
        };
        story.apply(&Record::Node(node)).unwrap();
        let why = crate::record::StepKind::Write;
        let to = Some(id);
        story
            .apply(&Record::Head(crate::record::HeadMove { to, why }))
            .unwrap();
    }
    story
}

#[test]
fn prose_is_the_story_itself() {
    let story = story(&[
        (Author::User, "Once", false),
        (Author::Model, " upon", false),
    ]);
    let context = plain(&Settings::default(), &story);
    assert_eq!(context.text(), "Once upon");
}

#[test]
fn chat_turns_read_as_prose_stand_apart() {
    let story = story(&[(Author::User, "Hello", true), (Author::Model, "Hi.", true)]);
    let context = plain(&Settings::default(), &story);
    assert_eq!(context.text(), "Hello\n\nHi.");
}

#[test]
fn two_passages_of_the_model_are_one_open_message() {
    let story = story(&[
        (Author::User, "Hello", true),
        (Author::Model, "Hi", true),
        (Author::Model, " there", true),
    ]);
    let settings = Settings {
        mode: Mode::Chat,
        system: "Be brief.".to_string(),
        ..Settings::default()
    };
    let Context::Chat { messages, open } = plain(&settings, &story) else {
        panic!("a chat context")
    };
    assert!(open);
    let texts: Vec<String> = messages.iter().map(Message::text).collect();
    assert_eq!(texts, ["Be brief.", "Hello", "Hi there"]);
}

#[test]
fn a_typed_line_joins_with_one_space_where_one_is_missing() {
    let ended = story(&[(Author::Model, "The end.", false)]);
    assert_eq!(separator_before(&ended, "Then"), " ");
    assert_eq!(separator_before(&ended, "\n\nThen"), "");
    assert_eq!(separator_before(&ended, ", or so"), "");
    let open = story(&[(Author::Model, "The end.\n", false)]);
    assert_eq!(separator_before(&open, "Then"), "");
    assert_eq!(separator_before(&Story::default(), "Then"), "");
    let chinese = story(&[(Author::Model, "他来了。", false)]);
    assert_eq!(separator_before(&chinese, "她笑了。"), "");
    assert_eq!(separator_before(&ended, "，她笑了"), "");
    let hindi = story(&[(Author::Model, "वह आया", false)]);
    assert_eq!(separator_before(&hindi, "।"), "");
    assert_eq!(separator_before(&hindi, "और"), " ");
}

fn plain(settings: &Settings, story: &Story) -> Context {
    build_context(
        settings,
        story.frame(),
        &story.path(),
        &ContextExtras::default(),
    )
}

fn with_note(paragraphs: usize, depth: usize) -> String {
    let text: String = (0..paragraphs).map(|n| format!("P{n}.\n")).collect();
    let story = story(&[(Author::User, &text, false)]);
    let mut frame = story.frame().clone();
    frame.note = Note {
        text: "rain".to_string(),
        depth,
    };
    build_context(
        &Settings::default(),
        &frame,
        &story.path(),
        &ContextExtras::default(),
    )
    .text()
}

#[test]
fn the_note_stands_so_many_paragraphs_before_the_end_and_stays_there() {
    let after = |text: &str| text.split("rain]\n").nth(1).unwrap().lines().count();
    for paragraphs in 1..40 {
        let text = with_note(paragraphs, 3);
        assert_eq!(text.matches("[Author's note: rain]\n").count(), 1);
        let after = after(&text);
        assert!(
            after >= 3.min(paragraphs) && after <= 3 + 4,
            "{paragraphs}: {after}"
        );
    }
    let place = |text: &str| text.find('[').unwrap();
    assert_eq!(place(&with_note(12, 4)), place(&with_note(15, 4)));
}

#[test]
fn an_insert_in_the_middle_of_a_passage_keeps_its_tokens() {
    let part = ContextPart {
        text: "a\nb".to_string(),
        ids: vec![1, 2, 3],
        healed: 2,
        ..ContextPart::default()
    };
    let (first, second) = part.split(2);
    assert_eq!(
        (first.text.as_str(), first.skip, first.healed),
        ("a\n", 0, 2)
    );
    assert_eq!(
        (second.text.as_str(), second.skip, second.healed),
        ("b", 4, 0)
    );
    assert_eq!(second.ids, [1, 2, 3]);
}

#[test]
fn in_chat_a_note_stands_in_the_writers_turn() {
    let story = story(&[
        (Author::User, "Hello", true),
        (Author::Model, "Hi.", true),
        (Author::User, "Tell on", true),
    ]);
    let mut frame = story.frame().clone();
    frame.note = Note {
        text: "rain".to_string(),
        depth: 1,
    };
    let settings = Settings {
        mode: Mode::Chat,
        ..Settings::default()
    };
    let context = build_context(&settings, &frame, &story.path(), &ContextExtras::default());
    let Context::Chat { messages, .. } = context else {
        panic!("a chat")
    };
    assert_eq!(messages[0].text(), "[Author's note: rain]\n\nHello");
}

#[test]
fn messages_of_one_side_in_a_row_are_parted_by_a_line_end() {
    let story = story(&[
        (Author::User, "Hello.", true),
        (Author::User, "Is anybody there?\n", true),
        (Author::User, "No?", true),
    ]);
    let settings = Settings {
        mode: Mode::Chat,
        ..Settings::default()
    };
    let Context::Chat { messages, .. } = plain(&settings, &story) else {
        panic!("a chat context")
    };
    assert_eq!(messages[0].text(), "Hello.\nIs anybody there?\nNo?");
}

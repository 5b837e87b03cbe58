//! Tests the page: an incremental layout must equal a full layout.

use crate::tui::page::Page;
use crate::tui::spans::TextRole;
use proptest::prelude::*;
use story::record::{
    Change, HeadMove, PassageEnd, Record, Step, StepCount, StepKind, StreamedText,
};
use story::{Author, Node, NodeId, Picture, Status, Story};

fn apply(story: &mut Story, record: Record) {
    story.apply(&record).unwrap();
}

fn add(story: &mut Story, author: Author, text: &str, turn: bool) -> NodeId {
    let (id, parent) = (story.next_id(), story.head());
    let status = if author == Author::Model {
        Status::Running
    } else {
        Status::Whole
    };
    let node = Node {
        id,
        parent,
        author,
        turn,
        status,
        text: text.to_string(),
        ..Node::default()
    };
    apply(story, Record::Node(node));
    apply(
        story,
        Record::Head(HeadMove {
            to: Some(id),
            why: StepKind::Write,
        }),
    );
    id
}

fn say(story: &mut Story, node: NodeId, text: &str) {
    apply(
        story,
        Record::Text(StreamedText {
            node,
            text: text.to_string(),
            ..StreamedText::default()
        }),
    );
}

fn end(story: &mut Story, node: NodeId, status: Status) {
    apply(
        story,
        Record::End(PassageEnd {
            node,
            status,
            why: None,
            maker: None,
            shared: None,
            rewound: Vec::new(),
        }),
    );
}

/// Adds a picture after the head of the story and shows the picture on the page.
fn draw(story: &mut Story, wide: bool) -> NodeId {
    let (id, parent) = (story.next_id(), story.head());
    let picture = Picture {
        sha256: String::new(),
        width: if wide { 128 } else { 64 },
        height: 64,
        beside: None,
        provenance: Default::default(),
    };
    let node = Node {
        id,
        parent,
        aside: true,
        picture: Some(Box::new(picture)),
        ..Node::default()
    };
    apply(story, Record::Node(node));
    let shown = Change::Shown {
        node: id,
        shown: true,
    };
    let changes = vec![shown];
    let why = StepKind::Draw;
    apply(story, Record::Step(Step { why, changes }));
    id
}

fn shown(page: &Page) -> Vec<String> {
    page.rows()
        .map(|row| row.into_iter().map(|(text, _)| text).collect())
        .collect()
}

fn fresh(story: &Story, width: usize, height: usize) -> Vec<String> {
    let mut page = Page::default();
    page.show(story, None);
    page.fit(width, height);
    shown(&page)
}

fn words() -> impl Strategy<Value = String> {
    let bits = vec![
        "a",
        "word ",
        " ",
        "\n",
        "日本",
        "。",
        "👩‍🚀",
        "e",
        "\u{301}",
        "longerword",
        "\t",
        "-",
        "\u{200d}",
    ];
    prop::collection::vec(prop::sample::select(bits), 0..12).prop_map(|bits| bits.concat())
}

proptest! {
    #[test]
    fn streaming_undo_and_resizing_leave_no_trace(
        steps in prop::collection::vec((0usize..8, words()), 1..30),
        widths in prop::collection::vec(4usize..20, 30),
    ) {
        let mut story = Story::default();
        let mut page = Page::default();
        for ((step, text), width) in steps.iter().zip(&widths) {
            match (step, story.running()) {
                (0..=2, Some(node)) => say(&mut story, node, text),
                (_, Some(node)) => end(&mut story, node, Status::Complete),
                (0, None) => _ = add(&mut story, Author::User, text, text.len() % 2 == 0),
                (6 | 7, None) => _ = draw(&mut story, *step == 7),
                (1 | 2, None) => _ = add(&mut story, Author::Model, text, text.len() % 3 == 0),
                (_, None) => {
                    let steps = story.steps().0.min(text.len() % 3);
                    apply(&mut story, Record::Undo(StepCount { steps }));
                }
            }
            let width = if step % 2 == 0 { *width } else { 11 };
            page.show(&story, None);
            page.fit(width, 12);
            prop_assert_eq!(shown(&page), fresh(&story, width, 12));
            let mut other = Page::default();
            other.show(&story, None);
            other.fit(width, 12);
            prop_assert_eq!(page.pictures(), other.pictures());
        }
    }
}

#[test]
fn a_passage_flows_on_in_its_own_ink() {
    let mut story = Story::default();
    add(&mut story, Author::User, "The sea", false);
    add(&mut story, Author::Model, " was\ncold", false);
    let mut page = Page::default();
    page.show(&story, None);
    page.fit(20, 5);
    let rows: Vec<_> = page.rows().collect();
    assert_eq!(
        rows[0],
        [("The sea", TextRole::User), (" was", TextRole::Model)]
    );
    assert_eq!(rows[1], [("cold", TextRole::Model)]);
}

/// The cost of a frame must not grow with the length of the story. The story of this test has a
/// thousand passages in one paragraph, and the last passage is still streaming in. The cost is
/// measured in re-wrapped bytes, since tests have no clock.
#[test]
fn a_growing_passage_wraps_only_its_own_rows() {
    let mut story = Story::default();
    for _ in 0..1000 {
        let node = add(&mut story, Author::Model, "", false);
        say(
            &mut story,
            node,
            "and the sea was cold and grey and slow that day ",
        );
        end(&mut story, node, Status::Complete);
    }
    let node = add(&mut story, Author::Model, "", false);
    let mut page = Page::default();
    page.show(&story, None);
    page.fit(40, 20);
    let before = page.wrapped();
    for _ in 0..50 {
        say(&mut story, node, "more ");
        page.show(&story, None);
        page.fit(40, 20);
    }
    assert!(
        page.wrapped() - before < 50 * 500,
        "{} bytes",
        page.wrapped() - before
    );
}

#[test]
fn where_the_model_begins_to_read_is_marked() {
    let mut story = Story::default();
    let first = add(
        &mut story,
        Author::User,
        "The sea was grey and still.",
        false,
    );
    let mut page = Page::default();
    page.show(&story, Some((first, "The sea".len())));
    page.fit(40, 9);
    assert_eq!(
        shown(&page),
        [
            "The sea",
            "─ ─ ─ the context starts here ─ ─ ─",
            " was grey and still."
        ]
    );
    page.show(&story, None);
    page.fit(40, 9);
    assert_eq!(shown(&page), ["The sea was grey and still."]);
}

#[test]
fn a_picture_stands_after_its_passage_and_may_be_seen_in_part() {
    let mut story = Story::default();
    add(&mut story, Author::User, "The sea was grey.", false);
    let picture = draw(&mut story, false);
    add(&mut story, Author::User, " It rained.", false);
    let mut page = Page::default();
    page.show(&story, None);
    page.fit(24, 18);
    let rows = shown(&page);
    assert_eq!(rows[0], "The sea was grey.");
    let caption = rows.iter().position(|row| row.contains("#1")).unwrap();
    // A square of 24 columns is 12 rows high: two thirds of 18.
    let found = page.pictures();
    let block = found[0].1;
    assert_eq!(
        (found[0].0, block.node, block.width, block.height),
        (2, picture, 24, 12)
    );
    assert_eq!(caption, 2 + 12);
    assert_eq!(rows.last().unwrap(), "It rained.");
    // At the story's end, a low pane shows only the lower two of its three rows.
    page.fit(24, 5);
    let (top, block) = page.pictures()[0];
    assert_eq!((top, block.height), (-1, 3));
}

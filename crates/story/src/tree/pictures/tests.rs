use super::*;
use crate::edit;
use crate::node::picture::PictureProvenance;
use crate::record::{Change, HeadMove, Record, Step, StepCount, StepKind};

fn told(passages: &[&str]) -> Story {
    let mut story = Story::default();
    for text in passages {
        let (id, parent) = (story.next_id(), story.head());
        let text = text.to_string();
        let node = Node {
            id,
            parent,
            text,
            ..Node::default()
        };
        story.apply(&Record::Node(node)).unwrap();
        go(&mut story, Some(id));
    }
    story
}

fn go(story: &mut Story, to: Option<NodeId>) {
    let why = StepKind::Write;
    story.apply(&Record::Head(HeadMove { to, why })).unwrap();
}

fn draw(story: &mut Story, parent: Option<NodeId>, beside: Option<NodeId>) -> NodeId {
    let id = story.next_id();
    let picture = Picture {
        sha256: String::new(),
        width: 64,
        height: 64,
        beside,
        provenance: PictureProvenance::default(),
    };
    let node = Node {
        id,
        parent,
        aside: true,
        picture: Some(Box::new(picture)),
        ..Node::default()
    };
    story.apply(&Record::Node(node)).unwrap();
    let mut changes = vec![Change::Shown {
        node: id,
        shown: true,
    }];
    changes.extend(beside.map(|node| Change::Shown { node, shown: false }));
    let why = StepKind::Draw;
    story.apply(&Record::Step(Step { why, changes })).unwrap();
    id
}

fn on_page(story: &Story) -> Vec<(usize, NodeId)> {
    story.pictures_on(&story.path())
}

#[test]
fn pictures_stand_after_their_passages_and_undo_takes_them_away() {
    let mut story = told(&["One.", " Two."]);
    let first = draw(&mut story, Some(0), None);
    let before = draw(&mut story, None, None);
    let last = draw(&mut story, Some(1), None);
    assert_eq!(on_page(&story), [(0, before), (1, first), (2, last)]);
    assert_eq!(story.path().len(), 2, "a picture is not on the path");
    story.apply(&Record::Undo(StepCount { steps: 1 })).unwrap();
    assert_eq!(on_page(&story), [(0, before), (1, first)]);
    story.apply(&Record::Redo(StepCount { steps: 1 })).unwrap();
    assert_eq!(on_page(&story).len(), 3);
}

#[test]
fn a_version_takes_the_others_place_and_both_are_kept() {
    let mut story = told(&["One."]);
    let first = draw(&mut story, Some(0), None);
    let second = draw(&mut story, Some(0), Some(first));
    let other = draw(&mut story, Some(0), None);
    assert_eq!(on_page(&story), [(1, second), (1, other)]);
    assert_eq!(story.versions(second), [first, second]);
    assert_eq!(story.versions(other), [other]);
    assert_eq!(
        story.versions(0),
        [0],
        "a picture is not a version of a passage"
    );
}

/// Draws a picture after each passage, then replaces the text of one passage. Returns the story's
/// text, and the byte offset of each picture in that text.
fn edited(passages: &[&str], index: usize, new: &str) -> (String, Vec<usize>) {
    let mut story = told(passages);
    for passage in 0..passages.len() {
        draw(&mut story, Some(passage as NodeId), None);
    }
    let made = edit::replace_text(&story, &story.path(), index..index + 1, new).unwrap();
    for node in made.nodes {
        story.apply(&Record::Node(node)).unwrap();
    }
    go(&mut story, made.head);
    let path = story.path();
    let found = story.pictures_on(&path);
    let ends = found.iter().map(|(after, _)| {
        let before = path[..*after].iter().map(|passage| passage.text.len());
        before.sum::<usize>()
    });
    let text = path.iter().map(|passage| passage.text).collect();
    (text, ends.collect())
}

#[test]
fn an_edit_takes_the_pictures_with_it() {
    let passages = ["One lamp.", " Two.", " Three."];
    // Edits in the middle and at the end, and a removed word.
    let same = |index, new, text: &str, ends: [usize; 3]| {
        assert_eq!(
            edited(&passages, index, new),
            (text.to_string(), ends.to_vec())
        );
    };
    same(
        0,
        "One red lamp.",
        "One red lamp. Two. Three.",
        [13, 18, 25],
    );
    same(0, "One lamp!", "One lamp! Two. Three.", [9, 14, 21]);
    same(0, "One", "One Two. Three.", [3, 8, 15]);
    same(2, " Th", "One lamp. Two. Th", [9, 14, 17]);
    same(0, "lamp.", "lamp. Two. Three.", [5, 10, 17]);
    same(1, " 2.", "One lamp. 2. Three.", [9, 12, 19]);
    same(2, " III.", "One lamp. Two. III.", [9, 14, 19]);
}

#[test]
fn another_way_on_from_the_middle_has_not_the_picture_of_the_end() {
    let mut story = told(&["One. Two."]);
    let picture = draw(&mut story, Some(0), None);
    let id = story.next_id();
    let node = Node {
        id,
        parent: Some(0),
        cut: Some(4),
        text: " Else.".to_string(),
        ..Node::default()
    };
    story.apply(&Record::Node(node)).unwrap();
    go(&mut story, Some(id));
    assert_eq!(on_page(&story), []);
    go(&mut story, Some(0));
    assert_eq!(on_page(&story), [(1, picture)]);
}

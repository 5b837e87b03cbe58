//! Applies random sequences of a writer's actions to a story, undoes and redoes them, and reloads
//! the story from its journal.

use illumine::store::recover_journal;
use proptest::prelude::*;
use serde::Serialize;
use story::frame::{FrameChange, Note};
use story::record::{
    Change, HeadMove, PassageEnd, Step, StepCount, StepKind, StreamedText, VERSION,
};
use story::{Author, Node, NodeId, Picture, Place, Record, Status, Story, edit};

/// An action by a writer. A number for a passage or a place selects one of those that exist.
#[derive(Clone, Debug)]
enum Deed {
    Write(String),
    Generate {
        pieces: Vec<String>,
        several: bool,
    },
    Retry,
    Swipe(usize),
    Edit(usize, String),
    LeaveOut(usize, usize),
    Merge(usize),
    Fill(usize, String),
    Goto(usize, usize),
    Keep,
    Hide(usize),
    Mark(u8),
    /// Draws a picture. If the bool is true, the picture is a new version of the last picture;
    /// otherwise it is a separate picture at the passage that the number selects.
    Draw(usize, bool),
    /// Shows a picture, selected by the number, on the page instead of its other versions.
    Show(usize),
    Memory(String),
    Note(usize),
    Undo(usize),
    Redo(usize),
}

fn words() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec!["the ", "lamp", ". ", "é", "船", "\n", " and", "🕯"]),
        1..5,
    )
    .prop_map(|words| words.concat())
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        words().prop_map(Deed::Write),
        (prop::collection::vec(words(), 0..3), any::<bool>())
            .prop_map(|(pieces, several)| Deed::Generate { pieces, several }),
        Just(Deed::Retry),
        any::<usize>().prop_map(Deed::Swipe),
        (any::<usize>(), words()).prop_map(|(at, text)| Deed::Edit(at, text)),
        (any::<usize>(), 1usize..3).prop_map(|(at, count)| Deed::LeaveOut(at, count)),
        any::<usize>().prop_map(Deed::Merge),
        (any::<usize>(), words()).prop_map(|(at, text)| Deed::Fill(at, text)),
        (any::<usize>(), any::<usize>()).prop_map(|(at, cut)| Deed::Goto(at, cut)),
        Just(Deed::Keep),
        any::<usize>().prop_map(Deed::Hide),
        (0u8..3).prop_map(Deed::Mark),
        (any::<usize>(), any::<bool>()).prop_map(|(at, version)| Deed::Draw(at, version)),
        any::<usize>().prop_map(Deed::Show),
        words().prop_map(Deed::Memory),
        (0usize..4).prop_map(Deed::Note),
        (1usize..4).prop_map(Deed::Undo),
        (1usize..4).prop_map(Deed::Redo),
    ]
}

/// A story, and all records that produced the story.
#[derive(Default)]
struct Book {
    story: Story,
    records: Vec<Record>,
}

impl Book {
    fn take(&mut self, record: Record) {
        self.story.apply(&record).unwrap();
        self.records.push(record);
    }

    fn head(&mut self, to: Option<NodeId>, why: StepKind) {
        self.take(Record::Head(HeadMove { to, why }));
    }

    fn step(&mut self, why: StepKind, changes: Vec<Change>) {
        self.take(Record::Step(Step { why, changes }));
    }

    /// Adds a passage by the model at `place`, and adds its text piece by piece.
    fn generate(&mut self, place: Place, pieces: &[String]) -> NodeId {
        let id = self.story.next_id();
        self.take(Record::Node(Node {
            id,
            parent: place.node,
            cut: place.cut,
            author: Author::Model,
            status: Status::Running,
            ..Node::default()
        }));
        for text in pieces {
            let text = text.clone();
            self.take(Record::Text(StreamedText {
                node: id,
                text,
                ..StreamedText::default()
            }));
        }
        self.take(Record::End(PassageEnd {
            node: id,
            status: Status::Complete,
            why: None,
            maker: None,
            shared: None,
            rewound: Vec::new(),
        }));
        id
    }

    fn make(&mut self, made: edit::EditPlan, why: StepKind) {
        for node in made.nodes {
            self.take(Record::Node(node));
        }
        self.head(made.head, why);
    }

    fn pictures(&self) -> Vec<NodeId> {
        let nodes = self.story.nodes().iter();
        let pictures = nodes.filter(|node| node.picture.is_some());
        pictures.map(|node| node.id).collect()
    }

    /// Shows a picture on the page in place of the picture's other versions.
    fn show(&mut self, id: NodeId) {
        let others = self
            .story
            .versions(id)
            .into_iter()
            .filter(|other| *other != id);
        let mut changes: Vec<Change> = others
            .map(|node| Change::Shown { node, shown: false })
            .collect();
        changes.push(Change::Shown {
            node: id,
            shown: true,
        });
        self.step(StepKind::Draw, changes);
    }

    fn someone(&self, at: usize) -> Option<NodeId> {
        let count = self.story.nodes().len();
        (count > 0).then(|| (at % count) as NodeId)
    }

    fn do_it(&mut self, deed: &Deed) {
        let head = self.story.head();
        let here = Place::after(head);
        let length = self.story.path().len();
        match deed {
            Deed::Write(text) => {
                let (id, text) = (self.story.next_id(), text.clone());
                self.take(Record::Node(Node {
                    id,
                    parent: head,
                    text,
                    ..Node::default()
                }));
                self.head(Some(id), StepKind::Write);
            }
            Deed::Generate { pieces, several } => {
                let first = self.generate(here, pieces);
                if *several {
                    self.generate(here, pieces);
                }
                self.head(Some(first), StepKind::Write);
            }
            Deed::Retry => {
                let Some(id) = head else { return };
                let base = self.story.node(self.story.first_part(id)).unwrap().place();
                let id = self.generate(base, &["again".to_string()]);
                self.head(Some(id), StepKind::Retry);
            }
            Deed::Swipe(to) => {
                let Some(id) = head else { return };
                let versions = self.story.versions(id);
                if !versions.is_empty() {
                    self.head(Some(versions[to % versions.len()]), StepKind::Swipe);
                }
            }
            Deed::Edit(at, text) if length > 0 => {
                let path = self.story.path();
                if let Some(made) = edit::replace_text(
                    &self.story,
                    &path,
                    edit::passage_group(&path, at % length),
                    text,
                ) {
                    self.make(made, StepKind::Edit);
                }
            }
            Deed::LeaveOut(at, count) if length > 0 => {
                let path = self.story.path();
                let first = at % length;
                let made = edit::remove_passages(&self.story, &path, first, first + count);
                self.make(made, StepKind::Delete);
            }
            Deed::Merge(at) if length > 0 => {
                let path = self.story.path();
                let before = text(&self.story);
                let made = edit::merge_with_previous(&self.story, &path, at % length);
                self.make(made, StepKind::Merge);
                assert_eq!(text(&self.story), before, "merging changes no word");
            }
            Deed::Fill(at, text) if length > 0 => {
                let path = self.story.path();
                let index = at % length;
                let place = edit::place_in_passage(&path[index], 0);
                let id = self.generate(place, std::slice::from_ref(text));
                let path = self.story.path();
                let made = edit::copy_rest_to(&self.story, &path, index, 0, Place::after(Some(id)));
                self.make(made, StepKind::Fill);
            }
            Deed::Goto(at, cut) => {
                let Some(parent) = self.someone(*at) else {
                    return;
                };
                let text = &self.story.node(parent).unwrap().text;
                let cut = (0..=text.len())
                    .cycle()
                    .skip(cut % (text.len() + 1))
                    .find(|at| text.is_char_boundary(*at));
                let id = self.story.next_id();
                self.take(Record::Node(Node {
                    id,
                    parent: Some(parent),
                    cut,
                    ..Node::default()
                }));
                self.step(StepKind::Goto, vec![Change::Head { to: Some(id) }]);
            }
            Deed::Keep => {
                let Some(id) = head else { return };
                let others = self
                    .story
                    .versions(id)
                    .into_iter()
                    .filter(|other| *other != id);
                let changes = others
                    .map(|node| Change::Hidden { node, hidden: true })
                    .collect();
                self.step(StepKind::Keep, changes);
            }
            Deed::Hide(at) => {
                let Some(node) = self.someone(*at) else {
                    return;
                };
                self.step(
                    StepKind::Delete,
                    vec![Change::Hidden { node, hidden: true }],
                );
            }
            Deed::Mark(name) => {
                let node = self.story.head();
                let name = format!("mark-{name}");
                self.step(StepKind::Mark, vec![Change::Mark { name, node }]);
            }
            Deed::Draw(at, version) => {
                let of = self.pictures().last().copied().filter(|_| *version);
                let parent = match of {
                    Some(of) => self.story.node(of).unwrap().parent,
                    None => self
                        .someone(*at)
                        .filter(|id| self.story.picture(*id).is_none()),
                };
                let first = of.map(|of| self.story.picture(of).unwrap().beside.unwrap_or(of));
                let id = self.story.next_id();
                let picture = Picture {
                    sha256: format!("{id:064x}"),
                    width: 64,
                    height: 64,
                    beside: first,
                    provenance: Default::default(),
                };
                self.take(Record::Node(Node {
                    id,
                    parent,
                    author: Author::Model,
                    aside: true,
                    status: Status::Complete,
                    picture: Some(Box::new(picture)),
                    ..Node::default()
                }));
                self.show(id);
            }
            Deed::Show(at) => {
                let pictures = self.pictures();
                if let Some(id) = pictures.get(at % pictures.len().max(1)) {
                    self.show(*id);
                }
            }
            Deed::Memory(text) => {
                let set = FrameChange::Memory { text: text.clone() };
                self.step(StepKind::Frame, vec![Change::Frame { set }]);
            }
            Deed::Note(depth) => {
                let note = Note {
                    text: "rain".to_string(),
                    depth: *depth,
                };
                self.step(
                    StepKind::Frame,
                    vec![Change::Frame {
                        set: FrameChange::Note { note },
                    }],
                );
            }
            Deed::Undo(steps) => {
                let steps = (*steps).min(self.story.steps().0);
                self.take(Record::Undo(StepCount { steps }));
            }
            Deed::Redo(steps) => {
                let steps = (*steps).min(self.story.steps().1);
                self.take(Record::Redo(StepCount { steps }));
            }
            Deed::Edit(..) | Deed::LeaveOut(..) | Deed::Merge(_) | Deed::Fill(..) => {}
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    #[serde(flatten)]
    record: &'a Record,
}

fn on_page(story: &Story) -> Vec<(usize, NodeId)> {
    story.pictures_on(&story.path())
}

fn text(story: &Story) -> String {
    story.path().iter().map(|passage| passage.text).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn a_story_is_what_was_done_and_undo_takes_all_of_it_back(deeds in prop::collection::vec(deed(), 1..8)) {
        let mut book = Book::default();
        let mut seen: Vec<Node> = Vec::new();
        for deed in &deeds {
            let before = book.story.clone();
            book.do_it(deed);
            // No written text ever changes or disappears.
            prop_assert_eq!(&book.story.nodes()[..seen.len()], &seen[..]);
            seen = book.story.nodes().to_vec();
            // Undoing a step restores everything except the texts, which remain.
            let (past, _) = book.story.steps();
            if past > before.steps().0 {
                let mut back = book.story.clone();
                let steps = past - before.steps().0;
                back.apply(&Record::Undo(StepCount { steps })).unwrap();
                prop_assert_eq!(back.head(), before.head());
                prop_assert_eq!(text(&back), text(&before));
                prop_assert_eq!(back.frame(), before.frame());
                prop_assert_eq!(back.marks(), before.marks());
                for node in before.nodes() {
                    prop_assert_eq!(back.is_hidden(node.id), before.is_hidden(node.id));
                    prop_assert_eq!(back.is_shown(node.id), before.is_shown(node.id));
                }
                prop_assert_eq!(on_page(&back), on_page(&before));
                back.apply(&Record::Redo(StepCount { steps })).unwrap();
                prop_assert_eq!(&back, &book.story);
            }
        }
        // Every passage that is not hidden can be reached.
        for node in book.story.nodes() {
            let path = book.story.path_to(Some(node.id));
            prop_assert_eq!(path.last().map(|last| last.id), Some(node.id));
            let versions = book.story.versions(node.id);
            let whole = !book.story.children(node.id).iter().any(|id| {
                let child = book.story.node(*id).unwrap();
                child.joins && child.cut.is_none()
            });
            if whole && !book.story.is_hidden(node.id) {
                prop_assert!(versions.contains(&node.id), "{:?} of {}", versions, node.id);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_read_up_to_any_record_is_the_story_as_it_was_then(deeds in prop::collection::vec(deed(), 1..8)) {
        let mut book = Book::default();
        for deed in &deeds {
            book.do_it(deed);
        }
        let (mut bytes, mut story) = (Vec::new(), Story::default());
        for record in &book.records {
            serde_json::to_writer(&mut bytes, &Line { v: VERSION, record }).unwrap();
            bytes.push(b'\n');
            story.apply(record).unwrap();
            let found = recover_journal(&bytes);
            prop_assert_eq!(&found.read_only_reason, &None);
            prop_assert_eq!(&found.story, &story);
        }
    }
}

//! Edits passages by adding new passages beside the old ones.
//!
//! The text before the change is shared with the old passage. The changed words are attributed to
//! the writer. The text after the change is copied and keeps its authors. The functions are pure:
//! they return plans and change nothing.

use super::node::{CopiedRange, Node, NodeId, Passage, Place, SPEAKER, Status};
use super::tree::Story;
use serde_json::{Map, Value, json};
use std::ops::Range;

/// A planned edit: the passages to add, in order, and the passage that becomes the head.
#[derive(Debug, PartialEq)]
pub struct EditPlan {
    pub nodes: Vec<Node>,
    pub head: Option<NodeId>,
}

/// Returns the range of the passages in the same group as the passage at `index`. A group is formed
/// when an edit inside a passage splits the passage.
pub fn passage_group(path: &[Passage], index: usize) -> Range<usize> {
    let joined = |at: usize| path[at].continues_previous();
    let first = (0..=index).rev().find(|at| !joined(*at)).unwrap_or(0);
    let rest = (index + 1..path.len()).find(|at| !joined(*at));
    first..rest.unwrap_or(path.len())
}

/// Replaces the joined text of the passages in `range`, and copies all passages after them. None if
/// nothing would change.
pub fn replace_text(
    story: &Story,
    path: &[Passage],
    range: Range<usize>,
    new: &str,
) -> Option<EditPlan> {
    let group = path.get(range.clone())?;
    let first = group.first()?;
    let old: String = group.iter().map(|passage| passage.text).collect();
    if old == new {
        return None;
    }
    let same = common_prefix_len(&old, new);
    let tail = common_suffix_len(&old[same..], &new[same..]);
    let words = &new[same..new.len() - tail];
    let (index, offset) = locate_byte(group, same);
    let place = place_in_passage(&group[index], offset);
    let mut edit = Planner::new(story, place);
    let inside = same > 0;
    if !words.is_empty() {
        edit.add(Node {
            author: group[index].author,
            edited: true,
            turn: first.turn && !inside,
            apart: first.apart && !inside,
            extra: speaker_of(first).filter(|_| !inside),
            joins: (inside && place.cut.is_none()) || (!inside && first.joins),
            text: words.to_string(),
            ..Node::default()
        });
    }
    if tail > 0 {
        let joins = inside || !words.is_empty() || first.joins;
        let (index, offset) = locate_byte(group, old.len() - tail);
        let passage = &group[index];
        edit.copy_range(passage, offset, passage.text.len(), joins);
        edit.copy_passages(&group[index + 1..]);
    }
    edit.copy_passages(&path[range.end..]);
    Some(edit.finish())
}

/// Returns only the field with the speaker's name. The other fields of an imported message belong
/// to its old text.
fn speaker_of(passage: &Passage) -> Option<Box<Map<String, Value>>> {
    let name = json!(passage.speaker()?);
    Some(Box::new(Map::from_iter([(SPEAKER.to_string(), name)])))
}

/// Finds the passage that contains the byte `byte` of the group's joined text. Returns the
/// passage's index and the byte offset in the passage. The end of one passage counts as the
/// beginning of the next.
fn locate_byte(group: &[Passage], byte: usize) -> (usize, usize) {
    let mut left = byte;
    for (index, passage) in group.iter().enumerate() {
        if left < passage.text.len() {
            return (index, left);
        }
        left -= passage.text.len();
    }
    let last = group.len() - 1;
    (last, group[last].text.len())
}

/// Copies the rest of the path, starting at byte `from` of the passage at `index`, and appends the
/// copy at `place`. This is used after text has been generated in the middle of the story.
pub fn copy_rest_to(
    story: &Story,
    path: &[Passage],
    index: usize,
    from: usize,
    place: Place,
) -> EditPlan {
    let mut edit = Planner::new(story, place);
    if let Some(passage) = path.get(index) {
        if from < passage.text.len() {
            edit.copy_range(passage, from, passage.text.len(), true);
        }
        edit.copy_passages(&path[index + 1..]);
    }
    edit.finish()
}

/// Merges the passage at `index` into the preceding passage, and copies the passages that follow.
pub fn merge_with_previous(story: &Story, path: &[Passage], index: usize) -> EditPlan {
    let range = passage_group(path, index);
    let before = range.start.checked_sub(1).map(|at| path[at].id);
    let mut edit = Planner::new(story, Place::after(before));
    for passage in &path[range.clone()] {
        edit.copy_range(passage, 0, passage.text.len(), true);
    }
    edit.copy_passages(&path[range.end..]);
    edit.finish()
}

/// Removes the passages from `first` up to `end` (exclusive), and copies the passages after them.
pub fn remove_passages(story: &Story, path: &[Passage], first: usize, end: usize) -> EditPlan {
    let place = path
        .get(first)
        .map_or(Place::default(), |passage| passage.place());
    let mut edit = Planner::new(story, place);
    edit.copy_passages(&path[end.min(path.len())..]);
    edit.finish()
}

/// The place after the first `bytes` bytes of a passage; for 0, the place before the passage.
pub fn place_in_passage(passage: &Passage, bytes: usize) -> Place {
    match bytes {
        0 => passage.place(),
        bytes if bytes >= passage.node.text.len() => Place::after(Some(passage.id)),
        bytes => Place {
            node: Some(passage.id),
            cut: Some(bytes),
        },
    }
}

struct Planner {
    next: NodeId,
    place: Place,
    nodes: Vec<Node>,
}

impl Planner {
    fn new(story: &Story, place: Place) -> Planner {
        Planner {
            next: story.next_id(),
            place,
            nodes: Vec::new(),
        }
    }

    fn add(&mut self, node: Node) {
        let id = self.next;
        self.nodes.push(Node {
            id,
            parent: self.place.node,
            cut: self.place.cut,
            ..node
        });
        self.next += 1;
        self.place = Place::after(Some(id));
    }

    fn copy_range(&mut self, passage: &Passage, from: usize, to: usize, joins: bool) {
        let whole = from == 0 && to == passage.node.text.len();
        self.add(Node {
            author: passage.author,
            edited: passage.edited,
            turn: passage.turn && from == 0,
            apart: passage.apart && from == 0,
            extra: match whole {
                true => passage.extra.clone(),
                false => speaker_of(passage).filter(|_| from == 0),
            },
            joins,
            copied_from: Some(CopiedRange {
                node: passage.id,
                from,
                to,
            }),
            status: match passage.status {
                Status::Running => Status::Stopped,
                status => status,
            },
            provenance: passage.provenance.clone().filter(|_| whole),
            ids: if whole {
                passage.ids.clone()
            } else {
                Vec::new()
            },
            healed: if whole { passage.healed } else { 0 },
            ..Node::default()
        });
    }

    fn copy_passages(&mut self, rest: &[Passage]) {
        for passage in rest {
            // A fork inside the previous passage was joined to it, and stays joined.
            let joins = passage.continues_previous();
            let shown = !passage.text.is_empty() || !passage.node.text.is_empty();
            if shown || passage.extra.is_some() {
                self.copy_range(passage, 0, passage.text.len(), joins);
            }
        }
    }

    fn finish(mut self) -> EditPlan {
        // If nothing follows a place inside a passage, an empty passage marks it; otherwise the
        // passage would appear with its whole text.
        if self.place.cut.is_some() {
            self.add(Node {
                edited: true,
                ..Node::default()
            });
        }
        EditPlan {
            head: self.place.node,
            nodes: self.nodes,
        }
    }
}

/// The length in bytes of the common prefix of two texts.
fn common_prefix_len(a: &str, b: &str) -> usize {
    let pairs = a.char_indices().zip(b.chars());
    let same = pairs.take_while(|((_, a), b)| a == b);
    same.last().map_or(0, |((at, c), _)| at + c.len_utf8())
}

/// The length in bytes of the common suffix of two texts.
fn common_suffix_len(a: &str, b: &str) -> usize {
    let pairs = a.chars().rev().zip(b.chars().rev());
    pairs
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a.len_utf8())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Author;
    use crate::record::{HeadMove, Record, StepKind};

    fn story(passages: &[&str]) -> Story {
        let mut story = Story::default();
        for (n, text) in passages.iter().enumerate() {
            let id = n as NodeId;
            let author = if n % 2 == 0 {
                Author::User
            } else {
                Author::Model
            };
            let text = text.to_string();
            let parent = id.checked_sub(1);
            story
                .apply(&Record::Node(Node {
                    id,
                    parent,
                    author,
                    text,
                    ..Node::default()
                }))
                .unwrap();
            let why = StepKind::Write;
            story
                .apply(&Record::Head(HeadMove { to: Some(id), why }))
                .unwrap();
        }
        story
    }

    fn made(story: &mut Story, edit: EditPlan) -> Vec<(String, bool)> {
        for node in &edit.nodes {
            story.apply(&Record::Node(node.clone())).unwrap();
        }
        let (to, why) = (edit.head, StepKind::Edit);
        story.apply(&Record::Head(HeadMove { to, why })).unwrap();
        let path = story.path();
        path.iter()
            .map(|p| (p.text.to_string(), p.edited))
            .collect()
    }

    #[test]
    fn an_edit_in_the_middle_shares_what_is_before_and_takes_over_what_follows() {
        let mut story = story(&["A red ", "lamp stood", " there."]);
        let edit = replace_text(&story, &story.path(), 1..2, "light stood").unwrap();
        let path = made(&mut story, edit);
        let whole: String = path.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(whole, "A red light stood there.");
        let parts: Vec<(&str, bool)> = path.iter().map(|(t, e)| (t.as_str(), *e)).collect();
        assert_eq!(
            parts,
            [
                ("A red ", false),
                ("l", false),
                ("ight", true),
                (" stood", false),
                (" there.", false)
            ]
        );
        assert_eq!(
            story.node(1).unwrap().text,
            "lamp stood",
            "the old passage is unchanged"
        );
        assert_eq!(story.path()[3].author, Author::Model);
    }

    #[test]
    fn an_edit_at_the_end_of_the_last_passage_is_a_version_of_it() {
        let mut story = story(&["A ", "lamp."]);
        let edit = replace_text(&story, &story.path(), 1..2, "lamp!").unwrap();
        made(&mut story, edit);
        assert_eq!(story.versions(story.head().unwrap()), [1, 2]);
        assert_eq!(replace_text(&story, &story.path(), 0..1, "A "), None);
    }

    #[test]
    fn a_passage_left_out_and_one_emptied_are_gone_from_the_path_alone() {
        let mut story = story(&["A ", "red ", "lamp."]);
        let edit = remove_passages(&story, &story.path(), 1, 2);
        let path = made(&mut story, edit);
        assert_eq!(
            path.iter().map(|p| p.0.as_str()).collect::<String>(),
            "A lamp."
        );
        let mut story = self::story(&["A ", "red "]);
        let edit = replace_text(&story, &story.path(), 1..2, "").unwrap();
        assert_eq!((edit.nodes.len(), edit.head), (0, Some(0)));
        assert_eq!(made(&mut story, edit).len(), 1);
    }

    #[test]
    fn a_merged_passage_is_one_with_the_one_before_it_and_what_follows_stays() {
        let mut story = story(&["A red ", "lamp", " stood."]);
        let edit = merge_with_previous(&story, &story.path(), 1);
        let path = made(&mut story, edit);
        let parts: Vec<&str> = path.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(parts, ["A red ", "lamp", " stood."]);
        let path = story.path();
        assert_eq!(passage_group(&path, 0), 0..2);
        assert_eq!(passage_group(&path, 2), 2..3);
        assert_eq!(story.first_part(path[1].id), 0);
        assert_eq!(
            story.versions(1),
            [1],
            "the split passage is its own only version"
        );
        assert_eq!(path[1].author, Author::Model);
    }

    #[test]
    fn words_left_out_at_the_end_are_gone() {
        let mut story = story(&["One two three.", " Four five."]);
        for (index, new, whole) in [
            (1, " Four", "One two three. Four"),
            (0, "One", "One Four"),
            (0, "O", "O Four"),
        ] {
            let edit = replace_text(&story, &story.path(), index..index + 1, new).unwrap();
            let path = made(&mut story, edit);
            let text: String = path.iter().map(|p| p.0.as_str()).collect();
            assert_eq!(text, whole);
        }
        let mut story = self::story(&["One two"]);
        let edit = replace_text(&story, &story.path(), 0..1, "One").unwrap();
        made(&mut story, edit);
        assert_eq!(story.versions(story.head().unwrap()), [0, 1]);
    }

    #[test]
    fn editing_an_edit_again_goes_on_in_the_same_way() {
        let mut story = story(&["One two three four", " five"]);
        for (index, new, whole) in [
            (0, "One 2 three four", "One 2 three four five"),
            (2, " three 4", "One 2 three 4 five"),
            (1, "II", "One II three 4 five"),
            (0, "1 ", "1 II three 4 five"),
        ] {
            let edit = replace_text(&story, &story.path(), index..index + 1, new).unwrap();
            let path = made(&mut story, edit);
            assert_eq!(path.iter().map(|p| p.0.as_str()).collect::<String>(), whole);
        }
    }
}

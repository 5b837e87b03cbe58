//! A picture of a story: how it was made and where it stands; `request.rs` is how one is asked for.
//!
//! A picture is a passage without words, aside of the story: a child of the passage that it
//! illustrates. It is shown or not, which is a change like any other; the file is the store's.

mod request;

pub use request::{Drawing, Layer, PictureRequest, Sight, Source, Style, Subject, Words};

use super::node::{Node, NodeId, Passage};
use super::tree::Story;
use serde::{Deserialize, Serialize};

/// What the journal says of a picture beside its place in the tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// SHA-256 of its file, in hexadecimal.
    pub sha256: String,
    /// Pixels.
    pub width: u32,
    pub height: u32,
    /// The first of the pictures that it is another version of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<NodeId>,
    pub how: Provenance,
}

impl Picture {
    /// The name of the file of picture `id` in its session's folder of pictures. It is made of the
    /// number alone, so that no journal can name a file elsewhere.
    pub fn file(id: NodeId) -> String {
        format!("{id}.png")
    }
}

/// All that it takes to make a picture again, byte for byte, with the same weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    pub prompt: String,
    /// What the prompt was taken for, with how near it came.
    pub concepts: Vec<(String, f32)>,
    pub style: Option<String>,
    pub seed: u64,
    pub steps: usize,
    pub temperature: f64,
    pub guidance: f64,
    /// How strongly what is remembered pulled.
    #[serde(default)]
    pub recall: f64,
    /// Pixels high, and wide too where it is no scene.
    pub size: u32,
    /// `#rrggbb`; None leaves what is empty transparent.
    pub background: Option<String>,
    /// Enlarged four times by the network for that before it was brought to its size.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub enlarged: bool,
    /// SHA-256 of the weights.
    pub weights: String,
    pub backend: String,
    pub build: String,
    /// Its own tokens, two hexadecimal digits for each digit of a token, or its latent, eight for
    /// each number: what others can be made of. Empty for a scene.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tokens: String,
    #[serde(default, skip_serializing_if = "Way::is_words")]
    pub way: Way,
}

/// What a picture was made from besides its words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Way {
    #[default]
    Words,
    /// Tokens of another picture, of which a share was written anew.
    Vary { tokens: String, amount: f64 },
    /// A place between its own words and another's: 0 is its own.
    Lerp { other: Box<End>, at: f64 },
    /// Another picture, redrawn.
    Restyle { tokens: String },
    /// A backdrop and what stands before it.
    Scene { parts: Vec<String> },
}

/// One end of a row of pictures that lead from one to another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct End {
    pub prompt: String,
    pub style: Option<String>,
    pub seed: u64,
}

impl Way {
    fn is_words(&self) -> bool {
        *self == Way::Words
    }
}

impl Provenance {
    /// What the picture shows, for people who cannot see it and for lists.
    pub fn title(&self) -> String {
        let words = super::sentence::excerpt(self.prompt.trim(), 200);
        let words = match words.as_str() {
            "" => "a picture",
            words => words,
        };
        match &self.way {
            Way::Lerp { other, at } if *at > 0.0 => {
                let other = super::sentence::excerpt(other.prompt.trim(), 200);
                match *at < 1.0 {
                    true => format!("{words}, {:.0} % of the way to {other}", at * 100.0),
                    false => other,
                }
            }
            _ => words.to_string(),
        }
    }

    /// What it was taken for: "dragon 0.74, bed 0.51", or that nothing known was asked for.
    pub fn said(&self) -> String {
        said(&self.concepts)
    }
}

/// Concepts with how near each came, in words.
pub fn said(concepts: &[(String, f32)]) -> String {
    let name = |(label, near): &(String, f32)| format!("{label} {near:.2}");
    let near = concepts
        .iter()
        .filter(|(_, near)| *near >= base::KNOWN_SIMILARITY)
        .take(3);
    let near: Vec<String> = near.map(name).collect();
    match (near.is_empty(), concepts.first()) {
        (false, _) => near.join(", "),
        (true, Some(first)) => format!(
            "no concept that I know; the nearest is {}, so the picture may show anything",
            name(first)
        ),
        (true, None) => "no concept that I know".to_string(),
    }
}

impl Story {
    /// The picture that a passage is, if it is one.
    pub fn picture(&self, id: NodeId) -> Option<&Picture> {
        self.node(id)?.picture.as_deref()
    }

    /// Every picture that is another version of this one, itself among them: what was put away is
    /// left out, unless it is shown.
    pub fn picture_versions(&self, id: NodeId) -> Vec<NodeId> {
        let first = |id: NodeId| self.picture(id).map(|it| it.beside.unwrap_or(id));
        let wanted = first(id);
        let parent = self.node(id).and_then(|node| node.parent);
        let there = match parent {
            Some(parent) => self.children(parent),
            None => self.roots(),
        };
        let same = |other: &NodeId| {
            let open = !self.is_hidden(*other) || self.is_shown(*other);
            wanted.is_some() && first(*other) == wanted && open
        };
        there.iter().copied().filter(same).collect()
    }

    /// The pictures that stand on a path, each with the number of passages before it.
    ///
    /// What was taken over by an edit stands where its passage went, and what stood at the end of
    /// a passage whose last words were changed stands at the end of what it became.
    pub fn pictures_on(&self, path: &[Passage]) -> Vec<(usize, NodeId)> {
        let mut found: Vec<(usize, NodeId)> = Vec::new();
        if !self.shows_pictures() {
            return found;
        }
        let mut take = |at: usize, there: &[NodeId]| {
            let mut shown: Vec<NodeId> = there
                .iter()
                .copied()
                .filter(|id| self.is_shown(*id) && self.picture(*id).is_some())
                .filter(|id| !found.iter().any(|(_, known)| known == id))
                .collect();
            shown.sort_by_key(|id| {
                (
                    self.picture(*id).and_then(|it| it.beside).unwrap_or(*id),
                    *id,
                )
            });
            found.extend(shown.into_iter().map(|id| (at, id)));
        };
        take(0, self.roots());
        for (index, passage) in path.iter().enumerate() {
            let Some(at) = end_of(path, index) else {
                continue;
            };
            let mut source = Some(passage.node);
            while let Some(node) = source {
                take(at, self.children(node.id));
                source = self.origin_of_end(node);
            }
        }
        found.sort_by_key(|(at, _)| *at);
        found
    }

    /// The passage whose end was taken over as this one's end.
    fn origin_of_end(&self, node: &Node) -> Option<&Node> {
        let of = node.of?;
        let origin = self.node(of.node)?;
        (of.to == origin.text.len()).then_some(origin)
    }
}

/// How many passages stand before what follows the end of the passage at `index`; none where its
/// end is not told.
fn end_of(path: &[Passage], index: usize) -> Option<usize> {
    let passage = path[index];
    let next = path.get(index + 1);
    if passage.text.len() == passage.node.text.len() && next.is_none_or(|next| next.cut.is_none()) {
        return Some(index + 1);
    }
    let next = next?;
    if next.of.is_some() && !next.joins && !next.edited {
        // Its last words were left out, and what follows was taken over.
        return Some(index + 1);
    }
    if !next.edited {
        return None;
    }
    let rest = path[index + 1..].iter();
    let joined = rest.take_while(|passage| passage.goes_on());
    Some(index + 1 + joined.count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit;
    use crate::record::{Change, Head, Move, Record, Step, Steps};

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
        let why = Move::Write;
        story.apply(&Record::Head(Head { to, why })).unwrap();
    }

    fn draw(story: &mut Story, parent: Option<NodeId>, beside: Option<NodeId>) -> NodeId {
        let id = story.next_id();
        let picture = Picture {
            sha256: String::new(),
            width: 64,
            height: 64,
            beside,
            how: Provenance::default(),
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
        let why = Move::Draw;
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
        story.apply(&Record::Undo(Steps { steps: 1 })).unwrap();
        assert_eq!(on_page(&story), [(0, before), (1, first)]);
        story.apply(&Record::Redo(Steps { steps: 1 })).unwrap();
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
            "a picture is no version of a passage"
        );
    }

    /// Replaces the text of a passage of the path, and says what stands on the page then.
    fn edited(passages: &[&str], index: usize, new: &str) -> (String, Vec<usize>) {
        let mut story = told(passages);
        for passage in 0..passages.len() {
            draw(&mut story, Some(passage as NodeId), None);
        }
        let made = edit::replace(&story, &story.path(), index..index + 1, new).unwrap();
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
        // In the middle, at the end, and a word left out.
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

    #[test]
    fn concepts_are_said_and_a_low_match_plainly() {
        let found = |label: &str, near| (label.to_string(), near);
        assert_eq!(
            said(&[found("dragon", 0.74), found("bed", 0.31)]),
            "dragon 0.74"
        );
        let low = said(&[found("bed", 0.2)]);
        assert!(
            low.contains("no concept that I know") && low.contains("bed 0.20"),
            "{low}"
        );
        assert_eq!(said(&[]), "no concept that I know");
    }
}

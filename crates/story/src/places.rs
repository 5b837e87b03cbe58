//! Finds the place that a writer names: by the number of a passage, by a sentence or words in the
//! passage, or by a mark.

use super::node::{Author, Node, NodeId, Passage, Place};
use super::sentence::{count_noun, excerpt, sentence_ends};
use super::tree::Story;
use base::nearest::nearest;
use base::search::{self, Needle};
use base::untrusted::clean_line;

/// A one-sentence message that says why a place does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlaceError(String);

/// Finds the place that `name` refers to: `12` or `#12` (after passage 12), `12.3` (after the third
/// sentence of passage 12), `12:the lamp` (after the words "the lamp" in passage 12, even if they
/// end inside a longer word), `-2` (after the passage that is two before the last), `.` (the
/// current end of the story), `start` (the beginning), `mine` (after the writer's own last
/// passage), or a mark.
pub fn find_place(story: &Story, name: &str) -> Result<Place, PlaceError> {
    let name = name.trim();
    match name {
        "start" => return Ok(Place::default()),
        "." | "here" | "end" => return Ok(Place::after(story.head())),
        _ => {}
    }
    let marks = story.marks();
    let alike = || marks.iter().find(|(mark, _)| search::same(mark, name));
    if let Some(id) = marks.get(name).or_else(|| alike().map(|(_, id)| id)) {
        return Ok(Place::after(Some(*id)));
    }
    if name == "mine" {
        let own = |passage: &&Passage| passage.author != Author::Model && !passage.text.is_empty();
        let last = story.path().iter().rev().find(own).map(|own| own.id);
        let none = || PlaceError("You have not written a passage here yet".to_string());
        return last.map(|id| Place::after(Some(id))).ok_or_else(none);
    }
    if let Some(back) = name.strip_prefix('-').and_then(|n| n.parse::<usize>().ok()) {
        let path = story.path();
        let at = path.len().checked_sub(back + 1).map(|at| path[at].id);
        return at.map(|id| Place::after(Some(id))).ok_or_else(|| {
            PlaceError(format!(
                "The current story has only {}",
                count_noun(path.len(), "passage")
            ))
        });
    }
    let number = name.strip_prefix('#').unwrap_or(name);
    let (number, words) = match number.split_once(':') {
        Some((passage, words)) => (passage, Some(words.trim().trim_matches('"'))),
        None => (number, None),
    };
    let (passage, sentence) = match number.split_once('.') {
        Some((passage, sentence)) => (passage, Some(sentence)),
        None => (number, None),
    };
    let id: NodeId = passage.parse().map_err(|_| unknown_place(story, name))?;
    let node = story.node(id).ok_or_else(|| {
        let last = story.nodes().len();
        PlaceError(match last {
            0 => "The story is empty".to_string(),
            _ => format!(
                "There is no passage {id}; passages are numbered 0 to {}",
                last - 1
            ),
        })
    })?;
    if let Some(words) = words {
        return place_after_words(node, words);
    }
    let Some(sentence) = sentence else {
        return Ok(Place::after(Some(id)));
    };
    let ends = sentence_ends(&node.text);
    let wanted: usize = sentence.parse().map_err(|_| unknown_place(story, name))?;
    match wanted {
        0 => Ok(node.place()),
        n if n == ends.len() => Ok(Place::after(Some(id))),
        n => match ends.get(n - 1) {
            // The space belongs to the words after it, as in text from a model.
            Some(end) => Ok(Place {
                node: Some(id),
                cut: Some(node.text[..*end].trim_end().len()),
            }),
            None => Err(PlaceError(format!(
                "Passage {id} has {}",
                count_noun(ends.len(), "sentence")
            ))),
        },
    }
}

/// Returns the place after the first occurrence of `words` in a passage. Case is ignored only if
/// there is no exact occurrence.
fn place_after_words(node: &Node, words: &str) -> Result<Place, PlaceError> {
    let found = node.text.find(words).filter(|_| !words.is_empty());
    let alike = || Needle::new(words).find(&node.text).map(|range| range.end);
    let end = found.map(|at| at + words.len()).or_else(alike);
    let end = end.ok_or_else(|| {
        let words = excerpt(words, 40);
        PlaceError(format!("Passage {} does not contain \"{words}\"", node.id))
    })?;
    Ok(Place {
        node: Some(node.id),
        cut: (end < node.text.len()).then_some(end),
    })
}

/// Returns the index on `path` of passage `id`, or of a copy of that passage if an edit copied it.
pub fn index_on_path(story: &Story, path: &[Passage], id: NodeId) -> Option<usize> {
    let own = path.iter().position(|passage| passage.id == id);
    let copy = || {
        let from = |node: NodeId| {
            story
                .node(node)
                .and_then(|node| node.copied_from)
                .map(|of| of.node)
        };
        path.iter().position(|passage| {
            // The copied passage may itself be a copy.
            std::iter::successors(from(passage.id), |id| from(*id)).any(|of| of == id)
        })
    };
    own.or_else(copy)
}

fn unknown_place(story: &Story, name: &str) -> PlaceError {
    let name = clean_line(&name.chars().take(40).collect::<String>());
    let near = nearest(&name, story.marks().keys().map(String::as_str));
    PlaceError(match near {
        Some(near) => format!("There is no mark {name}; did you mean {near}?"),
        None => format!("There is no passage or mark {name}; list them with /tree and /mark"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Node;
    use crate::record::{Change, HeadMove, Record, Step, StepKind};

    #[test]
    fn places_are_named_by_number_sentence_and_mark() {
        let mut story = Story::default();
        for (id, text) in ["One. Two. Three.", " Four."].into_iter().enumerate() {
            let (id, text) = (id as NodeId, text.to_string());
            let parent = id.checked_sub(1);
            story
                .apply(&Record::Node(Node {
                    id,
                    parent,
                    text,
                    ..Node::default()
                }))
                .unwrap();
            let why = StepKind::Write;
            story
                .apply(&Record::Head(HeadMove { to: Some(id), why }))
                .unwrap();
        }
        let mark = Change::Mark {
            name: "dawn".to_string(),
            node: Some(0),
        };
        story
            .apply(&Record::Step(Step {
                why: StepKind::Mark,
                changes: vec![mark],
            }))
            .unwrap();
        let place = |name| find_place(&story, name).map_err(|error| error.to_string());
        assert_eq!(place("1"), Ok(Place::after(Some(1))));
        assert_eq!(
            place("#0.2"),
            Ok(Place {
                node: Some(0),
                cut: Some(9)
            })
        );
        assert_eq!(place("0.3"), Ok(Place::after(Some(0))));
        assert_eq!(place("0.0"), Ok(Place::default()));
        assert_eq!(place("-1"), place("0"));
        let cut = Some(6);
        let node = Some(0);
        assert_eq!(place("0:One. T"), Ok(Place { node, cut }));
        assert_eq!(place("0:\"One. T\""), Ok(Place { node, cut }));
        assert_eq!(place("0:Three."), place("0"));
        assert_eq!(place("dawn"), place("0"));
        assert_eq!(place("start"), Ok(Place::default()));
        for (name, part) in [
            ("dwan", "did you mean dawn"),
            ("7", "numbered 0 to 1"),
            ("0.9", "3 sentences"),
            ("-5", "only 2"),
            ("x.y", "no passage or mark"),
            ("0:Zwei", "does not contain \"Zwei\""),
            ("0:", "does not contain"),
        ] {
            assert!(
                place(name).unwrap_err().contains(part),
                "{name}: {:?}",
                place(name)
            );
        }
    }
}

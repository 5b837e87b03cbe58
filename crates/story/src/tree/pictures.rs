//! Finds the pictures of a story, their versions and their places.

use super::Story;
use crate::node::picture::Picture;
use crate::node::{Node, NodeId, Passage};

impl Story {
    /// The picture with this id; None if there is no such passage or it is a text.
    pub fn picture(&self, id: NodeId) -> Option<&Picture> {
        self.node(id)?.picture.as_deref()
    }

    /// Returns all versions of picture `id`, including the picture itself. Hidden versions are left
    /// out, unless they are shown on the page.
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

    /// Returns the pictures on a path, each with the number of passages that precede it on the
    /// path.
    ///
    /// If an edit copied the passage that a picture follows, the picture follows the copy. If the
    /// end of that passage was edited, the picture follows the edited passage.
    pub fn pictures_on(&self, path: &[Passage]) -> Vec<(usize, NodeId)> {
        let mut found: Vec<(usize, NodeId)> = Vec::new();
        if !self.has_shown_pictures() {
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

    /// The passage that `node` was copied from, if the copied text includes that passage's end.
    fn origin_of_end(&self, node: &Node) -> Option<&Node> {
        let of = node.copied_from?;
        let origin = self.node(of.node)?;
        (of.to == origin.text.len()).then_some(origin)
    }
}

/// Returns the number of passages on the path up to the end of the passage at `index`. Passages
/// that continue it after an edit are counted too. Returns None if the end of the passage is not on
/// the path.
fn end_of(path: &[Passage], index: usize) -> Option<usize> {
    let passage = path[index];
    let next = path.get(index + 1);
    if passage.text.len() == passage.node.text.len() && next.is_none_or(|next| next.cut.is_none()) {
        return Some(index + 1);
    }
    let next = next?;
    if next.copied_from.is_some() && !next.joins && !next.edited {
        // Its last words were removed, and the text after it was copied.
        return Some(index + 1);
    }
    if !next.edited {
        return None;
    }
    let rest = path[index + 1..].iter();
    let joined = rest.take_while(|passage| passage.continues_previous());
    Some(index + 1 + joined.count())
}

#[cfg(test)]
mod tests;

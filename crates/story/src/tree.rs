//! The story: a tree of passages that only grows.
//!
//! A story is the result of applying its records in order (see [`super::record`]): the same records
//! always produce the same story. Nothing is overwritten or removed. Each action of the writer is a
//! step, which consists of small changes (for example, the head moves, a passage is hidden, or the
//! memory is replaced). Each step can be undone and redone.

mod pictures;

use super::frame::Frame;
use super::node::{Node, NodeId, Passage, Place, Status};
use super::record::{Change, PassageEnd, Record, StepKind, StreamedText};
use std::collections::{BTreeMap, HashSet};

/// All passages of a session, and the head.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Story {
    nodes: Vec<Node>,
    children: Vec<Vec<NodeId>>,
    roots: Vec<NodeId>,
    running: Vec<NodeId>,
    head: Option<NodeId>,
    hidden: HashSet<NodeId>,
    /// The pictures shown on the page.
    shown: HashSet<NodeId>,
    marks: BTreeMap<String, NodeId>,
    frame: Frame,
    /// For each step that can be undone, the changes that revert the step. The most recent step is
    /// last.
    undo_stack: Vec<Vec<Change>>,
    redo_stack: Vec<Vec<Change>>,
}

impl Story {
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(usize::try_from(id).ok()?)
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The passage at which the story currently ends; None at the beginning.
    pub fn head(&self) -> Option<NodeId> {
        self.head
    }

    pub fn next_id(&self) -> NodeId {
        self.nodes.len() as NodeId
    }

    /// The texts that the model reads alongside the story.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    pub fn marks(&self) -> &BTreeMap<String, NodeId> {
        &self.marks
    }

    /// Whether passage `id` is hidden.
    pub fn is_hidden(&self, id: NodeId) -> bool {
        self.hidden.contains(&id)
    }

    /// Whether picture `id` is shown on the page.
    pub fn is_shown(&self, id: NodeId) -> bool {
        self.shown.contains(&id)
    }

    pub fn has_shown_pictures(&self) -> bool {
        !self.shown.is_empty()
    }

    pub fn roots(&self) -> &[NodeId] {
        &self.roots
    }

    pub fn children(&self, id: NodeId) -> &[NodeId] {
        let index = usize::try_from(id).unwrap_or(usize::MAX);
        self.children.get(index).map_or(&[], Vec::as_slice)
    }

    /// The ids of all passages that start at `place`, oldest first.
    pub fn passages_at(&self, place: Place) -> impl Iterator<Item = NodeId> {
        let there = match place.node {
            Some(parent) => self.children(parent),
            None => &self.roots,
        };
        let fits = move |id: &NodeId| self.node(*id).is_some_and(|node| node.cut == place.cut);
        there.iter().copied().filter(fits)
    }

    /// The path from the first passage to passage `to`.
    pub fn path_to(&self, to: Option<NodeId>) -> Vec<Passage<'_>> {
        self.path_at(Place::after(to))
    }

    /// Returns the path from the first passage to `place`. The last passage is cut at `place`.
    pub fn path_at(&self, place: Place) -> Vec<Passage<'_>> {
        let mut path = Vec::new();
        let mut at = place;
        while let Some(node) = at.node.and_then(|id| self.node(id)) {
            let whole = node.text.as_str();
            let text = at.cut.and_then(|cut| whole.get(..cut)).unwrap_or(whole);
            path.push(Passage { node, text });
            at = node.place();
        }
        path.reverse();
        path
    }

    /// The path from the first passage to the head.
    pub fn path(&self) -> Vec<Passage<'_>> {
        self.path_to(self.head)
    }

    /// The first passage that is still being generated.
    pub fn running(&self) -> Option<NodeId> {
        self.running.first().copied()
    }

    pub fn all_running(&self) -> &[NodeId] {
        &self.running
    }

    /// Returns the first part of the passage to which part `id` belongs. A passage consists of
    /// several parts if it was edited, or if the story branches off inside it.
    pub fn first_part(&self, id: NodeId) -> NodeId {
        let mut at = id;
        while let Some(node) = self.node(at).filter(|node| node.continues_previous()) {
            match node.parent {
                Some(parent) => at = parent,
                None => break,
            }
        }
        at
    }

    /// Returns all versions of the passage to which part `id` belongs, in the order of creation. A
    /// version starts at the same place as the passage, or branches off inside another version.
    /// Each version is identified by its last part. Hidden versions are left out, except a version
    /// that ends at the head.
    pub fn versions(&self, id: NodeId) -> Vec<NodeId> {
        if self.picture(id).is_some() {
            return self.picture_versions(id);
        }
        let Some(base) = self.node(self.first_part(id)) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        // A passage joined to the previous one counts as a version of that one.
        let begins = |id: &NodeId| *id == base.id || self.node(*id).is_some_and(|it| !it.joins);
        let there = self.passages_at(base.place());
        let mut waiting: Vec<NodeId> = there.filter(begins).collect();
        while let Some(at) = waiting.pop() {
            let children = self.children(at).iter().copied();
            let (forks, whole): (Vec<_>, Vec<_>) = children
                .filter_map(|id| self.node(id))
                .filter(|child| child.continues_previous())
                .partition(|child| child.cut.is_some());
            let own = self.node(at).is_some_and(|node| !node.aside);
            let seen = !self.is_hidden(at) || self.head == Some(at);
            if whole.is_empty() && own && seen {
                found.push(at);
            }
            waiting.extend(forks.iter().chain(&whole).map(|node| node.id));
        }
        found.sort_unstable();
        found
    }

    /// The number of steps that can be undone, and the number of steps that can be redone.
    pub fn steps(&self) -> (usize, usize) {
        (self.undo_stack.len(), self.redo_stack.len())
    }

    /// Applies one record. A record that contradicts the story is refused, and nothing changes.
    pub fn apply(&mut self, record: &Record) -> Result<(), RecordError> {
        match record {
            Record::Node(node) => self.add_node(node),
            Record::Text(streamed) => self.append_text(streamed),
            Record::End(ended) => self.end_passage(ended),
            Record::Head(head) => match head.why {
                StepKind::Undo => self.replay_until(head.to, true),
                StepKind::Redo => self.replay_until(head.to, false),
                _ => self.apply_step(&[Change::Head { to: head.to }]),
            },
            Record::Step(step) => self.apply_step(&step.changes),
            Record::Undo(undo) => self.replay_steps(undo.steps, true),
            Record::Redo(redo) => self.replay_steps(redo.steps, false),
            Record::Book(book) => {
                self.frame.add_book(book.clone());
                Ok(())
            }
            Record::Session(_) | Record::Settings(_) | Record::Unknown => Ok(()),
        }
    }

    /// Marks all passages that are still being generated as interrupted, because the program ended.
    pub fn interrupt(&mut self) {
        for id in std::mem::take(&mut self.running) {
            self.nodes[id as usize].status = Status::Interrupted;
        }
    }

    fn add_node(&mut self, node: &Node) -> Result<(), RecordError> {
        let out_of_order = || RecordError(format!("passage {} is out of order", node.id));
        if node.id != self.next_id() {
            return Err(out_of_order());
        }
        if let Some(parent) = node.parent {
            let parent = self.node(parent).ok_or_else(out_of_order)?;
            let boundary = |cut| parent.text.is_char_boundary(cut);
            let fixed = parent.status != Status::Running;
            if node.cut.is_some_and(|cut| !fixed || !boundary(cut)) {
                return Err(RecordError(format!(
                    "passage {} branches at an invalid place",
                    node.id
                )));
            }
        } else if node.cut.is_some() {
            return Err(out_of_order());
        }
        let mut node = node.clone();
        if let Some(of) = node.copied_from {
            let source = self
                .node(of.node)
                .and_then(|of_node| of_node.text.get(of.from..of.to));
            let source = source.ok_or_else(|| {
                RecordError(format!("passage {} refers to a missing passage", node.id))
            })?;
            node.text = source.to_string();
        }
        match node.parent {
            Some(parent) => self.children[parent as usize].push(node.id),
            None => self.roots.push(node.id),
        }
        if node.status == Status::Running {
            self.running.push(node.id);
        }
        self.nodes.push(node);
        self.children.push(Vec::new());
        Ok(())
    }

    fn append_text(&mut self, streamed: &StreamedText) -> Result<(), RecordError> {
        let node = self.running_node(streamed.node)?;
        if node.ids.is_empty() {
            node.healed = streamed.healed;
        }
        node.text.push_str(&streamed.text);
        node.thought.push_str(&streamed.thought);
        node.ids.extend(&streamed.ids);
        Ok(())
    }

    fn end_passage(&mut self, ended: &PassageEnd) -> Result<(), RecordError> {
        let node = self.running_node(ended.node)?;
        if ended.status == Status::Running {
            return Err(RecordError(format!(
                "passage {} has no end record",
                ended.node
            )));
        }
        node.status = ended.status;
        node.rewound.clone_from(&ended.rewound);
        if let Some(how) = &mut node.provenance {
            if let Some(maker) = &ended.maker {
                how.maker = maker.clone();
            }
            how.shared = ended.shared;
        }
        self.running.retain(|id| *id != ended.node);
        Ok(())
    }

    fn running_node(&mut self, id: NodeId) -> Result<&mut Node, RecordError> {
        let node = usize::try_from(id).ok().and_then(|i| self.nodes.get_mut(i));
        node.filter(|node| node.status == Status::Running)
            .ok_or_else(|| RecordError(format!("passage {id} is not being written")))
    }

    fn apply_step(&mut self, changes: &[Change]) -> Result<(), RecordError> {
        for change in changes {
            self.check_change(change)?;
        }
        let back = self.apply_changes(changes);
        self.undo_stack.push(back);
        self.redo_stack.clear();
        Ok(())
    }

    fn check_change(&self, change: &Change) -> Result<(), RecordError> {
        let named = match change {
            Change::Head { to } => *to,
            Change::Hidden { node, .. } | Change::Shown { node, .. } => Some(*node),
            Change::Mark { node, .. } => *node,
            Change::Frame { .. } => None,
        };
        match named {
            Some(id) if id >= self.next_id() => {
                Err(RecordError(format!("there is no passage {id} yet")))
            }
            _ => Ok(()),
        }
    }

    /// Applies changes, and returns the changes that revert them.
    fn apply_changes(&mut self, changes: &[Change]) -> Vec<Change> {
        let mut back: Vec<Change> = changes
            .iter()
            .map(|change| self.apply_change(change))
            .collect();
        back.reverse();
        back
    }

    fn apply_change(&mut self, change: &Change) -> Change {
        match change {
            Change::Head { to } => Change::Head {
                to: std::mem::replace(&mut self.head, *to),
            },
            Change::Hidden { node, hidden } => {
                let was = match hidden {
                    true => !self.hidden.insert(*node),
                    false => self.hidden.remove(node),
                };
                Change::Hidden {
                    node: *node,
                    hidden: was,
                }
            }
            Change::Shown { node, shown } => {
                let was = match shown {
                    true => !self.shown.insert(*node),
                    false => self.shown.remove(node),
                };
                Change::Shown {
                    node: *node,
                    shown: was,
                }
            }
            Change::Mark { name, node } => {
                let was = match node {
                    Some(node) => self.marks.insert(name.clone(), *node),
                    None => self.marks.remove(name),
                };
                Change::Mark {
                    name: name.clone(),
                    node: was,
                }
            }
            Change::Frame { set } => Change::Frame {
                set: self.frame.apply(set),
            },
        }
    }

    fn replay_steps(&mut self, steps: usize, back: bool) -> Result<(), RecordError> {
        for _ in 0..steps {
            let taken = match back {
                true => self.undo_stack.pop(),
                false => self.redo_stack.pop(),
            };
            let Some(changes) = taken else {
                return Err(RecordError("there is no such step".to_string()));
            };
            let inverse = self.apply_changes(&changes);
            match back {
                true => self.redo_stack.push(inverse),
                false => self.undo_stack.push(inverse),
            }
        }
        Ok(())
    }

    /// Undoes steps (or redoes them, if `back` is false) until the head is at `target`. Journals of
    /// version 0.1 record this target instead of a number of steps.
    fn replay_until(&mut self, target: Option<NodeId>, back: bool) -> Result<(), RecordError> {
        self.check_change(&Change::Head { to: target })?;
        let (past, future) = self.steps();
        for _ in 0..if back { past } else { future } {
            self.replay_steps(1, back)?;
            if self.head == target {
                return Ok(());
            }
        }
        self.head = target;
        Ok(())
    }
}

/// Why a record contradicts the story and was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RecordError(pub String);

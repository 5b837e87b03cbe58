//! The story is a tree of passages that only grows.
//!
//! A story is the fold of its records (see [`super::record`]): the same records give the same
//! story, on disk and in memory. Nothing is overwritten or removed; undo moves the head.

use super::record::{Ended, Head, Move, Record, Streamed};
use serde::{Deserialize, Serialize};

/// A passage's place in the order of writing, from 0.
pub type NodeId = u64;

/// One passage: what somebody wrote in one go, after its parent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    /// None for a passage that begins a story.
    pub parent: Option<NodeId>,
    pub author: Author,
    pub text: String,
    /// A turn of a chat, kept apart from its neighbours; prose flows on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub turn: bool,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<Provenance>,
    /// The tokens of `text` as the model wrote them; empty for people's text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// Given from outside: a file, a pipe, the command line.
    Prompt,
    User,
    Model,
}

/// How far a passage has come, and why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Written by a person: there from the start.
    Whole,
    /// Still being written.
    Running,
    /// The model ended it.
    Complete,
    /// It reached the number of tokens asked for.
    Length,
    /// It met one of the stop strings.
    StopString,
    /// The model's context was full.
    ContextFull,
    /// The writer stopped it; what came before is kept.
    Stopped,
    /// Something went wrong; what came before is kept.
    Failed,
    /// The program ended while it was being written.
    Interrupted,
}

/// Enough to make a passage again.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Provenance {
    pub model: String,
    pub model_sha256: String,
    pub backend: String,
    pub build: String,
    pub seed: u64,
    pub mode: super::Mode,
    pub sampling: super::Sampling,
    /// FNV-1a 64 of the context's text, in hexadecimal.
    pub context_digest: String,
}

/// Every passage of a session and where the writer stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Story {
    nodes: Vec<Node>,
    children: Vec<Vec<NodeId>>,
    roots: Vec<NodeId>,
    head: Option<NodeId>,
    past: Vec<Option<NodeId>>,
    future: Vec<Option<NodeId>>,
}

impl Story {
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(usize::try_from(id).ok()?)
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The passage after which writing goes on; None at the very beginning.
    pub fn head(&self) -> Option<NodeId> {
        self.head
    }

    pub fn next_id(&self) -> NodeId {
        self.nodes.len() as NodeId
    }

    /// Every passage that has the same parent as `id`, `id` among them, oldest first.
    pub fn siblings(&self, id: NodeId) -> &[NodeId] {
        match self.node(id).and_then(|node| node.parent) {
            Some(parent) => self.children(parent),
            None => &self.roots,
        }
    }

    pub fn children(&self, id: NodeId) -> &[NodeId] {
        let index = usize::try_from(id).unwrap_or(usize::MAX);
        self.children.get(index).map_or(&[], Vec::as_slice)
    }

    /// From the story's first passage to `to`.
    pub fn path_to(&self, to: Option<NodeId>) -> Vec<&Node> {
        let mut path = Vec::new();
        let mut at = to.and_then(|id| self.node(id));
        while let Some(node) = at {
            path.push(node);
            at = node.parent.and_then(|id| self.node(id));
        }
        path.reverse();
        path
    }

    /// The passages that make the story as it now stands.
    pub fn path(&self) -> Vec<&Node> {
        self.path_to(self.head)
    }

    pub fn running(&self) -> Option<NodeId> {
        let last = self.nodes.last()?;
        (last.status == Status::Running).then_some(last.id)
    }

    /// Where `n` undos would lead; fewer when the past is shorter, None when it is empty.
    pub fn undo_target(&self, n: usize) -> Option<Option<NodeId>> {
        let from = self.past.len().saturating_sub(n.max(1));
        self.past.get(from).copied()
    }

    pub fn redo_target(&self, n: usize) -> Option<Option<NodeId>> {
        let from = self.future.len().saturating_sub(n.max(1));
        self.future.get(from).copied()
    }

    /// Takes one record in. A record that does not fit the story is refused, and nothing changes.
    pub fn apply(&mut self, record: &Record) -> Result<(), Misfit> {
        match record {
            Record::Node(node) => self.add(node),
            Record::Text(streamed) => self.extend(streamed),
            Record::End(ended) => self.end(ended),
            Record::Head(head) => self.go(head),
            Record::Session(_) | Record::Settings(_) | Record::Unknown => Ok(()),
        }
    }

    /// Marks a passage that was being written when the program ended.
    pub fn interrupt(&mut self) {
        for node in &mut self.nodes {
            if node.status == Status::Running {
                node.status = Status::Interrupted;
            }
        }
    }

    fn add(&mut self, node: &Node) -> Result<(), Misfit> {
        if node.id != self.next_id() || node.parent.is_some_and(|parent| parent >= node.id) {
            return Err(Misfit(format!("passage {} is out of order", node.id)));
        }
        match node.parent {
            Some(parent) => self.children[parent as usize].push(node.id),
            None => self.roots.push(node.id),
        }
        self.nodes.push(node.clone());
        self.children.push(Vec::new());
        Ok(())
    }

    fn extend(&mut self, streamed: &Streamed) -> Result<(), Misfit> {
        let node = self.running_node(streamed.node)?;
        node.text.push_str(&streamed.text);
        node.ids.extend(&streamed.ids);
        Ok(())
    }

    fn end(&mut self, ended: &Ended) -> Result<(), Misfit> {
        self.running_node(ended.node)?.status = ended.status;
        Ok(())
    }

    fn running_node(&mut self, id: NodeId) -> Result<&mut Node, Misfit> {
        let node = usize::try_from(id).ok().and_then(|i| self.nodes.get_mut(i));
        node.filter(|node| node.status == Status::Running)
            .ok_or_else(|| Misfit(format!("passage {id} is not being written")))
    }

    fn go(&mut self, head: &Head) -> Result<(), Misfit> {
        if head.to.is_some_and(|id| id >= self.next_id()) {
            return Err(Misfit("the head points past the story's end".to_string()));
        }
        match head.why {
            Move::Undo => {
                retrace(&mut self.past, &mut self.future, self.head, head.to);
            }
            Move::Redo => {
                retrace(&mut self.future, &mut self.past, self.head, head.to);
            }
            Move::Write | Move::Retry | Move::Swipe => {
                self.past.push(self.head);
                self.future.clear();
            }
        }
        self.head = head.to;
        Ok(())
    }
}

/// Moves along `from` until `target` is reached, leaving each place passed on `onto`.
fn retrace(
    from: &mut Vec<Option<NodeId>>,
    onto: &mut Vec<Option<NodeId>>,
    mut at: Option<NodeId>,
    target: Option<NodeId>,
) {
    while let Some(place) = from.pop() {
        onto.push(at);
        at = place;
        if place == target {
            return;
        }
    }
}

/// A record that contradicts the story so far.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misfit(pub String);

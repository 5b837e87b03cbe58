//! What `/undo`, `/redo` and `/swipe` do: the head moves, and nothing is erased.

use super::{Outcome, Refusal, Studio, cannot};
use crate::story::command::Swipe;
use crate::story::record::{Head, Move};
use crate::story::{NodeId, Record};

impl Studio {
    pub(super) fn undo(&mut self, steps: usize) -> Result<Outcome, Refusal> {
        let to = self.story.undo_target(steps);
        let to = to.ok_or_else(|| cannot("There is nothing to undo"))?;
        self.go(to, Move::Undo, "Went back; /redo goes forward again")
    }

    pub(super) fn redo(&mut self, steps: usize) -> Result<Outcome, Refusal> {
        let to = self.story.redo_target(steps);
        let to = to.ok_or_else(|| cannot("There is nothing to redo"))?;
        self.go(to, Move::Redo, "Went forward")
    }

    pub(super) fn swipe(&mut self, to: Swipe) -> Result<Outcome, Refusal> {
        let head = self
            .story
            .head()
            .ok_or_else(|| cannot("There is no passage yet"))?;
        let siblings = self.story.siblings(head).to_vec();
        let at = siblings.iter().position(|id| *id == head).unwrap_or(0);
        let wanted = match to {
            Swipe::Next if at + 1 == siblings.len() => return self.retry(None),
            Swipe::Next => at + 1,
            Swipe::Previous if at == 0 => return Err(cannot("This is the first version")),
            Swipe::Previous => at - 1,
            Swipe::To(number) => number - 1,
        };
        let count = siblings.len();
        let there = siblings.get(wanted).copied();
        let there = there.ok_or_else(|| cannot(&format!("There are {count} versions")))?;
        let said = format!("Version {} of {count}", wanted + 1);
        self.go(Some(there), Move::Swipe, &said)
    }

    fn go(&mut self, to: Option<NodeId>, why: Move, said: &str) -> Result<Outcome, Refusal> {
        self.record(vec![Record::Head(Head { to, why })])?;
        self.sync()?;
        Ok(Outcome::Moved(said.to_string()))
    }
}

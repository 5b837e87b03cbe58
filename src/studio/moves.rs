//! Moves through the story tree with `/undo`, `/swipe`, `/goto`, `/branch` and similar commands.
//! These commands move the head, set marks and hide passages; nothing is erased.

use super::{Outcome, Refusal, Studio, cannot};
use base::search::combines;
use base::untrusted::clean_line;
use story::command::Swipe;
use story::record::{Change, HeadMove, Step, StepCount, StepKind};
use story::sentence::{count_noun, excerpt};
use story::{Node, NodeId, Place, Record, places};

impl Studio {
    pub(super) fn undo(&mut self, steps: usize) -> Result<Outcome, Refusal> {
        let there = self.session.story.steps().0;
        if there == 0 {
            return Err(cannot("There is nothing to undo"));
        }
        let wanted = steps.max(1);
        let steps = wanted.min(there);
        self.note_down(vec![Record::Undo(StepCount { steps })])?;
        let all = match steps < wanted {
            true => format!(" {steps} steps, to the beginning"),
            false => String::new(),
        };
        Ok(Outcome::Moved(format!(
            "Undone{all}; /redo applies it again"
        )))
    }

    pub(super) fn redo(&mut self, steps: usize) -> Result<Outcome, Refusal> {
        let steps = steps.clamp(1, self.session.story.steps().1.max(1));
        if self.session.story.steps().1 == 0 {
            return Err(cannot("There is nothing to redo"));
        }
        self.note_down(vec![Record::Redo(StepCount { steps })])?;
        Ok(Outcome::Moved("Redone".to_string()))
    }

    pub(super) fn swipe(&mut self, to: Swipe) -> Result<Outcome, Refusal> {
        let head = self
            .session
            .story
            .head()
            .ok_or_else(|| cannot("There is no passage yet"))?;
        let versions = self.session.story.versions(head);
        let at = versions.iter().position(|id| *id == head).unwrap_or(0);
        let wanted = match to {
            Swipe::Next if at + 1 >= versions.len() => return self.retry(None),
            Swipe::Next => at + 1,
            Swipe::Previous if at == 0 => return Err(cannot("This is the first version")),
            Swipe::Previous => at - 1,
            Swipe::To(number) => number - 1,
        };
        let count = versions.len();
        let there = versions.get(wanted).copied();
        let there = there.ok_or_else(|| {
            cannot(&format!(
                "This passage has {}",
                count_noun(count, "version")
            ))
        })?;
        let said = format!("Version {} of {count}", wanted + 1);
        self.go(Some(there), StepKind::Swipe, &said)
    }

    pub(super) fn goto(&mut self, name: &str) -> Result<Outcome, Refusal> {
        let place = places::find_place(&self.session.story, name)?;
        if let Some(picture) = place
            .node
            .filter(|id| self.session.story.picture(*id).is_some())
        {
            return self.show(picture);
        }
        let said = self.arrived(place);
        self.stand_at(place, StepKind::Goto, Vec::new())?;
        Ok(Outcome::Moved(said))
    }

    /// Moves the head one passage back if `by` is negative, or else forward to the newest child.
    pub(super) fn step(&mut self, by: isize) -> Result<Outcome, Refusal> {
        let head = self.session.story.head();
        let to = match (head, by < 0) {
            (Some(id), true) => self.session.story.node(id).and_then(|node| node.parent),
            (None, true) => return Err(cannot("This is the beginning of the story")),
            (_, false) => {
                let next = match head {
                    Some(id) => self.session.story.children(id),
                    None => self.session.story.roots(),
                };
                let open = |id: &&NodeId| {
                    let node = self.session.story.node(**id);
                    let here = node.is_some_and(|node| node.cut.is_none() && !node.aside);
                    here && !self.session.story.is_hidden(**id)
                };
                let next = next.iter().rev().find(open).copied();
                Some(next.ok_or_else(|| cannot("No passage follows here yet"))?)
            }
        };
        let said = self.arrived(Place::after(to));
        self.go(to, StepKind::Goto, &said)
    }

    /// If `name` is a place in the story, moves the head to that place to start a branch there.
    /// Otherwise, marks the current place with this name.
    pub(super) fn branch(&mut self, name: Option<&str>) -> Result<Outcome, Refusal> {
        let elsewhere = name.and_then(|name| places::find_place(&self.session.story, name).ok());
        if let Some(place) = elsewhere {
            self.stand_at(place, StepKind::Branch, Vec::new())?;
            let said = "Your next passage starts a new branch; /tree shows all branches";
            return Ok(Outcome::Moved(said.to_string()));
        }
        let free = (1..)
            .map(|n| format!("branch-{n}"))
            .find(|name| !self.session.story.marks().contains_key(name));
        let name = name.map(str::to_string).or(free).unwrap_or_default();
        self.mark(Some(&name))
    }

    pub(super) fn mark(&mut self, name: Option<&str>) -> Result<Outcome, Refusal> {
        let Some(name) = name else {
            return Ok(self.list_marks());
        };
        let head = self
            .session
            .story
            .head()
            .ok_or_else(|| cannot("The story is empty; there is nothing to mark"))?;
        let name = clean_line(name);
        let plain = |c: char| c.is_alphanumeric() || combines(c) || " -_".contains(c);
        let number = name.chars().next().is_none_or(|c| c.is_ascii_digit());
        if number || name.chars().count() > 60 || !name.chars().all(plain) {
            return Err(cannot(
                "A mark starts with a letter and contains letters, digits, spaces, - and _, for example /mark the-storm",
            ));
        }
        let change = Change::Mark {
            name: name.clone(),
            node: Some(head),
        };
        self.do_step(StepKind::Mark, vec![change])?;
        Ok(Outcome::Said(format!(
            "Marked this place as {name}; return with /goto {name}"
        )))
    }

    /// Hides all other versions of the passage at the head.
    pub(super) fn keep_version(&mut self) -> Result<Outcome, Refusal> {
        let head = self
            .session
            .story
            .head()
            .ok_or_else(|| cannot("There is no passage yet"))?;
        let others = self.session.story.versions(head);
        let others = others.into_iter().filter(|id| *id != head);
        let hide = |node| Change::Hidden { node, hidden: true };
        let changes: Vec<Change> = others.map(hide).collect();
        if changes.is_empty() {
            return Err(cannot("This is the only version"));
        }
        let count = changes.len();
        self.do_step(StepKind::Keep, changes)?;
        Ok(Outcome::Moved(format!(
            "Kept this version and hid {count}; /undo restores them"
        )))
    }

    pub(super) fn go(
        &mut self,
        to: Option<NodeId>,
        why: StepKind,
        said: &str,
    ) -> Result<Outcome, Refusal> {
        self.note_down(vec![Record::Head(HeadMove { to, why })])?;
        Ok(Outcome::Moved(said.to_string()))
    }

    /// Moves the head to a place. If the place is inside a passage, first adds an empty passage
    /// that branches off at the place, and moves the head to the new passage.
    fn stand_at(&mut self, place: Place, why: StepKind, more: Vec<Change>) -> Result<(), Refusal> {
        // Text is added not after a picture, but after the passage that it illustrates.
        let (mut records, mut to) = (Vec::new(), place.node);
        if let Some(picture) = to
            .and_then(|id| self.session.story.node(id))
            .filter(|it| it.picture.is_some())
        {
            to = picture.parent;
        }
        if place.cut.is_some() {
            let id = self.session.story.next_id();
            records.push(Record::Node(Node {
                id,
                parent: place.node,
                cut: place.cut,
                ..Node::default()
            }));
            to = Some(id);
        }
        let mut changes = vec![Change::Head { to }];
        changes.extend(more);
        records.push(Record::Step(Step { why, changes }));
        self.note_down(records)
    }

    /// Applies changes as one step, so that one `/undo` reverts all of them.
    pub(super) fn do_step(&mut self, why: StepKind, changes: Vec<Change>) -> Result<(), Refusal> {
        self.note_down(vec![Record::Step(Step { why, changes })])
    }

    /// Adds records to the story and the journal, and syncs the journal to disk before returning.
    pub(super) fn note_down(&mut self, records: Vec<Record>) -> Result<(), Refusal> {
        self.record(records)?;
        self.sync()
    }

    fn arrived(&self, place: Place) -> String {
        let path = self.session.story.path_at(place);
        match path.iter().rev().find(|passage| !passage.text.is_empty()) {
            None => "At the beginning of the story".to_string(),
            Some(last) => {
                let from = last.text.len().saturating_sub(80);
                let from = (from..).find(|at| last.text.is_char_boundary(*at));
                let end = excerpt(&last.text[from.unwrap_or(0)..], 60);
                format!("At passage {}: …{end}", last.id)
            }
        }
    }
}

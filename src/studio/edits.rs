//! Runs `/edit`, `/merge` and `/delete`. These commands add new passages next to the old passages,
//! which stay unchanged.

use super::{Outcome, Refusal, Studio, cannot};
use base::untrusted::clean;
use story::edit::{self, EditPlan};
use story::frame::FrameChange;
use story::record::{Change, HeadMove, Step, StepKind};
use story::{Node, NodeId, Record, places};

impl Studio {
    pub(super) fn edit(
        &mut self,
        place: Option<&str>,
        text: Option<String>,
    ) -> Result<Outcome, Refusal> {
        let id = self.passage_named(place)?;
        if self.session.story.picture(id).is_some() {
            return Err(cannot(
                "A picture has no text to edit; use /vary or /restyle",
            ));
        }
        let node = self.session.story.node(id).filter(|node| node.aside);
        if let Some(summary) = node {
            let text = text.map(|text| clean(&text).into_owned());
            return match text {
                None => Ok(Outcome::Edit(id, summary.text.clone())),
                Some(text) => self.edit_summary(id, text),
            };
        }
        let path = self.session.story.path();
        let index = places::index_on_path(&self.session.story, &path, id).ok_or_else(|| {
            cannot("This passage is not on the current branch; go there with /goto")
        })?;
        let range = edit::passage_group(&path, index);
        let old = path[range.clone()].iter().map(|passage| passage.text);
        let old: String = old.collect();
        let Some(text) = text else {
            return Ok(Outcome::Edit(id, old));
        };
        let mut text = clean(&text).into_owned();
        // A typed line lacks the space that joined the old text to the previous passage.
        let lead: String = old.chars().take_while(|c| c.is_whitespace()).collect();
        if !text.is_empty() && !text.starts_with(char::is_whitespace) {
            text.insert_str(0, &lead);
        }
        match edit::replace_text(&self.session.story, &path, range, &text) {
            None => Ok(Outcome::Said("Nothing was changed".to_string())),
            Some(edit) => self.make(edit, StepKind::Edit, Vec::new(), "Edited; /undo reverts it"),
        }
    }

    /// Merges a passage into the previous passage.
    pub(super) fn merge(&mut self, place: Option<&str>) -> Result<Outcome, Refusal> {
        let id = self.passage_named(place)?;
        let path = self.session.story.path();
        let index = places::index_on_path(&self.session.story, &path, id)
            .ok_or_else(|| cannot("This passage is not on the current branch"))?;
        let range = edit::passage_group(&path, index);
        let Some(before) = range.start.checked_sub(1).map(|at| path[at]) else {
            return Err(cannot("There is no passage before this one"));
        };
        if path[range.start].turn && before.author != path[range.start].author {
            return Err(cannot(
                "In a chat, your turn and the model's cannot be merged; use /edit to change one of them",
            ));
        }
        let edit = edit::merge_with_previous(&self.session.story, &path, index);
        let said = "Merged; /undo splits them again";
        self.make(edit, StepKind::Merge, Vec::new(), said)
    }

    pub(super) fn delete(&mut self, place: Option<&str>) -> Result<Outcome, Refusal> {
        let id = self.passage_named(place)?;
        if self.session.story.picture(id).is_some() {
            return self.delete_picture(id);
        }
        let path = self.session.story.path();
        let Some(at) = places::index_on_path(&self.session.story, &path, id) else {
            let hide = Change::Hidden {
                node: id,
                hidden: true,
            };
            self.do_step(StepKind::Delete, vec![hide])?;
            return Ok(Outcome::Said("Hidden; /undo restores it".to_string()));
        };
        let range = edit::passage_group(&path, at);
        let (first, end) = (range.start, range.end);
        let hide = path[range].iter().filter(|p| p.cut.is_none() && !p.joins);
        let hide = hide.map(|passage| Change::Hidden {
            node: passage.id,
            hidden: true,
        });
        let hide: Vec<Change> = hide.collect();
        let edit = edit::remove_passages(&self.session.story, &path, first, end);
        self.make(edit, StepKind::Delete, hide, "Deleted; /undo restores it")
    }

    /// The passage that a command refers to. If `place` is None, this is the last passage with
    /// text.
    fn passage_named(&self, place: Option<&str>) -> Result<NodeId, Refusal> {
        let empty = || cannot("The story is empty");
        match place {
            Some(name) => places::find_place(&self.session.story, name)?
                .node
                .ok_or_else(empty),
            None => {
                let path = self.session.story.path();
                let last = path.iter().rev().find(|passage| !passage.text.is_empty());
                last.map(|passage| passage.id).ok_or_else(empty)
            }
        }
    }

    fn make(
        &mut self,
        edit: EditPlan,
        why: StepKind,
        more: Vec<Change>,
        said: &str,
    ) -> Result<Outcome, Refusal> {
        let mut records: Vec<Record> = edit.nodes.into_iter().map(Record::Node).collect();
        let to = edit.head;
        records.push(match more.is_empty() {
            true => Record::Head(HeadMove { to, why }),
            false => {
                let mut changes = vec![Change::Head { to }];
                changes.extend(more);
                Record::Step(Step { why, changes })
            }
        });
        self.note_down(records)?;
        Ok(Outcome::Moved(said.to_string()))
    }

    fn edit_summary(&mut self, old: NodeId, text: String) -> Result<Outcome, Refusal> {
        let id = self.session.story.next_id();
        let (parent, author) = match self.session.story.node(old) {
            Some(node) => (node.parent, node.author),
            None => return Err(cannot("There is no such passage")),
        };
        let node = Node {
            id,
            parent,
            author,
            edited: true,
            aside: true,
            text,
            ..Node::default()
        };
        let set = FrameChange::Summary { node: Some(id) };
        let changes = vec![Change::Frame { set }];
        let why = StepKind::Edit;
        self.note_down(vec![
            Record::Node(node),
            Record::Step(Step { why, changes }),
        ])?;
        Ok(Outcome::Said(
            "Changed the summary; /undo reverts it".to_string(),
        ))
    }
}

//! Adds drawn pictures to the story, and shows or hides pictures.

use super::outcome::Listed;
use super::pending::Illustration;
use super::pictures::PictureSource;
use super::{Notice, Outcome, Refusal, Studio};
use crate::store::picture::{PictureError, encode, size};
use base::hash::sha256;
use story::message::FailureKind;
use story::picture::{DrawnPicture, PictureProvenance};
use story::record::{Change, Step, StepKind};
use story::sentence::excerpt;
use story::{Author, Command, Node, NodeId, Picture, Record, Status};

impl Studio {
    /// Shows a picture instead of its other versions. If the passage that the picture illustrates
    /// is not on the current branch, moves the head to that passage.
    pub(super) fn show(&mut self, id: NodeId) -> Result<Outcome, Refusal> {
        let parent = self.session.story.node(id).and_then(|node| node.parent);
        let path = self.session.story.path();
        let here = parent.is_none() || path.iter().any(|passage| Some(passage.id) == parent);
        let mut changes = self.instead(id, Some(id));
        if !here {
            changes.insert(0, Change::Head { to: parent });
        }
        if self.session.story.is_hidden(id) {
            let hidden = false;
            changes.push(Change::Hidden { node: id, hidden });
        }
        if !changes.is_empty() {
            self.do_step(StepKind::Draw, changes)?;
        }
        let versions = self.session.story.picture_versions(id);
        let at = versions.iter().position(|other| *other == id).unwrap_or(0);
        let which = match versions.len() {
            0 | 1 => String::new(),
            count => format!(", version {} of {count}", at + 1),
        };
        let title = self
            .session
            .story
            .picture(id)
            .map(|picture| picture.provenance.title());
        let title = excerpt(&title.unwrap_or_default(), 60);
        Ok(Outcome::Moved(format!("Picture #{id}{which}: {title}")))
    }

    /// The changes that make `shown` the only visible version of the picture `of`. If `shown` is
    /// None, no version stays visible.
    fn instead(&self, of: NodeId, shown: Option<NodeId>) -> Vec<Change> {
        let others = self.session.story.picture_versions(of).into_iter();
        let others = others.filter(|id| Some(*id) != shown && self.session.story.is_shown(*id));
        let mut changes: Vec<Change> = others
            .map(|node| Change::Shown { node, shown: false })
            .collect();
        let new = shown.filter(|id| !self.session.story.is_shown(*id));
        changes.extend(new.map(|node| Change::Shown { node, shown: true }));
        changes
    }

    /// Hides a picture.
    pub(super) fn delete_picture(&mut self, id: NodeId) -> Result<Outcome, Refusal> {
        let hide = Change::Hidden {
            node: id,
            hidden: true,
        };
        let mut changes = vec![hide];
        if self.session.story.is_shown(id) {
            changes.push(Change::Shown {
                node: id,
                shown: false,
            });
        }
        self.do_step(StepKind::Delete, changes)?;
        Ok(Outcome::Moved(format!(
            "Hid picture #{id}; /undo restores it"
        )))
    }

    /// Adds drawn pictures to the story, and saves their files.
    pub(super) fn drew(&mut self, place: Illustration, drawings: Vec<DrawnPicture>) -> Vec<Notice> {
        let mut records = Vec::new();
        let mut rows = Vec::new();
        let several = drawings.len() > 1;
        let first = self.session.story.next_id();
        for (id, drawing) in (first..).zip(&drawings) {
            let bytes = match encode(&drawing.layers, &drawing.provenance) {
                Ok(bytes) => bytes,
                Err(why) => {
                    let fault = match why {
                        PictureError::NoPng(_) => FailureKind::Engine,
                        _ => FailureKind::Request,
                    };
                    return vec![Notice::Error(why.to_string(), fault)];
                }
            };
            let (width, height) = size(&drawing.provenance);
            let own = several && id > first;
            let picture = Picture {
                sha256: sha256(&bytes),
                width,
                height,
                beside: place.beside.or(own.then_some(first)),
                provenance: drawing.provenance.clone(),
            };
            if let Err(refusal) = self.keep_picture(id, bytes) {
                let seed = drawing.provenance.seed;
                let why =
                    format!("{refusal}; the picture was not saved; seed={seed} draws it again");
                return vec![Notice::Error(why, FailureKind::Store)];
            }
            records.push(Record::Node(Node {
                id,
                parent: place.parent,
                author: Author::Model,
                aside: true,
                status: Status::Complete,
                picture: Some(Box::new(picture)),
                ..Node::default()
            }));
            rows.push(listed(id, &drawing.provenance));
        }
        let Some(last) = drawings.first() else {
            return Vec::new();
        };
        let mut changes = match place.beside {
            Some(beside) => self.instead(beside, None),
            None => Vec::new(),
        };
        changes.push(Change::Shown {
            node: first,
            shown: true,
        });
        let why = StepKind::Draw;
        records.push(Record::Step(Step { why, changes }));
        let kept = self.record(records).and_then(|()| self.sync());
        let nodes: Vec<NodeId> = (first..).take(drawings.len()).collect();
        let said = said(first, &last.provenance, nodes.len());
        let mut notices = vec![Notice::Drawn { nodes, said }];
        if let Err(refusal) = kept {
            notices.push(Notice::Error(refusal.to_string(), FailureKind::Store));
        }
        if several {
            self.session.listed.clone_from(&rows);
            let title = "Pictures; /pick N shows another one instead".to_string();
            notices.push(Notice::List(title, rows));
        }
        notices
    }

    /// Saves a picture's file. This must happen before any record mentions the picture.
    fn keep_picture(&mut self, id: NodeId, bytes: Vec<u8>) -> Result<(), Refusal> {
        self.session.ensure_journal(&self.setup)?;
        self.session.ensure_place()?;
        match &mut self.session.journal {
            Some(journal) => journal.save_picture(id, &bytes)?,
            None => drop(self.session.in_memory_pictures.insert(id, bytes.into())),
        }
        Ok(())
    }

    /// The lines that describe a picture's provenance.
    pub(super) fn why_picture(&self, id: NodeId, picture: &Picture) -> Vec<String> {
        let how = &picture.provenance;
        let mut lines = vec![
            format!("#{id} is a picture of {}", how.title()),
            format!("  interpreted as {}", how.concept_summary()),
            format!(
                "  style {}, seed {}, {}",
                how.style.as_deref().unwrap_or("any"),
                how.seed,
                how.build
            ),
            format!(
                "  {} decoding steps, temperature {}, guidance {}, retrieval {}, {} by {} pixels",
                how.steps,
                how.temperature,
                how.guidance,
                how.retrieval_strength,
                picture.width,
                picture.height
            ),
            format!("  weights {} on {}", how.weights, how.backend),
            format!("  sha256 {}", picture.sha256),
        ];
        if let Some(PictureSource::File(path)) = self.picture(id) {
            lines.push(format!("  in {}", path.display()));
        }
        let versions = self.session.story.picture_versions(id).len();
        if versions > 1 {
            lines.push(format!("  {versions} versions"));
        }
        lines
    }
}

fn listed(id: NodeId, how: &PictureProvenance) -> Listed {
    let style = how.style.as_deref().unwrap_or("any style");
    let title = excerpt(&how.title(), 80);
    Listed {
        label: format!("#{id} {style}, seed {}: {title}", how.seed),
        command: Command::Goto(format!("#{id}")),
    }
}

/// Describes the drawn pictures and their prompt.
fn said(first: NodeId, how: &PictureProvenance, count: usize) -> String {
    let title = excerpt(&how.title(), 60);
    let which = match count {
        1 => format!("#{first}, seed {}", how.seed),
        count => format!("{count} pictures, starting with #{first}"),
    };
    format!("I drew: {} (“{title}”, {which})", how.concept_summary())
}

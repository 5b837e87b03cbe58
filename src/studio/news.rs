//! What the engine's events do to the story and what the writer should hear of them.

use super::{Notice, Studio, Work};
use crate::story::message::{Fault, Stats};
use crate::story::record::{Ended, Streamed};
use crate::story::{Event, NodeId, Record, Status};

impl Studio {
    /// Takes the engine's news. Call [`Studio::flush`] once all that waited has been taken.
    pub fn absorb(&mut self, event: Event) -> Option<Notice> {
        match event {
            Event::Loading { what, done, total } => {
                self.work = Work::Loading { what, done, total };
                None
            }
            Event::Ready(about) => {
                let note = about.note.clone();
                self.about = Some(about);
                match self.settle_model() {
                    Ok(()) => note.map(Notice::Warning),
                    Err(refusal) => Some(Notice::Error(refusal.to_string(), Fault::Store)),
                }
            }
            Event::Prefill {
                done,
                total,
                reused,
                dropped,
                ..
            } => {
                let first = self.work == Work::Writing || matches!(self.work, Work::Loading { .. });
                self.work = Work::Reading {
                    done,
                    total,
                    reused,
                };
                (first && dropped > 0).then(|| Notice::Warning(left_out(dropped)))
            }
            Event::Piece { node, text, ids } => {
                self.work = Work::Writing;
                self.stream(node, &text, &ids);
                None
            }
            Event::Done {
                node,
                status,
                stats,
            } => self.ended(node, status, Some(stats), None),
            Event::Failed { node, why, fault } => {
                let ended = self.ended(node, Status::Failed, None, Some(why.clone()));
                match ended {
                    Some(Notice::Error(..)) => ended,
                    _ => Some(Notice::Error(why, fault)),
                }
            }
        }
    }

    fn stream(&mut self, node: NodeId, text: &str, ids: &[u32]) {
        match &mut self.streamed {
            Some(streamed) if streamed.node == node => {
                streamed.text.push_str(text);
                streamed.ids.extend(ids);
            }
            _ => {
                self.streamed = Some(Streamed {
                    node,
                    text: text.to_string(),
                    ids: ids.to_vec(),
                });
            }
        }
    }

    fn ended(
        &mut self,
        node: Option<NodeId>,
        status: Status,
        stats: Option<Stats>,
        why: Option<String>,
    ) -> Option<Notice> {
        // A line typed while a model loads waits behind it.
        self.work = match self.story.running() {
            Some(running) if node != Some(running) => Work::Writing,
            _ => Work::Nothing,
        };
        let node = node?;
        self.last_stats = stats;
        let ended = Record::End(Ended { node, status, why });
        let kept = self
            .flush()
            .and_then(|()| self.record(vec![ended]))
            .and_then(|()| self.sync());
        match kept {
            Ok(()) => Some(Notice::Ended(node, status)),
            Err(refusal) => Some(Notice::Error(refusal.to_string(), Fault::Store)),
        }
    }

    /// The engine is gone; a passage must not wait for it for ever.
    pub fn engine_lost(&mut self) -> Option<Notice> {
        let node = self.story.running();
        let why = "The engine has stopped; everything is on disk, start illumine again".to_string();
        self.ended(node, Status::Failed, None, Some(why.clone()));
        Some(Notice::Error(why, Fault::Engine))
    }
}

fn left_out(dropped: usize) -> String {
    format!(
        "The story is longer than the model can hold: its oldest {dropped} tokens are not read; nothing is erased"
    )
}

//! What the engine's events do to the story and what the writer should hear of them.

use super::write::maker;
use super::{Afterwards, Notice, Refusal, Studio, Work};
use crate::story::context::room;
use crate::story::frame::FrameChange;
use crate::story::message::{Cut, Fault, Recalled, Stats};
use crate::story::record::{Change, Ended, Move, Step, Streamed};
use crate::story::untrusted::clean;
use crate::story::{Event, NodeId, Record, Status};

impl Studio {
    /// Takes the engine's news. Call [`Studio::flush`] once all that waited has been taken.
    pub fn absorb(&mut self, event: Event) -> Vec<Notice> {
        if self.is_awaited(&event) {
            return self.drawing_news(event);
        }
        match event {
            Event::Loading { what, done, total } => {
                self.work = Work::Loading { what, done, total };
                Vec::new()
            }
            Event::Ready(about) => {
                let note = about.note.clone().map(Notice::Warning);
                self.about = Some(about);
                self.warm_up();
                let long = self.too_long().map(Notice::Warning);
                let settled = self.settle_model().err();
                let failed =
                    settled.map(|refusal| Notice::Error(refusal.to_string(), Fault::Store));
                note.into_iter().chain(long).chain(failed).collect()
            }
            Event::Prefill {
                done,
                total,
                reused,
                cut,
                ..
            } => {
                self.work = Work::Reading {
                    done,
                    total,
                    reused,
                };
                match done == reused {
                    true => self.fitted(cut),
                    false => Vec::new(),
                }
            }
            Event::Piece {
                node,
                text,
                ids,
                healed,
            } => {
                self.work = Work::Writing;
                self.stream(node, &text, &ids, healed);
                Vec::new()
            }
            Event::Warned(why) => vec![Notice::Warning(why)],
            Event::Recalled(found) => self.recalled(found),
            Event::Rewound { node, phrase } => {
                self.rewound
                    .entry(node)
                    .or_default()
                    .push(clean(&phrase).into_owned());
                Vec::new()
            }
            Event::Alternatives(found) => {
                let (title, listed) = self.alternatives_came(found);
                vec![Notice::List(title, listed)]
            }
            Event::Suggested(line) => vec![Notice::Suggested(line)],
            Event::Explained(explained) => vec![Notice::Explained(explained)],
            Event::Kept(warm) => vec![self.kept(warm)],
            // Pictures that nobody waits for any more.
            Event::Drawing { .. } | Event::Drawn { .. } => Vec::new(),
            Event::Done {
                node,
                status,
                stats,
            } => self.ended(node, status, Some(stats), None),
            Event::Failed { node, why, fault } => {
                let mut notices = Vec::new();
                // None of those that were to be written with it will be.
                for running in self.story.all_running().to_vec() {
                    notices = self.ended(Some(running), Status::Failed, None, Some(why.clone()));
                }
                if node.is_none() {
                    self.asked = self.asked.saturating_sub(1);
                }
                if node.is_none() || notices.is_empty() {
                    self.work = match self.drawing() {
                        true => Work::Drawing { done: 0, total: 0 },
                        false => Work::Nothing,
                    };
                }
                let kept = !notices
                    .iter()
                    .any(|notice| matches!(notice, Notice::Error(..)));
                notices.retain(|notice| matches!(notice, Notice::Error(..)));
                notices.extend(kept.then_some(Notice::Error(why, fault)));
                notices
            }
        }
    }

    /// What of the context did not fit, as far as that is news.
    fn fitted(&mut self, cut: Cut) -> Vec<Notice> {
        let mut notices = Vec::new();
        if cut.begins.is_some() && self.begins != cut.begins {
            notices.push(Notice::Warning(left_out(cut.dropped)));
        }
        if !cut.lore.is_empty() && self.unread != cut.lore {
            let names = cut.lore.join(", ");
            notices.push(Notice::Warning(format!(
                "The lore's budget is spent: {names} is not read; /lore why tells more"
            )));
        }
        self.begins = cut.begins;
        self.unread = cut.lore;
        notices
    }

    /// What was found by its meaning, as far as that is news.
    fn recalled(&mut self, found: Vec<Recalled>) -> Vec<Notice> {
        let names = |found: &[Recalled]| -> Vec<String> {
            found.iter().map(|one| one.what.clone()).collect()
        };
        let (now, before) = (names(&found), names(&self.recalled));
        self.recalled = found;
        match now.is_empty() || now == before {
            true => Vec::new(),
            false => vec![Notice::Info(format!("Recalled: {}", now.join(", ")))],
        }
    }

    fn stream(&mut self, node: NodeId, text: &str, ids: &[u32], healed: usize) {
        let known = self
            .streamed
            .iter_mut()
            .find(|streamed| streamed.node == node);
        match known {
            Some(streamed) => {
                streamed.text.push_str(text);
                streamed.ids.extend(ids);
            }
            None => self.streamed.push(Streamed {
                node,
                text: text.to_string(),
                ids: ids.to_vec(),
                healed,
            }),
        }
    }

    fn ended(
        &mut self,
        node: Option<NodeId>,
        status: Status,
        stats: Option<Stats>,
        why: Option<String>,
    ) -> Vec<Notice> {
        // A line typed while a model loads waits behind it.
        let others = self.story.all_running().iter().any(|id| Some(*id) != node);
        self.work = match others {
            true => Work::Writing,
            false if self.drawing() => Work::Drawing { done: 0, total: 0 },
            false => Work::Nothing,
        };
        let Some(node) = node else {
            self.asked = self.asked.saturating_sub(1);
            if self.asked > 0 && self.work == Work::Nothing {
                self.work = Work::Writing;
            }
            return Vec::new();
        };
        let known = self.story.node(node).and_then(|node| node.how.as_ref());
        let unknown = known.is_some_and(|how| !how.maker.is_known());
        let maker = self.about.as_ref().filter(|_| unknown).map(maker);
        let rewound = self.rewound.remove(&node).unwrap_or_default();
        let turned_away = (!rewound.is_empty())
            .then(|| Notice::Info(format!("Turned away from {}", counted(&rewound))));
        let ended = Record::End(Ended {
            node,
            status,
            why,
            maker,
            rewound,
        });
        let kept = self
            .flush()
            .and_then(|()| self.record(vec![ended]))
            .and_then(|()| self.afterwards(node, status))
            .and_then(|()| self.leave_empty(node, status, others))
            .and_then(|()| self.sync());
        let nearly_full = stats.as_ref().and_then(|stats| self.nearly_full(stats));
        self.last_stats = stats;
        let mut notices = match kept {
            Ok(()) => vec![Notice::Ended(node, status)],
            Err(refusal) => vec![Notice::Error(refusal.to_string(), Fault::Store)],
        };
        notices.extend(turned_away);
        notices.extend(nearly_full);
        if self.candidates.contains(&node) && !others {
            let (title, listed) = self.candidates_came();
            notices.push(Notice::List(title, listed));
        }
        notices
    }

    /// Where the writer stopped before anything was written, nothing stands in the story: the head
    /// goes back to what was there.
    fn leave_empty(&mut self, node: NodeId, status: Status, others: bool) -> Result<(), Refusal> {
        let several = self.candidates.contains(&node);
        let all = if several {
            self.candidates.clone()
        } else {
            vec![node]
        };
        let empty = |id: &NodeId| {
            let node = self.story.node(*id);
            node.is_some_and(|node| node.text.is_empty() && node.cut.is_none() && !node.aside)
        };
        let stays = status != Status::Stopped || others || !all.iter().all(empty);
        let head = self.story.head().filter(|head| all.contains(head));
        let Some(head) = head.filter(|_| !stays) else {
            return Ok(());
        };
        let parent = self.story.node(head).and_then(|node| node.parent);
        let mut changes = vec![Change::Head { to: parent }];
        changes.extend(all.iter().map(|id| Change::Hidden {
            node: *id,
            hidden: true,
        }));
        self.candidates.clear();
        let why = Move::Delete;
        self.record(vec![Record::Step(Step { why, changes })])
    }

    /// What waited for this passage's end.
    fn afterwards(&mut self, node: NodeId, status: Status) -> Result<(), Refusal> {
        let said = self
            .story
            .node(node)
            .is_some_and(|node| !node.text.is_empty());
        match self.afterwards.remove(&node) {
            Some(Afterwards::Graft { head, index, from }) => self.graft(node, head, index, from),
            Some(Afterwards::Summary) if said && status != Status::Failed => {
                let set = FrameChange::Summary { node: Some(node) };
                self.do_step(Move::Frame, vec![Change::Frame { set }])
            }
            _ => Ok(()),
        }
    }

    /// A warning for a story that came whole, from disk or from a file, and is too long. Tokens are
    /// estimated: four bytes of Latin text make one, a character of other scripts does.
    pub(super) fn too_long(&mut self) -> Option<String> {
        let holds = self.about.as_ref()?.context;
        let tokens = |passage: &crate::story::Passage| match passage.ids.len() {
            0 => {
                passage
                    .text
                    .chars()
                    .map(|c| if c.is_ascii() { 1 } else { 4 })
                    .sum::<usize>()
                    / 4
            }
            count => count,
        };
        let all: usize = self.story.path().iter().map(tokens).sum();
        let wanted = self.settings.sampling.max_tokens as usize;
        let room = room(holds, wanted);
        if all <= room || self.warned {
            return None;
        }
        self.warned = true;
        Some(format!(
            "The story has about {all} tokens and the model holds {holds}: its oldest part will not be read (nothing is erased); /summarize keeps what happened in it, /set recall 3 finds what matters again"
        ))
    }

    /// A warning before anything has to be left out, once for each time that it comes near.
    fn nearly_full(&mut self, stats: &Stats) -> Option<Notice> {
        let holds = self.about.as_ref()?.context;
        let wanted = self.settings.sampling.max_tokens as usize;
        let room = room(holds, wanted);
        let used = stats.prompt_tokens + stats.new_tokens;
        let near = stats.dropped == 0 && used * 10 > room * 9;
        let warn = near && !self.warned;
        self.warned = near;
        let left = room.saturating_sub(used);
        warn.then(|| {
            Notice::Warning(format!(
                "The story nears what the model can hold: after {left} more tokens its oldest part is no longer read (nothing is erased); /summarize keeps what happened in it"
            ))
        })
    }

    /// The engine is gone; a passage must not wait for it for ever.
    pub fn engine_lost(&mut self) -> Vec<Notice> {
        let why = "The engine has stopped; everything is on disk, start illumine again".to_string();
        for node in self.story.all_running().to_vec() {
            self.ended(Some(node), Status::Failed, None, Some(why.clone()));
        }
        self.awaited = None;
        self.work = Work::Nothing;
        self.asked = 0;
        vec![Notice::Error(why, Fault::Engine)]
    }
}

/// Each phrase once, with how often it came.
pub(super) fn counted(phrases: &[String]) -> String {
    let mut found: Vec<(&str, usize)> = Vec::new();
    for phrase in phrases {
        match found.iter_mut().find(|(known, _)| known == phrase) {
            Some((_, count)) => *count += 1,
            None => found.push((phrase, 1)),
        }
    }
    let said = |(phrase, count): &(&str, usize)| {
        let phrase = crate::story::sentence::excerpt(phrase, 60);
        match count {
            1 => format!("\"{phrase}\""),
            count => format!("\"{phrase}\" ({count} times)"),
        }
    };
    const SHOWN: usize = 8;
    let mut all: Vec<String> = found.iter().take(SHOWN).map(said).collect();
    if found.len() > SHOWN {
        all.push(format!("{} more", found.len() - SHOWN));
    }
    all.join(", ")
}

fn left_out(dropped: usize) -> String {
    format!(
        "The story is longer than the model can hold: its oldest {dropped} tokens are not read; nothing is erased"
    )
}

//! Handles engine events: updates the story and produces notices.

use super::look::counted;
use super::pending::Purpose;
use super::session::Afterwards;
use super::write::maker;
use super::{Notice, Refusal, Studio, Work};
use story::frame::FrameChange;
use story::message::{FailureKind, PassageStats, Reply, RetrievedPassage, Truncation};
use story::record::{Change, PassageEnd, Step, StepKind, StreamedText};
use story::{Event, ModelInfo, NodeId, Record, RequestId, Status};

impl Studio {
    /// Handles one reply from the engine. When no further reply is waiting, the caller must call
    /// [`Studio::flush`].
    ///
    /// A reply to another session's request, or to a request that was already answered, changes
    /// nothing.
    pub fn absorb(&mut self, reply: Reply) -> Vec<Notice> {
        let Reply { request, event } = reply;
        match event {
            Event::Done {
                node,
                status,
                stats,
            } => self.done(request, node, status, stats),
            Event::Failed { why, fault, .. } => self.failed(request, why, fault),
            event if self.pending.concerns(request, self.session.id) => self.news(request, event),
            _ => Vec::new(),
        }
    }

    /// Handles an event of a request that has not ended.
    fn news(&mut self, id: RequestId, event: Event) -> Vec<Notice> {
        match event {
            Event::Loading { what, done, total } => {
                self.pending.works(id, Work::Loading { what, done, total });
                vec![Notice::Progress]
            }
            Event::Ready(about, capabilities) => {
                self.capabilities = capabilities;
                let mut notices = self.ready(id, about);
                notices.extend(capabilities.caveats().map(Notice::Info));
                notices
            }
            Event::Prefill {
                done,
                total,
                reused,
                cut,
                ..
            } => {
                let work = Work::Reading {
                    done,
                    total,
                    reused,
                };
                self.pending.works(id, work);
                let mut notices = vec![Notice::Progress];
                if done == reused {
                    notices.extend(self.fitted(cut));
                }
                notices
            }
            Event::Piece {
                node,
                text,
                ids,
                healed,
            } => {
                let thought = matches!(
                    self.pending.get(id).map(|request| &request.work),
                    Some(Work::Thinking { .. })
                );
                self.pending.works(id, Work::Writing);
                // A server does not report the tokens of its text.
                let tokens = ids.len().max(1);
                self.stream(StreamedText {
                    node,
                    text: text.clone(),
                    ids,
                    healed,
                    thought: String::new(),
                });
                let mut notices: Vec<Notice> = thought
                    .then_some(Notice::Thought(node))
                    .into_iter()
                    .collect();
                notices.push(Notice::Text { node, text, tokens });
                notices
            }
            Event::Thought { node, text } => {
                let before = match self.pending.get(id).map(|request| &request.work) {
                    Some(Work::Thinking { words }) => *words,
                    _ => usize::from(!text.starts_with(char::is_whitespace)),
                };
                let words = before + words_begun(&text);
                self.pending.works(id, Work::Thinking { words });
                self.stream(StreamedText {
                    node,
                    thought: text,
                    ..StreamedText::default()
                });
                vec![Notice::Progress]
            }
            Event::Ended {
                node,
                status,
                stats,
            } => self.ended(node, status, Some(stats), None),
            Event::Warned(why) => vec![Notice::Warning(why)],
            Event::Retrieved(found) => self.recalled(found),
            Event::Rewound { node, phrase } => {
                let phrases = self.session.rewound.entry(node).or_default();
                phrases.push(phrase);
                Vec::new()
            }
            Event::Suggested(text) => match self.pending.purpose(id) {
                Some(Purpose::Suggestion(purpose)) => self.suggested(*purpose, text),
                _ => Vec::new(),
            },
            Event::Explained(explained) => vec![Notice::Explained(explained)],
            Event::Measured(number) => vec![Notice::Measured(number)],
            Event::Drawing { done, total, .. } => {
                self.pending.works(id, Work::Drawing { done, total });
                vec![Notice::Progress]
            }
            Event::Alternatives(found) => match self.pending.purpose(id) {
                Some(Purpose::Alternatives(place)) => {
                    let (title, listed) = self.alternatives_came(*place, found);
                    vec![Notice::List(title, listed)]
                }
                _ => Vec::new(),
            },
            Event::CacheSaved(warm) => match self.pending.purpose(id) {
                Some(Purpose::SaveCache { any_size }) => vec![self.kept(warm, *any_size)],
                _ => Vec::new(),
            },
            Event::Drawn { drawings, .. } => match self.pending.purpose(id) {
                Some(Purpose::Pictures(place)) => self.drew(*place, drawings),
                _ => Vec::new(),
            },
            // The end of a request is handled elsewhere.
            Event::Done { .. } | Event::Failed { .. } => Vec::new(),
        }
    }

    /// Handles the event that a model has been loaded.
    fn ready(&mut self, id: RequestId, about: ModelInfo) -> Vec<Notice> {
        let note = about.note.clone().map(Notice::Warning);
        self.about = Some(about);
        self.warm_up();
        let long = self.too_long().map(Notice::Advice);
        let mut notices: Vec<Notice> = note.into_iter().chain(long).collect();
        let Some(request) = self.pending.get(id) else {
            return notices;
        };
        // Another session has its own model.
        let ours = request.session == self.session.id;
        if let Purpose::Load { model } = &request.purpose {
            let model = model.clone();
            self.loaded_model = Some(model.clone());
            let settled = match ours {
                true => self.settle_model(model),
                false => Ok(()),
            };
            notices.extend(settled.err().map(not_kept));
        }
        notices
    }

    /// Handles the end of a request.
    fn done(
        &mut self,
        id: RequestId,
        node: Option<NodeId>,
        status: Status,
        stats: PassageStats,
    ) -> Vec<Notice> {
        let Some(purpose) = self.pending.end(id, self.session.id) else {
            return Vec::new();
        };
        let stopped = status == Status::Stopped;
        let mut notices = vec![Notice::Answered(node.map(|_| stats.clone()))];
        match (purpose, node) {
            (Purpose::ReadAhead, _) => return Vec::new(),
            (Purpose::Passages(_), Some(node)) => {
                notices.extend(self.ended(node, status, Some(stats), None));
            }
            (Purpose::Pictures(_), _) if stopped => {
                notices.push(Notice::Info("Stopped; nothing was drawn".to_string()));
            }
            _ if stopped => notices.push(Notice::Stopped),
            _ => {}
        }
        notices
    }

    /// Handles the failure of a request.
    fn failed(&mut self, id: RequestId, why: String, fault: FailureKind) -> Vec<Notice> {
        let mut notices = match self.pending.end(id, self.session.id) {
            None | Some(Purpose::ReadAhead) => return Vec::new(),
            Some(Purpose::Passages(nodes)) => self.fail(&nodes, &why),
            Some(_) => Vec::new(),
        };
        notices.push(Notice::Answered(None));
        notices.push(Notice::Error(why, fault));
        notices
    }

    /// Ends the passages in `nodes` that are still running and marks them as failed. Returns a
    /// notice for each error that this causes, for example if text could not be saved.
    fn fail(&mut self, nodes: &[NodeId], why: &str) -> Vec<Notice> {
        let mut notices: Vec<Notice> = Vec::new();
        let running = |id: &&NodeId| self.session.story.all_running().contains(id);
        let running: Vec<NodeId> = nodes.iter().filter(running).copied().collect();
        for node in running {
            let told = self.ended(node, Status::Failed, None, Some(why.to_string()));
            for notice in told {
                if matches!(notice, Notice::Error(..)) && !notices.contains(&notice) {
                    notices.push(notice);
                }
            }
        }
        notices
    }

    /// Returns notices if the start of the context, or the list of lore entries over the budget,
    /// has changed since the last request.
    fn fitted(&mut self, cut: Truncation) -> Vec<Notice> {
        let mut notices = Vec::new();
        if cut.begins.is_some() && self.session.context_start != cut.begins {
            notices.push(Notice::LeftOut(cut.dropped));
        }
        if !cut.lore.is_empty() && self.session.lore_over_budget != cut.lore {
            let names = cut.lore.join(", ");
            notices.push(Notice::Warning(format!(
                "Over the lore budget: left out {names}; see /lore why"
            )));
        }
        self.session.context_start = cut.begins;
        self.session.lore_over_budget = cut.lore;
        notices
    }

    /// Returns a notice that names the retrieved passages, unless the last request retrieved the
    /// same passages.
    fn recalled(&mut self, found: Vec<RetrievedPassage>) -> Vec<Notice> {
        let names = |found: &[RetrievedPassage]| -> Vec<String> {
            found.iter().map(|one| one.what.clone()).collect()
        };
        let (now, before) = (names(&found), names(&self.session.recalled));
        self.session.recalled = found;
        match now.is_empty() || now == before {
            true => Vec::new(),
            false => vec![Notice::Info(format!("Retrieved: {}", now.join(", ")))],
        }
    }

    fn stream(&mut self, new: StreamedText) {
        let known = self
            .session
            .streamed
            .iter_mut()
            .find(|streamed| streamed.node == new.node);
        match known {
            Some(streamed) => {
                streamed.text.push_str(&new.text);
                streamed.ids.extend(&new.ids);
                streamed.thought.push_str(&new.thought);
            }
            None => self.session.streamed.push(new),
        }
    }

    fn ended(
        &mut self,
        node: NodeId,
        status: Status,
        stats: Option<PassageStats>,
        why: Option<String>,
    ) -> Vec<Notice> {
        let running = self.session.story.all_running();
        let others = running.iter().any(|id| *id != node);
        let known = self
            .session
            .story
            .node(node)
            .and_then(|node| node.provenance.as_ref());
        let unknown = known.is_some_and(|how| !how.maker.is_known());
        let maker = self.about.as_ref().filter(|_| unknown).map(maker);
        let rewound = self.session.rewound.remove(&node).unwrap_or_default();
        let turned_away = (!rewound.is_empty())
            .then(|| Notice::Info(format!("Avoided banned phrases: {}", counted(&rewound))));
        let ended = Record::End(PassageEnd {
            node,
            status,
            why,
            maker,
            rewound,
            shared: stats.as_ref().and_then(|stats| stats.shared),
        });
        // Even if the text cannot be saved, the passage must end.
        let flushed = self.flush();
        let kept = self
            .record(vec![ended])
            .and_then(|()| self.afterwards(node, status))
            .and_then(|()| self.leave_empty(node, status, others))
            .and_then(|()| self.sync());
        let nearly_full = stats.as_ref().and_then(|stats| self.nearly_full(stats));
        self.session.last_stats = stats;
        let mut notices = match flushed.and(kept) {
            Ok(()) => vec![Notice::Ended(node, status)],
            Err(refusal) => vec![not_kept(refusal)],
        };
        notices.extend(turned_away);
        notices.extend(nearly_full);
        if self.session.candidates.contains(&node) && !others {
            let (title, listed) = self.candidates_came();
            notices.push(Notice::List(title, listed));
        }
        notices
    }

    /// Hides a passage that was stopped before it had any text, and moves the head back.
    /// Continuations generated side by side are hidden only if all of them are empty. If `others`
    /// is true, other passages are still running, and nothing is hidden.
    fn leave_empty(&mut self, node: NodeId, status: Status, others: bool) -> Result<(), Refusal> {
        let several = self.session.candidates.contains(&node);
        let all = if several {
            self.session.candidates.clone()
        } else {
            vec![node]
        };
        let empty = |id: &NodeId| {
            let node = self.session.story.node(*id);
            node.is_some_and(|node| node.text.is_empty() && node.cut.is_none() && !node.aside)
        };
        let stays = status != Status::Stopped || others || !all.iter().all(empty);
        let head = self.session.story.head().filter(|head| all.contains(head));
        let Some(head) = head.filter(|_| !stays) else {
            return Ok(());
        };
        let parent = self.session.story.node(head).and_then(|node| node.parent);
        let mut changes = vec![Change::Head { to: parent }];
        changes.extend(all.iter().map(|id| Change::Hidden {
            node: *id,
            hidden: true,
        }));
        self.session.candidates.clear();
        let why = StepKind::Delete;
        self.record(vec![Record::Step(Step { why, changes })])
    }

    /// Runs the action, if there is one, that was waiting for the passage `node` to end.
    fn afterwards(&mut self, node: NodeId, status: Status) -> Result<(), Refusal> {
        let said = self
            .session
            .story
            .node(node)
            .is_some_and(|node| !node.text.is_empty());
        match self.session.afterwards.remove(&node) {
            Some(Afterwards::Graft { head, index, from }) => self.graft(node, head, index, from),
            Some(Afterwards::Summary) if said && status != Status::Failed => {
                let set = FrameChange::Summary { node: Some(node) };
                self.do_step(StepKind::Frame, vec![Change::Frame { set }])
            }
            _ => Ok(()),
        }
    }

    /// Handles the loss of the engine. Ends all running passages as failed, since no answer can
    /// arrive any more.
    pub fn engine_lost(&mut self) -> Vec<Notice> {
        let why =
            "The engine stopped unexpectedly; everything is saved, so restart illumine".to_string();
        let running = self.session.story.all_running().to_vec();
        let mut notices = self.fail(&running, &why);
        self.pending.clear();
        notices.push(Notice::Error(why, FailureKind::Engine));
        notices
    }
}

/// The number of words that begin in `piece`. A word at the very start is not counted, since it may
/// continue a word of the previous piece.
fn words_begun(piece: &str) -> usize {
    let pairs = piece.chars().zip(piece.chars().skip(1));
    let begun = pairs.filter(|(before, c)| before.is_whitespace() && !c.is_whitespace());
    begun.count()
}

/// The error notice that says why something could not be saved to disk.
fn not_kept(refusal: Refusal) -> Notice {
    Notice::Error(refusal.to_string(), FailureKind::Store)
}

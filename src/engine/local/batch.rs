//! Writes passages for independent requests in one batch. Each step evaluates the next token of
//! every passage in progress, or the next few tokens of its prompt. When a passage ends, the next
//! request takes its place.
//!
//! The requests share the beginning of their prompts: it is evaluated once, in the KV cache, and
//! each request continues it on a branch of its own. The branch of a passage that has ended is kept
//! for a later request that continues the same story.
//!
//! **Invariant:** each passage is bit-identical to a passage that is written alone, because the
//! logits of a row do not depend on the other rows. Sharing only reduces how much must be
//! evaluated.

mod shelf;

use super::SLICE;
use super::build_prompt::prompt;
use super::generate::{self, ms};
use super::heal::Healing;
use super::loaded::Loaded;
use super::passage::{Passage, Step};
use super::prompt::Prompt;
use crate::engine::backend::{Failure, Queue, Turn};
use crate::engine::length::{most_tokens, nothing_to_continue};
use llm::{Branch, Logits};
use shelf::{Shelf, common};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;
use story::message::{PassageStats, TextRequest};
use story::{Event, Status};

/// The maximum number of prompt tokens that one step evaluates for a passage. If it were higher,
/// the other passages would wait longer for their next token.
const FEED: usize = 64;
/// A request waits for the passages in progress to end if at least this many more tokens of its
/// prompt can then be evaluated once for several requests.
const WORTH: usize = 64;

/// A waiting request whose prompt has been built.
struct Asked {
    turn: Turn,
    prompt: Prompt,
    began: Instant,
}

/// A passage in progress.
struct Row {
    turn: Turn,
    request: Rc<TextRequest>,
    prompt: Prompt,
    /// Whether the end of the prompt was removed for token healing, so that new tokens spell it
    /// again.
    healed: bool,
    /// None until the prompt has been evaluated.
    passage: Option<Passage>,
    /// The tokens that the next step evaluates.
    next: Vec<u32>,
    stats: PassageStats,
    began: Instant,
}

struct Batch<'a> {
    loaded: &'a mut Loaded,
    rows: Vec<Row>,
    /// The branch of each row.
    branches: Vec<Branch>,
    waiting: VecDeque<Asked>,
    shelf: Shelf,
}

/// Writes the passages of a queue until the queue has no more requests.
pub fn batch(loaded: &mut Loaded, queue: &mut dyn Queue) {
    // Draft tokens that were not accepted are not part of the cache that branches share.
    loaded.rewind(usize::MAX);
    let mut batch = Batch {
        loaded,
        rows: Vec::new(),
        branches: Vec::new(),
        waiting: VecDeque::new(),
        shelf: Shelf::default(),
    };
    loop {
        while let Some(turn) = queue.next(batch.is_idle()) {
            batch.ask(turn);
        }
        if batch.is_idle() {
            return;
        }
        batch.admit();
        batch.step();
    }
}

impl Batch<'_> {
    fn is_idle(&self) -> bool {
        self.rows.is_empty() && self.waiting.is_empty()
    }

    /// Builds the prompt of a request.
    fn ask(&mut self, turn: Turn) {
        let began = Instant::now();
        match prompt(self.loaded, &turn.request) {
            Ok(prompt) if prompt.ids.is_empty() => (turn.end)(Err(nothing_to_continue())),
            Ok(prompt) => self.waiting.push_back(Asked {
                turn,
                prompt,
                began,
            }),
            Err(error) => (turn.end)(Err(error.into())),
        }
    }

    /// Starts the requests that are waiting, in the order in which they arrived.
    fn admit(&mut self) {
        while let Some(asked) = self.waiting.pop_front() {
            if asked.turn.listener.is_cancelled() {
                (asked.turn.end)(Ok((Status::Stopped, PassageStats::default())));
                continue;
            }
            // Banned phrases need a rewind to an earlier token, which only the KV cache keeps.
            let alone = !asked.turn.request.bans.is_empty();
            let crowded = !self.rows.is_empty() && (alone || !self.has_room(&asked));
            let ids = &asked.prompt.ids;
            let have = self.shared(ids).max(self.shelf.longest(ids));
            let others = self.rows.iter().map(|row| &row.prompt);
            let others = others.chain(self.waiting.iter().map(|other| &other.prompt));
            let reach = others.map(|other| common(&other.ids, ids)).max();
            let gains = reach.is_some_and(|reach| reach >= have + WORTH);
            if crowded || (gains && !self.rows.is_empty()) {
                self.waiting.push_front(asked);
                return;
            }
            if alone {
                self.shelf.clear();
                let Turn {
                    request,
                    listener,
                    end,
                } = asked.turn;
                end(generate::text(self.loaded, &request, listener.as_ref()));
                self.loaded.rewind(usize::MAX);
                continue;
            }
            let last = ids.len() - 1;
            let reach = reach.filter(|_| gains);
            let far = self.rows.is_empty() && have + WORTH <= last;
            if let Some(reach) = reach.or(far.then_some(last))
                && let Err(why) = self.read(&asked, reach.min(last))
            {
                (asked.turn.end)(Err(why));
                continue;
            }
            self.begin(asked, have);
        }
    }

    /// How many leading tokens of a prompt are in the KV cache. The prompt's last token is not
    /// counted, because it must be evaluated for its logits.
    fn shared(&self, ids: &[u32]) -> usize {
        self.loaded.common_prefix(ids).min(ids.len() - 1)
    }

    /// Whether there is room for another branch: all branches together may need at most as many
    /// tokens as the model's context window holds. Drops branches from the shelf to make room.
    fn has_room(&mut self, asked: &Asked) -> bool {
        let needs = |request: &TextRequest, prompt: &Prompt| {
            prompt.ids.len() + most_tokens(request) - self.loaded.common_prefix(&prompt.ids)
        };
        let rows = self.rows.iter().map(|row| needs(&row.request, &row.prompt));
        let sum = rows.sum::<usize>() + needs(&asked.turn.request, &asked.prompt);
        let room = self.loaded.model.context().saturating_sub(sum);
        self.shelf.shrink(room);
        sum <= self.loaded.model.context()
    }

    /// Evaluates the first `to` tokens of a prompt into the KV cache.
    fn read(&mut self, asked: &Asked, to: usize) -> Result<(), Failure> {
        let stopped = || asked.turn.listener.is_cancelled();
        let from = self.shared(&asked.prompt.ids).min(to);
        self.shelf.keep_shared(from);
        self.loaded.rewind(from);
        for slice in asked.prompt.ids[from..to].chunks(SLICE) {
            if self
                .loaded
                .forward(slice, Logits::Skip, &stopped)?
                .is_none()
            {
                break;
            }
        }
        Ok(())
    }

    /// Gives a request a row. `reused` is the number of its prompt tokens that were already
    /// evaluated for other requests.
    fn begin(&mut self, asked: Asked, reused: usize) {
        let Asked {
            turn,
            prompt,
            began,
        } = asked;
        let shared = self.shared(&prompt.ids);
        let longer = self.shelf.longest(&prompt.ids) > shared;
        let branch = match longer {
            true => self.shelf.take(&prompt.ids),
            false => self.loaded.model.branch(shared),
        };
        let Some(branch) = branch else {
            return (turn.end)(Err(cannot_branch()));
        };
        let mut row = Row {
            request: Rc::new(turn.request.clone()),
            stats: PassageStats {
                reused,
                ..prompt.stats()
            },
            healed: false,
            next: Vec::new(),
            passage: None,
            turn,
            prompt,
            began,
        };
        row.feed(&branch);
        match row.tell_progress(branch.position()) {
            true => {
                self.rows.push(row);
                self.branches.push(branch);
            }
            false => row.end(Ok(Status::Stopped)),
        }
    }

    /// Evaluates the next tokens of every row, and samples the tokens that follow.
    fn step(&mut self) {
        self.end_cancelled();
        let tokens: Vec<&[u32]> = self.rows.iter().map(|row| row.next.as_slice()).collect();
        if tokens.is_empty() {
            return;
        }
        let cancelled = |row: &Row| row.turn.listener.is_cancelled();
        let stopped = || self.rows.iter().all(cancelled);
        let model = &mut self.loaded.model;
        let logits = match model.forward_branches(&mut self.branches, &tokens, &stopped) {
            Ok(Some(logits)) => logits,
            Ok(None) => return,
            Err(error) => {
                self.branches.clear();
                let why = Failure::from(error);
                return self
                    .rows
                    .drain(..)
                    .for_each(|row| row.end(Err(why.clone())));
            }
        };
        let width = (logits.len() / self.rows.len()).max(1);
        let mut over = Vec::new();
        for (index, logits) in logits.chunks_exact(width).enumerate() {
            let branch = &mut self.branches[index];
            match self.rows[index].advance(self.loaded, branch, logits) {
                Ok(None) => {}
                Ok(Some(status)) => over.push((index, Ok(status))),
                Err(why) => over.push((index, Err(why))),
            }
        }
        for (index, status) in over.into_iter().rev() {
            self.remove(index, status);
        }
    }

    /// Ends the passages that their listeners have cancelled.
    fn end_cancelled(&mut self) {
        for index in (0..self.rows.len()).rev() {
            let row = &mut self.rows[index];
            if row.turn.listener.is_cancelled() {
                if let Some(passage) = &mut row.passage {
                    passage.finish(Status::Stopped, row.turn.listener.as_ref());
                }
                self.remove(index, Ok(Status::Stopped));
            }
        }
    }

    /// Removes a row whose passage has ended, and puts its branch on the shelf.
    fn remove(&mut self, index: usize, status: Result<Status, Failure>) {
        let (row, branch) = (self.rows.remove(index), self.branches.remove(index));
        let tokens = row.passage.as_ref().map(Passage::tokens);
        if let Some(tokens) = tokens.and_then(|tokens| tokens.get(..branch.position())) {
            self.shelf.put(branch, tokens.to_vec());
        }
        row.end(status);
    }
}

impl Row {
    /// Sets the tokens for the next step: the next part of the prompt.
    fn feed(&mut self, branch: &Branch) {
        let rest = &self.prompt.ids[branch.position()..];
        self.next = rest[..rest.len().min(FEED)].to_vec();
    }

    /// Reports how much of the prompt has been evaluated. Returns false if the request is stopped.
    fn tell_progress(&self, done: usize) -> bool {
        self.turn.listener.tell(Event::Prefill {
            node: self.request.node,
            done,
            total: self.prompt.ids.len(),
            reused: self.stats.reused,
            cut: self.prompt.cut.clone(),
        })
    }

    /// Continues with the logits of the last evaluated token. Returns the status of the passage if
    /// the passage is over.
    fn advance(
        &mut self,
        loaded: &mut Loaded,
        branch: &mut Branch,
        logits: &[f32],
    ) -> Result<Option<Status>, Failure> {
        if self.passage.is_none() && !self.is_read(loaded, branch, logits)? {
            self.feed(branch);
            return Ok(None);
        }
        let Some(passage) = &mut self.passage else {
            return Ok(Some(Status::Stopped));
        };
        let (stats, listener) = (&mut self.stats, self.turn.listener.as_ref());
        let mut again = None;
        loop {
            let logits = again.as_deref().unwrap_or(logits);
            match passage.step(loaded, logits, stats, listener)? {
                Step::Feed(id) => {
                    self.next = vec![id];
                    return Ok(None);
                }
                Step::Again(logits) => again = Some(logits),
                Step::Over(status) => return Ok(Some(status)),
            }
        }
    }

    /// Begins the passage if the whole prompt has been evaluated; returns false if it has not. If
    /// the end of the prompt needs token healing, removes it and returns false, so that the shorter
    /// prompt is evaluated first.
    fn is_read(
        &mut self,
        loaded: &mut Loaded,
        branch: &mut Branch,
        logits: &[f32],
    ) -> Result<bool, Failure> {
        let prompt = &mut self.prompt;
        if branch.position() < prompt.ids.len() {
            return Ok(false);
        }
        if !self.healed {
            if !prompt.healing.is_needless(&loaded.tokenizer, logits) {
                self.healed = true;
                prompt.healing.begin(&mut prompt.ids);
                let last = prompt.ids.len() - 1;
                if !branch.rewind(last) {
                    let shorter = loaded.model.branch(last);
                    *branch = shorter.ok_or_else(cannot_branch)?;
                }
                self.stats.prompt_tokens = prompt.ids.len();
                self.stats.reused = self.stats.reused.min(last);
                return Ok(false);
            }
            prompt.healing = Healing::default();
        }
        self.stats.prefill_ms = ms(self.began);
        self.began = Instant::now();
        self.tell_progress(self.prompt.ids.len());
        let passage = Passage::new(loaded, self.request.clone(), &self.prompt)?;
        self.passage = Some(passage);
        Ok(true)
    }

    /// Answers the request.
    fn end(self, status: Result<Status, Failure>) {
        let stats = PassageStats {
            decode_ms: self.passage.map_or(0.0, |_| ms(self.began)),
            prompt_ids: self.prompt.ids,
            ..self.stats
        };
        (self.turn.end)(status.map(|status| (status, stats)));
    }
}

fn cannot_branch() -> Failure {
    Failure::engine("This model cannot write several passages in a batch; use --batch 1")
}

//! Writes one passage with a text source, from the prompt to the passage's end.

mod rewind;

use super::passage::Passage;
use super::prompt::{Fitted, build};
use super::writing::{Ended, Writing, tell_progress};
use super::{End, Refusal, TextAsk, TextSource};
use crate::engine::backend::{Answer, Failure, Listener};
use crate::engine::length::nothing_to_continue;
use rewind::Rewinds;
use std::time::Instant;
use story::message::{PassageStats, TextRequest, Truncation};
use story::{Event, Status};

/// The maximum number of tokens reserved for a model's thoughts, if the context has room.
const TO_THINK: usize = 4096;
/// The number of tokens reserved for what the model's template adds to a prompt.
const MARGIN: usize = 64;
/// The maximum number of consecutive requests that return no text.
const MOST_SILENT: usize = 3;
/// While writing one passage, a source may adapt to at most this many errors and try again.
const MOST_ERRORS: usize = 16;

/// Writes a passage; see [`Backend::write`](super::super::Backend::write).
pub fn write<S: TextSource>(
    source: &mut S,
    request: &TextRequest,
    listener: &dyn Listener,
) -> Answer {
    let mut errors = 0;
    loop {
        let fitted = build(source, request)?;
        let mut run = Run::new(source, request, &fitted, errors, listener)?;
        if let Some(status) = run.write()? {
            return Ok((status, run.stats));
        }
        errors = run.errors;
    }
}

/// A passage in progress.
struct Run<'a, S> {
    source: &'a mut S,
    request: &'a TextRequest,
    fitted: &'a Fitted,
    listener: &'a dyn Listener,
    passage: Passage<'a>,
    stats: PassageStats,
    rewinds: Rewinds,
    is_announced: bool,
    /// The number of errors that the source has reported for this passage.
    errors: usize,
    /// The number of this request within the passage. It is added to the seed.
    round: u64,
    /// The number of consecutive requests, up to now, that returned no text.
    silent: usize,
}

/// What to do after a request.
enum Next {
    Request,
    Over(Status),
}

impl<'a, S: TextSource> Run<'a, S> {
    fn new(
        source: &'a mut S,
        request: &'a TextRequest,
        fitted: &'a Fitted,
        errors: usize,
        listener: &'a dyn Listener,
    ) -> Result<Run<'a, S>, Failure> {
        if fitted.before().is_empty() {
            return Err(nothing_to_continue());
        }
        let begins = &source.memory().begins;
        begins.set(fitted.cut.begins.or(begins.get()));
        let stats = PassageStats {
            prompt_tokens: fitted.tokens,
            dropped: fitted.cut.dropped,
            begins: fitted.cut.begins,
            ..PassageStats::default()
        };
        Ok(Run {
            source,
            request,
            fitted,
            listener,
            passage: Passage::new(request, fitted)?,
            stats,
            rewinds: Rewinds::default(),
            is_announced: false,
            errors,
            round: 0,
            silent: 0,
        })
    }

    /// Writes until the passage ends. Returns None if the source has adapted to an error, so that a
    /// new prompt is needed. Returns an error only if no text has arrived.
    fn write(&mut self) -> Result<Option<Status>, Failure> {
        // A source may refuse the prompt and get a shorter one: what was left out is reported once,
        // after the source has accepted the prompt.
        if self.fitted.cut == Truncation::default() {
            self.announce();
        }
        self.begin()?;
        let status = loop {
            let error = match self.step() {
                Ok(Next::Request) => continue,
                Ok(Next::Over(status)) => break status,
                Err(error) => error,
            };
            let is_empty = self.passage.is_empty();
            if self.adapts(&error) {
                match is_empty {
                    true => return Ok(None),
                    false => continue,
                }
            }
            // A passage that arrived in pieces is kept; one due in one piece can be retried.
            let failure: Failure = error.into();
            if is_empty || self.source.is_retried() {
                return Err(failure);
            }
            // The text so far is kept and can be continued.
            self.passage.finish(Status::Interrupted, self.listener);
            self.listener.tell(Event::Warned(failure.why));
            break Status::Interrupted;
        };
        self.announce();
        self.passage.finish(status, self.listener);
        if self.passage.is_empty() && status == Status::Length && !self.fitted.echo.is_empty() {
            let why = "The model only repeated its last message; /retry, or raise the length with /set max_tokens";
            self.listener.tell(Event::Warned(why.to_string()));
        }
        self.stats.new_tokens = self.passage.tokens_with_thoughts();
        Ok(Some(status))
    }

    /// Adds the tokens that the request wants the passage to begin with.
    fn begin(&mut self) -> Result<(), Failure> {
        let begin = &self.request.begin;
        let words = self.source.spell(begin).ok_or_else(|| {
            Failure::engine(
                "The word that this passage began with is no longer known; choose again with /alts",
            )
        })?;
        if !words.is_empty() {
            self.announce();
            _ = self.passage.push(&words, begin.len(), self.listener);
        }
        Ok(())
    }

    /// Sends one request, and returns what to do next.
    fn step(&mut self) -> Result<Next, S::Error> {
        if self.passage.room() == 0 {
            return Ok(Next::Over(Status::Length));
        }
        let had_room = self.source.memory().thinks.get();
        let (end, ended, is_silent) = self.ask();
        match ended {
            Some(Ended::Over(status)) => return Ok(Next::Over(status)),
            Some(Ended::Banned { at, ban }) => {
                self.round += 1;
                return self.go_back(at, ban);
            }
            None => {}
        }
        let only_thought = is_silent && self.passage.has_thought();
        let status = match end? {
            End::Length if only_thought && !had_room => return Ok(Next::Request),
            End::Length if only_thought => {
                self.warn("The model used the whole length for thoughts and wrote nothing; raise it with /set max_tokens, or choose a model that does not think");
                Status::Length
            }
            End::Complete if is_silent => return Ok(self.wrote_nothing()),
            End::Complete => Status::Complete,
            End::Length => Status::Length,
            End::StopString => Status::StopString,
            End::ContextFull => Status::ContextFull,
            End::Withheld => {
                self.warn("The service withheld the rest of the text; change the story, or choose another model");
                Status::Complete
            }
            End::Stopped => Status::Stopped,
        };
        Ok(Next::Over(status))
    }

    /// Decides what to do after a request for which the model wrote no text.
    fn wrote_nothing(&mut self) -> Next {
        self.silent += 1;
        self.round += 1;
        if self.source.is_retried() {
            return Next::Over(Status::Complete);
        }
        if self.silent < MOST_SILENT {
            return Next::Request;
        }
        self.warn("The model ended the text immediately; continue it yourself, or use /retry");
        Next::Over(Status::Complete)
    }

    /// Sends one request. Returns how the source ended the text, why the passage wanted no more
    /// text, and whether no text was added.
    fn ask(&mut self) -> (Result<End, S::Error>, Option<Ended>, bool) {
        let said = self.passage.text();
        let fitted = match said.is_empty() {
            true => self.fitted.clone(),
            false => self.fitted.after(&said, self.source.prefills()),
        };
        self.passage.join_to(&fitted);
        let ask = self.text_ask(fitted.prompt);
        let tokens = self.passage.tokens();
        let mut writing = Writing {
            listener: self.listener,
            request: self.request,
            fitted: self.fitted,
            passage: &mut self.passage,
            stats: &mut self.stats,
            is_announced: &mut self.is_announced,
            is_first: self.round == 0,
            began: Instant::now(),
            first_word: None,
            before: (said.len(), tokens),
            ended: None,
        };
        let end = self.source.stream(&ask, &mut writing);
        if end.is_ok() {
            writing.announce();
        }
        let (ended, is_silent) = (writing.ended, writing.is_silent());
        if self.passage.has_thought() {
            self.source.memory().thinks.set(true);
        }
        (end, ended, is_silent)
    }

    fn text_ask(&self, prompt: super::Prompt) -> TextAsk<'a> {
        TextAsk {
            request: self.request,
            prompt,
            seed: self.request.seed.wrapping_add(self.round),
            most: self.passage.room() + self.room_to_think(),
        }
    }

    /// The number of tokens that a reasoning model may use for thoughts, in addition to the
    /// passage's own tokens.
    fn room_to_think(&self) -> usize {
        if !self.source.memory().thinks.get() {
            return 0;
        }
        let prompt = self.fitted.tokens + self.passage.tokens() + MARGIN;
        let taken = prompt + self.passage.room();
        self.source.context().saturating_sub(taken).min(TO_THINK)
    }

    /// Counts an error, and lets the source adapt to it. Returns whether another request may
    /// succeed.
    fn adapts(&mut self, error: &S::Error) -> bool {
        self.errors += 1;
        let said = self.passage.text();
        let extended =
            (!said.is_empty()).then(|| self.fitted.after(&said, self.source.prefills()).prompt);
        let refusal = Refusal {
            error,
            request: self.request,
            prompt: &self.fitted.prompt,
            extended: extended.as_ref(),
            errors: self.errors,
        };
        self.errors <= MOST_ERRORS && self.source.adapts(&refusal, self.listener)
    }

    /// Tells the listener about the prompt, unless the listener has been told already.
    fn announce(&mut self) {
        let whole = (0, self.fitted.tokens, 0);
        if !std::mem::replace(&mut self.is_announced, true) {
            tell_progress(self.request, self.fitted, whole, self.listener);
        }
    }

    fn warn(&self, why: &str) {
        self.listener.tell(Event::Warned(why.to_string()));
    }
}

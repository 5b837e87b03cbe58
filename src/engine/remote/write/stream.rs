//! Makes one request for a passage, and reads its stream to the end.

use super::{Run, tell_progress};
use crate::engine::remote::asking::{Begun, Wish};
use crate::engine::remote::counts::estimate;
use crate::engine::remote::passage::Look;
use crate::engine::remote::source::Source;
use remote::{Chunk, Deltas, Finish, Kind, Prompt, RemoteError, Said, Step, Thoughts};
use std::time::{Duration, Instant};
use story::{Event, Status};

/// How long to wait for token counts after the end of a text.
const AFTERWORD: Duration = Duration::from_millis(1500);
/// The maximum number of tokens for a model's thoughts, if the context has room.
const TO_THINK: usize = 4096;
/// Room for tokens that the server adds to a prompt.
const MARGIN: usize = 64;

/// How one request for a passage ended.
pub(super) enum Ended {
    Over(Status),
    Banned {
        at: usize,
        ban: usize,
    },
    /// The model ended the text without writing any.
    Silent,
    /// Another request must follow, since this one returned none of the passage.
    Again,
}

impl Run<'_, '_> {
    pub(super) fn wish(&self, prompt: Prompt) -> Wish {
        Wish {
            prompt,
            seed: self.request.seed.wrapping_add(self.round),
            most: self.passage.room() + self.room_to_think(),
            likely: 0,
            bias: Vec::new(),
            choices: 1,
            stream: true,
        }
    }

    /// How many tokens a reasoning model may use for thoughts, beyond the passage's own.
    fn room_to_think(&self) -> usize {
        if !self.remote.thinks {
            return 0;
        }
        let prompt = self.fitted.tokens + self.passage.tokens() + MARGIN;
        let taken = prompt + self.passage.room();
        self.remote
            .about
            .context
            .saturating_sub(taken)
            .min(TO_THINK)
    }

    /// Writes until the text ends or a banned phrase appears.
    pub(super) fn stream(&mut self) -> Result<Ended, RemoteError> {
        if self.passage.room() == 0 {
            return Ok(Ended::Over(Status::Length));
        }
        let (shared, before) = (self.share.is_some(), self.passage.text().len());
        let ended = self.read();
        let nothing = self.passage.text().len() == before;
        match ended {
            // The server may have written fewer texts than requested.
            Err(error) if shared && nothing && error.kind != Kind::Stopped => Ok(Ended::Again),
            ended => ended,
        }
    }

    fn begin(&mut self) -> Result<Begun, RemoteError> {
        if let Some(share) = self.share.take() {
            let first = share.next(&|| self.listener.is_cancelled())?;
            return Ok(Begun {
                protocol: share.protocol,
                source: Source::Shared(share),
                first,
            });
        }
        let said = self.passage.text();
        loop {
            let fitted = match said.is_empty() {
                true => self.fitted.clone(),
                false => self.fitted.after(&said, self.remote.prefills()),
            };
            self.passage.join_to(&fitted);
            let wish = self.wish(fitted.prompt);
            let begun = self.remote.begin(self.request, &wish, self.listener);
            match begun {
                // Some servers cannot continue a reasoning model's message.
                Err(error) if self.refuses_prefill(&wish.prompt, &error) => {}
                begun => return begun,
            }
        }
    }

    /// Records whether the server refused to continue the model's own message. Returns true only at
    /// the first refusal.
    pub(super) fn refuses_prefill(&mut self, prompt: &Prompt, error: &RemoteError) -> bool {
        let continues = matches!(prompt, Prompt::Turns { open: true, .. });
        let added = matches!(self.fitted.prompt, Prompt::Turns { open: false, .. });
        let refused = matches!(error.kind, Kind::Refused { .. });
        let first = !self.remote.refuses_prefill;
        self.remote.refuses_prefill |= continues && added && refused;
        first && self.remote.refuses_prefill
    }

    fn read(&mut self) -> Result<Ended, RemoteError> {
        let (began, before) = (Instant::now(), self.passage.text().len());
        let had_room = self.remote.thinks;
        let counted = self.passage.tokens();
        let Begun {
            protocol,
            mut source,
            first,
        } = self.begin()?;
        let stopped = || self.listener.is_cancelled();
        let (mut incoming, mut finish) = (Incoming::default(), None);
        let mut step = first;
        let mut first_word = None;
        let mut events = 0;
        while let Step::Event(event) = step {
            events += 1;
            let chunk = source
                .decode(protocol, &event)
                .map_err(|said| self.remote.understood(said))?;
            if chunk.progress.is_some() || !chunk.thought.is_empty() {
                source.lives(false);
            }
            self.progress(&chunk);
            let said = incoming.take(&chunk);
            if !chunk.text.is_empty() {
                source.lives(true);
            }
            if said != Said::default() {
                first_word.get_or_insert_with(|| began.elapsed());
            }
            let ended = self.add(&said);
            if self.remote.whole && !said.answer.is_empty() {
                let known = chunk.new_tokens.filter(|_| said.thought.is_empty());
                let tokens = known.unwrap_or_else(|| estimate(&said.answer));
                self.passage.counted(counted + tokens);
            }
            self.time(began, first_word, &chunk);
            if let Some(ended) = ended {
                return Ok(ended);
            }
            finish = chunk.finish.or(finish);
            if finish.is_some() && (chunk.last || source.is_shared()) {
                break;
            }
            step = match finish {
                None if chunk.last => Step::Ended,
                None => source.next(&stopped)?,
                // Only token counts can follow, and they are not worth a long wait.
                Some(_) => {
                    let over = Instant::now();
                    let late = || stopped() || over.elapsed() > AFTERWORD;
                    source.next(&late).unwrap_or(Step::Ended)
                }
            };
        }
        if let Some(ended) = self.add(&incoming.rest()) {
            return Ok(ended);
        }
        let silent = self.passage.text().len() == before;
        if finish == Some(Finish::Length) && silent && self.passage.has_thought() {
            return Ok(self.only_thought(had_room));
        }
        self.status(finish, events, silent)
    }

    /// Adds thoughts and text to the passage. Returns how the request ended, if it did.
    fn add(&mut self, said: &Said) -> Option<Ended> {
        if !said.thought.is_empty() {
            self.remote.thinks = true;
            let tokens = self.tokens(&said.thought);
            if !self.passage.think(&said.thought, tokens, self.listener) {
                let why = "The model did not stop thinking and was interrupted; /retry, or choose another model";
                self.listener.tell(Event::Warned(why.to_string()));
                return Some(Ended::Over(Status::Length));
            }
        }
        if said.answer.is_empty() {
            return None;
        }
        let tokens = self.tokens(&said.answer);
        match self.passage.push(&said.answer, tokens, self.listener) {
            Look::On => None,
            Look::Banned { at, ban } => Some(Ended::Banned { at, ban }),
            Look::Over(status) => Some(Ended::Over(status)),
        }
    }

    /// The number of tokens in a piece of the stream.
    fn tokens(&mut self, piece: &str) -> usize {
        match self.remote.flavour().streams_tokens() {
            // Tokens are counted once the whole text has arrived.
            _ if self.remote.whole => 0,
            true => 1,
            false => self.passage.estimated(piece),
        }
    }

    /// How a request ends if the model spent all of its tokens on thoughts.
    fn only_thought(&self, had_room: bool) -> Ended {
        if !had_room {
            return Ended::Again;
        }
        let why = "The model used the whole length for thoughts and wrote nothing; raise it with /set max_tokens, or choose a model that does not think";
        self.listener.tell(Event::Warned(why.to_string()));
        Ended::Over(Status::Length)
    }

    /// The status at the end of a stream. A stream that gives no reason for its end was cut off.
    fn status(
        &self,
        finish: Option<Finish>,
        events: usize,
        silent: bool,
    ) -> Result<Ended, RemoteError> {
        let error = |kind| Err(self.remote.client.error(kind));
        let status = match finish {
            None if events == 0 => return error(Kind::Empty),
            // An answer in one piece is complete, even if it gives no reason for its end.
            None if self.remote.whole => Status::Complete,
            None | Some(Finish::Aborted) => return error(Kind::Gone),
            Some(Finish::Complete) if silent => return Ok(Ended::Silent),
            Some(Finish::Complete) => Status::Complete,
            Some(Finish::Length) => Status::Length,
            Some(Finish::StopString) => Status::StopString,
            Some(Finish::ContextFull) => Status::ContextFull,
            Some(Finish::Filtered) => {
                let why = "The service withheld the rest of the text; change the story, or choose another model";
                self.listener.tell(Event::Warned(why.to_string()));
                Status::Complete
            }
        };
        Ok(Ended::Over(status))
    }

    fn progress(&mut self, chunk: &Chunk) {
        if let Some(cached) = chunk.cached {
            self.stats.reused = cached;
        }
        if let Some(tokens) = chunk.prompt_tokens {
            // The prompts of later requests contain part of the passage.
            if self.round == 0 {
                self.stats.prompt_tokens = tokens.max(self.stats.reused);
            }
        }
        if let Some(progress) = chunk.progress {
            let total = progress.total.max(progress.done);
            let (done, cached) = (progress.done, progress.cached.min(progress.done));
            tell_progress(
                self.request,
                self.fitted,
                done,
                total,
                cached,
                self.listener,
            );
        }
    }

    fn time(&mut self, began: Instant, first: Option<Duration>, chunk: &Chunk) {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let first = first.map_or(ms(began.elapsed()), ms);
        if self.round == 0 {
            self.stats.prefill_ms = chunk.prompt_ms.unwrap_or(first);
            // The server's count includes thoughts.
            let counted = chunk.new_tokens.filter(|_| !self.passage.has_thought());
            if let Some(tokens) = counted {
                self.passage.counted(tokens);
            }
        }
        self.stats.decode_ms = (ms(began.elapsed()) - first).max(0.0);
        self.stats.new_tokens = self.passage.tokens_with_thoughts();
    }
}

/// Separates a server's chunks into thoughts and text.
#[derive(Default)]
struct Incoming {
    deltas: Deltas,
    thoughts: Thoughts,
}

impl Incoming {
    fn take(&mut self, chunk: &Chunk) -> Said {
        if !chunk.thought.is_empty() {
            self.thoughts.thought_apart();
        }
        let mut said = self.thoughts.push(&self.deltas.push(&chunk.text));
        said.thought.insert_str(0, &chunk.thought);
        if chunk.finish.is_some() {
            said.extend(&self.rest());
        }
        said
    }

    /// The text still held back at the end.
    fn rest(&mut self) -> Said {
        let mut said = self.thoughts.push(&self.deltas.finish());
        said.extend(&self.thoughts.finish());
        said
    }
}

//! Writes one passage, from prompt to end.

mod rewind;
mod stream;

use super::Remote;
use super::passage::Passage;
use super::prompt::{Fitted, build};
use super::replicas::failure_of_case;
use super::source::Share;
use crate::engine::backend::{Answer, Failure, Listener};
use crate::engine::length::nothing_to_continue;
use remote::{Flavour, Kind, Prompt, RemoteError};
use rewind::Rewinds;
use story::message::{Overflow, PassageStats, TextRequest};
use story::{Event, Status};
use stream::Ended;

/// Writes a passage.
pub fn write(remote: &mut Remote, request: &TextRequest, listener: &dyn Listener) -> Answer {
    write_from(remote, request, None, listener)
}

/// Writes a passage that may begin with its part of a stream shared by several candidates.
pub fn write_from(
    remote: &mut Remote,
    request: &TextRequest,
    mut share: Option<Share>,
    listener: &dyn Listener,
) -> Answer {
    say_limits(remote, request, listener);
    let mut tries = 0;
    loop {
        let fitted = build(remote, request)?;
        let error = match attempt(remote, request, &fitted, &mut share, listener) {
            Ok(answer) => return answer,
            Err(error) => error,
        };
        tries += 1;
        let plain = matches!(fitted.prompt, Prompt::Text(_));
        match error.kind {
            Kind::Stopped => return Ok((Status::Stopped, PassageStats::default())),
            // One kind of server sends an empty answer instead of an error.
            Kind::TooLong(_) | Kind::Empty
                if request.overflow == Overflow::Crop && tries < 5 && remote.guesses(&error) =>
            {
                remote.fits_less();
            }
            // A router may drop one of the two fields that continue a message.
            Kind::Refused { ref said, .. }
                if !remote.refuses_prefill && said.contains("continue_final_message") =>
            {
                remote.refuses_prefill = true;
                let why = "This server cannot continue an unfinished message: an instruction asks the model to go on";
                remote.say_once(why.to_string(), listener);
            }
            // Some servers with this API offer only chat.
            Kind::NotFound(_) if plain && !remote.only_chats && may_only_chat(remote.flavour()) => {
                remote.only_chats = true;
                let why =
                    "This server has no raw completion: the story is continued by an instruction";
                remote.say_once(why.to_string(), listener);
            }
            _ if remote.whole => return Err(failure_of_case(error)),
            _ => return Err(error.into()),
        }
    }
}

fn may_only_chat(flavour: Flavour) -> bool {
    matches!(
        flavour,
        Flavour::Compatible | Flavour::LiteLlm | Flavour::LmStudio | Flavour::TransformersServe
    )
}

/// Tells the writer, once, which parts of the request this server cannot honour.
fn say_limits(remote: &mut Remote, request: &TextRequest, listener: &dyn Listener) {
    let ignored = remote::ignored(remote.flavour(), &request.sampling);
    if !ignored.is_empty() {
        let names = ignored.join(", ");
        let flavour = remote.flavour().name();
        let why = format!(
            "The server ({flavour}) cannot use {names}; the passage is written without them"
        );
        remote.say_once(why, listener);
    }
}

/// Writes a passage from this prompt. An error is returned only if no text has arrived.
fn attempt(
    remote: &mut Remote,
    request: &TextRequest,
    fitted: &Fitted,
    share: &mut Option<Share>,
    listener: &dyn Listener,
) -> Result<Answer, RemoteError> {
    if *fitted.prompt_text() == *"" {
        return Ok(Err(nothing_to_continue()));
    }
    remote.begins = fitted.cut.begins.or(remote.begins);
    let mut passage = match Passage::new(request, fitted) {
        Ok(passage) => passage,
        Err(failure) => return Ok(Err(failure)),
    };
    let mut stats = PassageStats {
        prompt_tokens: fitted.tokens,
        dropped: fitted.cut.dropped,
        begins: fitted.cut.begins,
        ..PassageStats::default()
    };
    tell_progress(request, fitted, 0, fitted.tokens, 0, listener);
    match remote.begin_words(&request.begin) {
        Ok(words) if words.is_empty() => {}
        Ok(words) => _ = passage.push(&words, request.begin.len(), listener),
        Err(failure) => return Ok(Err(failure)),
    }
    let (mut round, mut silent) = (0, 0);
    let mut rewinds = Rewinds::default();
    loop {
        let mut run = Run {
            remote: &mut *remote,
            request,
            fitted,
            listener,
            passage: &mut passage,
            stats: &mut stats,
            rewinds: &mut rewinds,
            share: &mut *share,
            round,
        };
        let ended = match run.stream() {
            Ok(Ended::Banned { at, ban }) => run.go_back(at, ban).map(|()| None),
            Ok(Ended::Silent) if run.remote.whole => Ok(Some(Status::Complete)),
            Ok(Ended::Silent) if silent < 2 => {
                silent += 1;
                Ok(None)
            }
            Ok(Ended::Silent) => {
                let why =
                    "The model ended the text immediately; continue it yourself, or use /retry";
                listener.tell(Event::Warned(why.to_string()));
                Ok(Some(Status::Complete))
            }
            Ok(Ended::Again) => continue,
            Ok(Ended::Over(status)) => Ok(Some(status)),
            Err(error) => Err(error),
        };
        round += 1;
        let status = match ended {
            Ok(None) => continue,
            Ok(Some(status)) => status,
            Err(error) if error.kind == Kind::Stopped => Status::Stopped,
            // A passage that arrived in pieces is kept; one due in one piece can be retried.
            Err(error) if passage.is_empty() || remote.whole => return Err(error),
            Err(error) => {
                // The text so far is kept and can be continued.
                passage.finish(Status::Interrupted, listener);
                listener.tell(Event::Warned(error.to_string()));
                Status::Interrupted
            }
        };
        passage.finish(status, listener);
        if passage.is_empty() && status == Status::Length && !fitted.echo.is_empty() {
            let why = "The model only repeated its last message; /retry, or raise the length with /set max_tokens";
            listener.tell(Event::Warned(why.to_string()));
        }
        stats.new_tokens = passage.tokens_with_thoughts();
        return Ok(Ok((status, stats)));
    }
}

impl Fitted {
    fn prompt_text(&self) -> &str {
        match &self.prompt {
            Prompt::Text(text) => text,
            Prompt::Turns { turns, .. } => turns.last().map_or("", |turn| turn.text.as_str()),
        }
    }
}

fn tell_progress(
    request: &TextRequest,
    fitted: &Fitted,
    done: usize,
    total: usize,
    reused: usize,
    listener: &dyn Listener,
) {
    listener.tell(Event::Prefill {
        node: request.node,
        done,
        total,
        reused,
        cut: fitted.cut.clone(),
    });
}

/// One request for a passage.
struct Run<'a, 'b> {
    remote: &'a mut Remote,
    request: &'a TextRequest,
    fitted: &'a Fitted,
    listener: &'a dyn Listener,
    passage: &'a mut Passage<'b>,
    stats: &'a mut PassageStats,
    rewinds: &'a mut Rewinds,
    /// The passage's part of a shared stream; only the first request uses it.
    share: &'a mut Option<Share>,
    /// The number of this request within the passage; it varies the seed.
    round: u64,
}

impl Remote {
    /// Whether this error means that the prompt was too long, so that a shorter one should be
    /// tried. An empty answer means that only if it comes from llama-cpp-python.
    fn guesses(&self, error: &RemoteError) -> bool {
        error.kind != Kind::Empty || self.flavour() == Flavour::LlamaCppPython
    }

    /// Makes the next prompt shorter: lowers the context size or raises the token estimates.
    fn fits_less(&mut self) {
        match self.counts.are_exact() {
            true => self.about.context = (self.about.context * 3 / 4).max(64),
            false => self.counts.were_too_low(),
        }
    }

    /// The text of the tokens that a passage must start with.
    fn begin_words(&self, ids: &[u32]) -> Result<String, Failure> {
        let word = |id: &u32| self.words.get(id).map(String::as_str);
        let words: Option<Vec<&str>> = ids.iter().map(word).collect();
        words.map(|words| words.concat()).ok_or_else(|| {
            Failure::engine(
                "The word that this passage began with is no longer known; choose again with /alts",
            )
        })
    }
}

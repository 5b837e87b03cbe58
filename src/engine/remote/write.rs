//! Writes passages: builds the requests for the server, and decides how to continue after a
//! refusal.

use super::Remote;
use super::asking::Wish;
use super::replicas::without_advice;
use super::source::Share;
use super::stream;
use crate::engine::backend::{Answer, Listener};
use crate::engine::text::{self, End, Memory, Refusal, TextAsk, TextSource, Writing};
use remote::{Flavour, Kind, Prefill, Prompt, RemoteError};
use story::message::{Overflow, TextRequest};

/// Writes a passage.
pub fn write(remote: &mut Remote, request: &TextRequest, listener: &dyn Listener) -> Answer {
    write_from(remote, request, None, listener)
}

/// Writes a passage. If `share` is given, the passage begins with the text of this part of a shared
/// stream.
pub fn write_from(
    remote: &mut Remote,
    request: &TextRequest,
    share: Option<Share>,
    listener: &dyn Listener,
) -> Answer {
    remote.say_limits(request, listener);
    remote.share.0 = share;
    let answer = text::write(remote, request, listener);
    // A stream that no request has read belongs to no other passage.
    remote.share.0 = None;
    match remote.whole {
        true => answer.map_err(without_advice),
        false => answer,
    }
}

impl TextSource for Remote {
    type Error = RemoteError;

    const MODEL: &'static str = "the server's model";
    const LONGER_CONTEXT: &'static str = "start the server with a longer context";

    fn context(&self) -> usize {
        self.about.context
    }

    fn count(&self, text: &str) -> Result<usize, RemoteError> {
        Remote::count(self, text)
    }

    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn stream(
        &mut self,
        ask: &TextAsk<'_>,
        writing: &mut Writing<'_, '_>,
    ) -> Result<End, RemoteError> {
        if let Some(share) = self.share.0.take() {
            match stream::read_share(self, share, writing) {
                // The server may have written fewer texts than requested.
                Err(error) if writing.is_silent() && error.kind != Kind::Stopped => {}
                end => return stopped(end),
            }
        }
        stopped(stream::read(self, ask, writing))
    }

    fn completes(&self) -> bool {
        self.flavour().prose().is_some() && !self.only_chats
    }

    fn prefills(&self) -> bool {
        self.flavour().prefill() != Prefill::Instruction && !self.refuses_prefill
    }

    fn adapts(&mut self, refusal: &Refusal<'_, RemoteError>, listener: &dyn Listener) -> bool {
        let (kind, is_first) = (&refusal.error.kind, refusal.extended.is_none());
        if let Kind::Refused { said, .. } = kind
            && !self.refuses_prefill
            && cannot_continue(refusal, said)
        {
            self.refuses_prefill = true;
            if is_first {
                let why = "This server cannot continue an unfinished message: an instruction asks the model to go on";
                self.say_once(why.to_string(), listener);
            }
            return true;
        }
        if !is_first {
            return false;
        }
        match kind {
            // One kind of server sends an empty answer instead of an error.
            Kind::TooLong(_) | Kind::Empty => {
                let crops = refusal.request.overflow == Overflow::Crop;
                let adapts = crops && refusal.errors < 5 && self.guesses(kind);
                if adapts {
                    self.fits_less();
                }
                adapts
            }
            // Some servers with this API offer only chat.
            Kind::NotFound(_)
                if matches!(refusal.prompt, Prompt::Text(_))
                    && !self.only_chats
                    && may_only_chat(self.flavour()) =>
            {
                self.only_chats = true;
                let why =
                    "This server has no raw completion: the story is continued by an instruction";
                self.say_once(why.to_string(), listener);
                true
            }
            _ => false,
        }
    }

    fn is_retried(&self) -> bool {
        self.whole
    }

    fn spell(&self, ids: &[u32]) -> Option<String> {
        let word = |id: &u32| self.words.get(id).map(String::as_str);
        ids.iter()
            .map(word)
            .collect::<Option<Vec<&str>>>()
            .map(|words| words.concat())
    }

    /// Whether the server accepts a logit bias and has a tokenizer that returns token ids.
    fn forbids_tokens(&self) -> bool {
        self.flavour().takes_bias() && self.counts.are_exact()
    }

    fn first_token(&self, text: &str) -> Result<Option<u32>, RemoteError> {
        let tokens = self.tokenize(text)?;
        Ok(tokens.and_then(|(_, ids)| ids.first().copied()))
    }

    fn token(
        &mut self,
        ask: &TextAsk<'_>,
        bias: Vec<(u32, f32)>,
        listener: &dyn Listener,
    ) -> Result<Option<String>, RemoteError> {
        let wish = Wish {
            bias,
            stream: false,
            ..Wish::of(ask)
        };
        match self.ask_whole(ask.request, wish, listener) {
            Ok(chunk) => Ok(Some(chunk.text)),
            Err(error) if error.kind == Kind::Stopped => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether the refusal means that the server cannot continue an unfinished message of the model.
fn cannot_continue(refusal: &Refusal<'_, RemoteError>, said: &str) -> bool {
    let is_open = |prompt: &Prompt| matches!(prompt, Prompt::Turns { open: true, .. });
    let is_closed = |prompt: &Prompt| matches!(prompt, Prompt::Turns { open: false, .. });
    match refusal.extended {
        // A router may drop one of the two fields that continue a message.
        None => said.contains("continue_final_message"),
        // Some servers cannot continue a reasoning model's message, in whatever words they say it.
        Some(extended) => is_open(extended) && is_closed(refusal.prompt),
    }
}

fn stopped(end: Result<End, RemoteError>) -> Result<End, RemoteError> {
    match end {
        Err(error) if error.kind == Kind::Stopped => Ok(End::Stopped),
        end => end,
    }
}

fn may_only_chat(flavour: Flavour) -> bool {
    matches!(
        flavour,
        Flavour::Compatible | Flavour::LiteLlm | Flavour::LmStudio | Flavour::TransformersServe
    )
}

impl Remote {
    /// Tells the writer which parts of the request the server cannot honour. Each limit is
    /// mentioned only once.
    fn say_limits(&mut self, request: &TextRequest, listener: &dyn Listener) {
        let ignored = remote::ignored(self.flavour(), &request.sampling);
        if !ignored.is_empty() {
            let names = ignored.join(", ");
            let flavour = self.flavour().name();
            let why = format!(
                "The server ({flavour}) cannot use {names}; the passage is written without them"
            );
            self.say_once(why, listener);
        }
        self.say_refused(listener);
    }

    /// Whether the error may mean that the prompt was too long, so that a shorter prompt should be
    /// tried. An empty answer counts only if it comes from llama-cpp-python.
    fn guesses(&self, kind: &Kind) -> bool {
        *kind != Kind::Empty || self.flavour() == Flavour::LlamaCppPython
    }

    /// Makes the next prompt shorter: lowers the context size if token counts are exact, and raises
    /// the token estimates otherwise.
    fn fits_less(&mut self) {
        match self.counts.are_exact() {
            true => self.about.context = (self.about.context * 3 / 4).max(64),
            false => self.counts.were_too_low(),
        }
    }
}

//! Sends the requests for a passage. Repeats a request if the server refuses a field or is busy.

use super::Remote;
use super::source::Source;
use crate::engine::backend::Listener;
use crate::engine::text::TextAsk;
use base::progress::Observer;
use base::untrusted::clean_line;
use remote::{Ask, Call, Kind, Prompt, Protocol, RemoteError, Step, call, decode};
use serde_json::Value;
use std::thread::sleep;
use std::time::{Duration, Instant};
use story::message::TextRequest;

/// The maximum number of retries if a server is busy.
const TRIES: usize = 3;
/// The maximum wait before a retry that a busy server may demand.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long to wait for a server that loads its model in the middle of a story.
const LOADING: Duration = Duration::from_secs(300);

/// The parameters that differ between the requests for one passage.
#[derive(Clone, Debug)]
pub struct Wish {
    pub prompt: Prompt,
    pub seed: u64,
    pub most: usize,
    pub likely: usize,
    pub bias: Vec<(u32, f32)>,
    /// The number of texts that the server should write in parallel.
    pub choices: usize,
    pub stream: bool,
}

impl Wish {
    /// Creates the parameters for a single text that is streamed.
    pub fn of(ask: &TextAsk<'_>) -> Wish {
        Wish {
            prompt: ask.prompt.clone(),
            seed: ask.seed,
            most: ask.most,
            likely: 0,
            bias: Vec::new(),
            choices: 1,
            stream: true,
        }
    }
}

/// A stream whose first event has arrived.
pub struct Begun {
    pub protocol: Protocol,
    pub source: Source,
    pub first: Step,
}

impl Remote {
    /// Builds the request in the server's format, without the fields that the server has refused.
    pub(super) fn call(&self, request: &TextRequest, wish: Wish) -> Call {
        let sampling = &request.sampling;
        let stop = sampling.stop.iter().filter(|stop| !stop.is_empty());
        let phrases = request.bans.iter().filter(|ban| ban.strength.is_none());
        let ask = Ask {
            model: &self.server.model,
            prompt: wish.prompt,
            sampling,
            seed: wish.seed,
            most: wish.most.max(1),
            stop: stop.cloned().collect(),
            likely: wish.likely,
            bias: wish.bias,
            choices: wish.choices,
            banned: phrases.map(|ban| ban.phrase.clone()).collect(),
            context: self.about.context,
            stream: wish.stream && !self.whole,
        };
        let mut call = call(self.flavour(), &ask);
        if let Some(fields) = call.body.as_object_mut() {
            for name in &self.refused {
                if let (Some(value), "max_tokens") = (fields.remove(name), name.as_str()) {
                    // Newer OpenAI models require the longer name.
                    fields.insert("max_completion_tokens".into(), value);
                }
            }
        }
        call
    }

    /// Opens a stream and waits for its first event. Waits and tries again if the server is loading
    /// its model or is busy, or if it refuses a field that can be left out.
    pub(super) fn begin(
        &mut self,
        request: &TextRequest,
        wish: &Wish,
        listener: &dyn Listener,
    ) -> Result<Begun, RemoteError> {
        let (mut tries, began) = (0, Instant::now());
        loop {
            let call = self.call(request, wish.clone());
            let stopped = || listener.is_cancelled();
            let opened = match self.whole {
                true => self.client.whole(self.path(&call), &call.body, &stopped),
                false => self.client.stream(call.path, &call.body, call.framing),
            };
            let begun = opened.and_then(|mut stream| Ok((stream.next(&stopped)?, stream)));
            let error = match begun {
                Ok((first, stream)) => {
                    return Ok(Begun {
                        protocol: call.protocol,
                        source: Source::Own(Box::new(stream)),
                        first,
                    });
                }
                Err(error) => error,
            };
            match &error.kind {
                _ if self.leaves_out(&call, &error) => self.say_refused(listener),
                Kind::Loading if !self.whole && began.elapsed() < LOADING => {
                    listener.progress("The server is loading its model", 0, None);
                    self.wait(Duration::from_secs(1), listener)?;
                }
                Kind::Busy { retry_after, .. } if !self.whole && tries < TRIES => {
                    let wait = retry_after.unwrap_or(Duration::from_secs(1 << tries));
                    tries += 1;
                    if wait > LONGEST_WAIT {
                        return Err(error);
                    }
                    listener.progress("Waiting for the server", 0, None);
                    self.wait(wait, listener)?;
                }
                _ => return Err(error),
            }
        }
    }

    /// If the error names a field that the request can do without, leaves the field out of all
    /// later requests and returns true.
    pub(super) fn leaves_out(&mut self, call: &Call, error: &RemoteError) -> bool {
        let Kind::Refused {
            status: 400 | 422,
            said,
        } = &error.kind
        else {
            return false;
        };
        let name = refused_field(&call.body, said);
        name.is_some_and(|name| self.refused.insert(name))
    }

    /// Tells the writer which fields the server refused. Each field is mentioned only once.
    pub(super) fn say_refused(&mut self, listener: &dyn Listener) {
        for sentence in self.refusals() {
            self.say_once(sentence, listener);
        }
    }

    /// Returns one sentence for each field that the server refused.
    pub(super) fn refusals(&self) -> Vec<String> {
        let mut names: Vec<String> = self.refused.iter().map(|it| clean_line(it)).collect();
        names.sort();
        let sentence = |name| format!("The server refuses {name}; it is left out from now on");
        names.into_iter().map(sentence).collect()
    }

    fn wait(&self, time: Duration, observer: &dyn Observer) -> Result<(), RemoteError> {
        let began = Instant::now();
        while began.elapsed() < time {
            if observer.is_cancelled() {
                return Err(self.client.error(Kind::Stopped));
            }
            sleep(Duration::from_millis(30));
        }
        Ok(())
    }

    /// Requests a short text that the server sends in one piece.
    pub(super) fn ask_whole(
        &self,
        request: &TextRequest,
        wish: Wish,
        observer: &dyn Observer,
    ) -> Result<remote::Chunk, RemoteError> {
        let call = self.call(
            request,
            Wish {
                stream: false,
                ..wish
            },
        );
        let (path, stopped) = (self.path(&call), || observer.is_cancelled());
        let answer = match self.whole {
            false => self.client.post(path, &call.body, &stopped)?,
            true => match self
                .client
                .whole(path, &call.body, &stopped)?
                .next(&stopped)?
            {
                Step::Event(answer) => answer,
                Step::Ended => return Err(self.client.error(Kind::Empty)),
            },
        };
        decode(call.protocol, &answer).map_err(|said| self.understood(said))
    }

    /// The path of a request for a text that the server sends in one piece.
    fn path(&self, call: &Call) -> &'static str {
        match call.protocol {
            Protocol::KoboldText => "/api/v1/generate",
            Protocol::LlamaText
            | Protocol::OpenAiText
            | Protocol::OpenAiChat
            | Protocol::OllamaText
            | Protocol::OllamaChat
            | Protocol::AnthropicChat => call.path,
        }
    }

    /// The error for an answer that could not be decoded. `said` is the server's own error message;
    /// if it is None, the answer is malformed.
    pub(super) fn understood(&self, said: Option<String>) -> RemoteError {
        self.client.error(match said {
            Some(said) => Kind::Broke(self.client.quoted(&said)),
            None => Kind::Garbage,
        })
    }
}

/// The field that a server's error message names; None if there is none or the request needs the
/// field.
fn refused_field(body: &Value, said: &str) -> Option<String> {
    const NEEDED: [&str; 6] = [
        "model",
        "prompt",
        "messages",
        "stream",
        // Without these, the model would start its message over.
        "continue_final_message",
        "add_generation_prompt",
    ];
    let fields = body.as_object()?;
    let named = |name: &str| {
        said.match_indices(name).any(|(at, _)| {
            let part = |c: char| c.is_alphanumeric() || c == '_';
            let before = said[..at].chars().next_back();
            let after = said[at + name.len()..].chars().next();
            !before.is_some_and(part) && !after.is_some_and(part)
        })
    };
    let optional = fields
        .keys()
        .filter(|name| !NEEDED.contains(&name.as_str()));
    let mut found: Vec<&String> = optional.filter(|name| named(name)).collect();
    found.sort_by_key(|name| said.find(name.as_str()));
    found.first().map(|name| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_field_that_is_complained_about_is_found() {
        let body = json!({"model": "m", "top_p": 1, "top_k": 5, "max_tokens": 9});
        let found = |said: &str| refused_field(&body, said);
        assert_eq!(
            found("Unexpected fields: {'top_k'}").as_deref(),
            Some("top_k")
        );
        let renamed = "Unsupported parameter: 'max_tokens'; use 'max_completion_tokens'";
        assert_eq!(found(renamed).as_deref(), Some("max_tokens"));
        assert_eq!(found("model is wrong"), None);
        assert_eq!(found("top_kk"), None);
    }
}

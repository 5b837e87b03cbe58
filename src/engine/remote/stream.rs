//! Sends one request for a passage, and reads the answer's stream to the end.

use super::Remote;
use super::asking::{Begun, Wish};
use super::source::{Share, Source};
use crate::engine::text::{End, Measured, TextAsk, Writing, estimate};
use remote::{Chunk, Deltas, Finish, Kind, RemoteError, Said, Step, Thoughts};
use std::time::{Duration, Instant};

/// How long to wait for token counts after the end of a text.
const AFTERWORD: Duration = Duration::from_millis(1500);

/// Sends a request and reads the answer's stream.
pub(super) fn read(
    remote: &mut Remote,
    ask: &TextAsk<'_>,
    writing: &mut Writing<'_, '_>,
) -> Result<End, RemoteError> {
    let begun = remote.begin(ask.request, &Wish::of(ask), writing.listener)?;
    read_begun(remote, begun, writing)
}

/// Reads a candidate's part of a shared stream.
pub(super) fn read_share(
    remote: &Remote,
    share: Share,
    writing: &mut Writing<'_, '_>,
) -> Result<End, RemoteError> {
    let first = share.next(&|| writing.is_cancelled())?;
    let begun = Begun {
        protocol: share.protocol,
        source: Source::Shared(share),
        first,
    };
    read_begun(remote, begun, writing)
}

fn read_begun(
    remote: &Remote,
    begun: Begun,
    writing: &mut Writing<'_, '_>,
) -> Result<End, RemoteError> {
    let Begun {
        protocol,
        mut source,
        first,
    } = begun;
    let listener = writing.listener;
    let stopped = || listener.is_cancelled();
    let (mut incoming, mut finish) = (Incoming::default(), None);
    let mut step = first;
    let mut events = 0;
    while let Step::Event(event) = step {
        events += 1;
        let chunk = source
            .decode(protocol, &event)
            .map_err(|said| remote.understood(said))?;
        if chunk.progress.is_some() || !chunk.thought.is_empty() {
            source.lives(false);
        }
        if let Some(progress) = &chunk.progress {
            writing.read(progress.done, progress.total, progress.cached);
        }
        let said = incoming.take(&chunk);
        if !chunk.text.is_empty() {
            source.lives(true);
        }
        let goes_on = remote.add(&said, writing);
        if remote.whole && !said.answer.is_empty() {
            let known = chunk.new_tokens.filter(|_| said.thought.is_empty());
            writing.added(known.unwrap_or_else(|| estimate(&said.answer)));
        }
        writing.measured(measured(&chunk, &source));
        if !goes_on {
            return Ok(End::Stopped);
        }
        finish = chunk.finish.or(finish);
        if finish.is_some() && (chunk.last || source.shared().is_some()) {
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
    match remote.add(&incoming.rest(), writing) {
        true => remote.end(finish, events),
        false => Ok(End::Stopped),
    }
}

fn measured(chunk: &Chunk, source: &Source) -> Measured {
    Measured {
        prompt_tokens: chunk.prompt_tokens,
        reused: chunk.cached,
        prefill_ms: chunk.prompt_ms,
        new_tokens: chunk.new_tokens,
        shared: source.shared(),
    }
}

impl Remote {
    /// Adds thoughts and text to the passage. Returns whether the passage takes more text.
    fn add(&self, said: &Said, writing: &mut Writing<'_, '_>) -> bool {
        let tokens = match self.flavour().streams_tokens() {
            // Tokens are counted once the whole text has arrived.
            _ if self.whole => Some(0),
            true => Some(1),
            false => None,
        };
        (said.thought.is_empty() || writing.thought(&said.thought, tokens))
            && (said.answer.is_empty() || writing.text(&said.answer, tokens))
    }

    /// Returns how a stream ended. A stream that gave no reason for its end counts as cut off,
    /// unless the answer came in one piece.
    fn end(&self, finish: Option<Finish>, events: usize) -> Result<End, RemoteError> {
        match finish {
            None if events == 0 => Err(self.client.error(Kind::Empty)),
            // An answer in one piece is complete, even if it gives no reason for its end.
            None if self.whole => Ok(End::Complete),
            None | Some(Finish::Aborted) => Err(self.client.error(Kind::Gone)),
            Some(Finish::Complete) => Ok(End::Complete),
            Some(Finish::Length) => Ok(End::Length),
            Some(Finish::StopString) => Ok(End::StopString),
            Some(Finish::ContextFull) => Ok(End::ContextFull),
            Some(Finish::Filtered) => Ok(End::Withheld),
        }
    }
}

/// Separates the chunks that a server sends into thoughts and text.
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

    /// Returns the text that was still held back when the stream ended.
    fn rest(&mut self) -> Said {
        let mut said = self.thoughts.push(&self.deltas.finish());
        said.extend(&self.thoughts.finish());
        said
    }
}

//! Requests text that is not a passage, such as a suggestion for the writer's line.

use super::backend::{Answer, Backend, Listener};
use base::progress::{Cancelled, Observer};
use std::cell::RefCell;
use story::Event;
use story::message::TextRequest;

/// Lets the model complete the line that the writer has started. The listener receives the whole
/// line, including the writer's part `begun`.
pub fn suggest(
    backend: &mut dyn Backend,
    ask: &TextRequest,
    begun: String,
    listener: &dyn Listener,
) -> Answer {
    let (words, ended) = said(backend, ask, listener);
    let (status, stats) = ended?;
    let mut line = begun + &words;
    // Trailing spaces of a typed line do not matter.
    line.truncate(line.trim_end().len());
    listener.tell(Event::Suggested(line.trim_start().to_string()));
    Ok((status, stats))
}

/// Runs the request. Returns the text that the model wrote and how the generation ended. All events
/// except pieces of text are forwarded to the listener.
pub fn said(
    backend: &mut dyn Backend,
    ask: &TextRequest,
    listener: &dyn Listener,
) -> (String, Answer) {
    let words = Words {
        text: RefCell::default(),
        listener,
    };
    let ended = backend.write(ask, &words);
    (words.text.into_inner(), ended)
}

/// A listener that collects the text of a passage and forwards all other events.
struct Words<'a> {
    text: RefCell<String>,
    listener: &'a dyn Listener,
}

impl Observer for Words<'_> {
    fn progress(&self, step: &str, done: u64, total: Option<u64>) {
        self.listener.progress(step, done, total);
    }

    fn check(&self) -> Result<(), Cancelled> {
        self.listener.check()
    }
}

impl Listener for Words<'_> {
    fn tell(&self, event: Event) -> bool {
        match event {
            Event::Piece { text, .. } => {
                self.text.borrow_mut().push_str(&text);
                true
            }
            // A thought here belongs to no passage.
            Event::Thought { .. } => true,
            event => self.listener.tell(event),
        }
    }
}

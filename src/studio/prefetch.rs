//! Prefetches the prompt for a typed line that has not been sent. The line is not part of the
//! story.

use super::pending::Purpose;
use super::request::healing;
use super::{Studio, Work, derive};
use base::untrusted::clean;
use story::{Author, Passage, Request};

impl Studio {
    /// Lets the idle engine prefill the story and the typed line. When the writer sends the line,
    /// generation can then start immediately, even if the story is long.
    pub fn read_ahead(&mut self, typed: &str) {
        let recalls = self.session.settings.sampling.recall > 0;
        if self.busy() || !self.capabilities.prefetch || recalls {
            return;
        }
        // A command is not part of the story; it usually continues the story unchanged.
        let typed = clean(if typed.starts_with('/') { "" } else { typed });
        let words = self.joined(&typed, Author::User);
        let (id, mut path) = (words.id, self.session.story.path());
        if !typed.trim().is_empty() {
            path.push(Passage::whole(&words));
        }
        if path.is_empty() {
            return;
        }
        let seed = derive(self.setup.entropy, id);
        let request = self.ask(id, &path, &healing(), seed).0;
        if self.pending.read_ahead.as_ref() != Some(&request) {
            let read = Request::Prefetch(request.clone());
            self.send(read, Purpose::ReadAhead, Work::Nothing);
            self.pending.read_ahead = Some(request);
        }
    }
}

//! Completes or prefills a line that has not been sent. The line is not in the story.

use super::pending::Purpose;
use super::request::{Ask, healing};
use super::{Outcome, Refusal, Studio, Work, cannot, derive};
use base::untrusted::clean;
use story::command::ContinueLength;
use story::{Author, Mode, Passage, Place, Request};

impl Studio {
    /// Lets the model draft the writer's next line, which is not in the story until it is sent.
    pub(super) fn impersonate(&mut self, begun: &str) -> Result<Outcome, Refusal> {
        let place = Place::after(self.session.story.head());
        if self.session.story.head().is_none() && begun.trim().is_empty() {
            return Err(cannot("The story is empty; write its first line"));
        }
        let begun = clean(begun).into_owned();
        let reach = match self.session.settings.mode {
            Mode::Prose => ContinueLength::Sentence,
            Mode::Chat => ContinueLength::Default,
        };
        let ask = Ask { reach, ..healing() };
        let mut ask = self.question(
            place,
            ask,
            derive(self.setup.entropy, self.session.story.next_id()),
        );
        ask.context
            .begin_user_turn(&self.joined(&begun, Author::User).text);
        let request = Request::Suggest { ask, begun };
        self.send(request, Purpose::Show, Work::Writing);
        Ok(Outcome::Asked)
    }

    /// Lets the idle engine prefill the story with this line, so that generation starts immediately
    /// when the line is sent, however long the story is.
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

//! Requests short texts that the model writes for a command. These texts are not part of the story.

use super::pending::{Purpose, Suggestion};
use super::request::{Ask, healing};
use super::{Notice, Outcome, Refusal, Studio, Work, cannot, derive};
use base::untrusted::clean;
use story::command::ContinueLength;
use story::{Author, Mode, Place, Request};

impl Studio {
    /// Handles a text that the model wrote for a command. The text is incomplete if the writer
    /// pressed Esc.
    pub(super) fn suggested(&mut self, purpose: Suggestion, text: String) -> Vec<Notice> {
        match purpose {
            Suggestion::NextLine => vec![Notice::Suggested(text)],
        }
    }

    /// Asks the model to draft the writer's next line. The line becomes part of the story only when
    /// the writer sends it.
    pub(super) fn impersonate(&mut self, begun: &str) -> Result<Outcome, Refusal> {
        if self.session.story.head().is_none() && begun.trim().is_empty() {
            return Err(cannot("The story is empty; write its first line"));
        }
        let reach = match self.session.settings.mode {
            Mode::Prose => ContinueLength::Sentence,
            Mode::Chat => ContinueLength::Default,
        };
        let ask = Ask { reach, ..healing() };
        Ok(self.request_text(Suggestion::NextLine, ask, begun))
    }

    /// Asks the model for a text that starts with `begun`. The model writes in the writer's role
    /// or, if `ask` has an instruction, follows the instruction.
    fn request_text(&mut self, purpose: Suggestion, ask: Ask, begun: &str) -> Outcome {
        let place = Place::after(self.session.story.head());
        let seed = derive(self.setup.entropy, self.session.story.next_id());
        let instructed = ask.instruct.is_some();
        let mut ask = self.question(place, ask, seed);
        let begun = clean(begun).into_owned();
        if !instructed {
            let line = self.joined(&begun, Author::User);
            ask.context.begin_user_turn(&line.text);
        }
        let request = Request::Suggest { ask, begun };
        self.send(request, Purpose::Suggestion(purpose), Work::Writing);
        Outcome::Asked
    }
}

//! Replaces banned phrases: keeps the text before the phrase, and requests other text instead of
//! it.
//!
//! If the source can make single tokens less likely, a separate request for one token replaces the
//! phrase's first token. Otherwise, only the seed changes, and the model may write the phrase
//! again.

use super::{Next, Run};
use crate::engine::text::estimate::estimate;
use crate::engine::text::{Prompt, TextAsk, TextSource};
use std::collections::HashMap;
use story::{Event, Status};

/// The maximum number of attempts to avoid phrases at one place in the passage, if the source can
/// make the phrases' first tokens less likely.
const TRIES: usize = 8;
/// The maximum number of attempts at one place in the passage, if only the seed can be changed. At
/// temperature 0 the seed has no effect, so no attempts are made.
const TRIES_BY_SEED: usize = 3;
/// The maximum number of attempts to avoid phrases in one passage.
const IN_ALL: usize = 64;

/// The state of rewinding in one passage. `blocked` contains the tokens that were made less likely,
/// and `tries` the number of attempts, both keyed by byte offset in the passage. `in_all` is the
/// number of attempts in the whole passage.
#[derive(Debug, Default)]
pub(super) struct Rewinds {
    blocked: HashMap<usize, Vec<(u32, f32)>>,
    tries: HashMap<usize, usize>,
    in_all: usize,
}

impl<S: TextSource> Run<'_, S> {
    /// Removes a banned phrase, and requests another word to replace it.
    pub(super) fn go_back(&mut self, at: usize, ban: usize) -> Result<Next, S::Error> {
        let written = self.passage.rewind(at);
        let said = self.passage.text();
        let strength = self.request.bans.get(ban).and_then(|ban| ban.strength);
        let prompt = match said.is_empty() {
            true => self.fitted.prompt.clone(),
            false => self.fitted.after(&said, self.source.prefills()).prompt,
        };
        let goes_on = !matches!(prompt, Prompt::Turns { open: false, .. });
        let by_bias = goes_on && self.source.forbids_tokens();
        let greedy = self.request.sampling.temperature <= 0.0;
        let tries = self.rewinds.tries.entry(said.len()).or_default();
        *tries += 1;
        self.rewinds.in_all += 1;
        let most = match by_bias {
            true => TRIES,
            false if greedy => 0,
            false => TRIES_BY_SEED,
        };
        let enough = *tries > most || self.rewinds.in_all > IN_ALL;
        let phrase = self.passage.phrase(written.trim_start(), ban).to_string();
        if strength.is_some() || enough {
            // A phrase that still comes after being made less likely may stay.
            self.passage.let_through(at, ban);
        }
        if enough {
            self.passage
                .push(&written, estimate(&written), self.listener);
            if strength.is_none() {
                self.listener.tell(Event::Warned(format!(
                    "The banned phrase \"{phrase}\" stays, since the model kept writing it; /retry, or /edit the passage"
                )));
            }
            return Ok(Next::Request);
        }
        let node = self.request.node;
        self.listener.tell(Event::Rewound { node, phrase });
        match by_bias {
            true => self.other_word(prompt, said.len(), &written, strength),
            false => Ok(Next::Request),
        }
    }

    /// Requests one token in place of a banned phrase. The first tokens of all banned phrases that
    /// were removed at this place are made less likely.
    fn other_word(
        &mut self,
        prompt: Prompt,
        place: usize,
        written: &str,
        strength: Option<f32>,
    ) -> Result<Next, S::Error> {
        let first = self.source.first_token(written)?;
        let blocked = self.rewinds.blocked.entry(place).or_default();
        blocked.extend(first.map(|id| (id, -strength.unwrap_or(100.0))));
        let bias = blocked.clone();
        let seed = self.request.seed;
        let ask = TextAsk {
            seed: seed.wrapping_add(1000 * self.rewinds.in_all as u64),
            most: 1,
            ..self.text_ask(prompt)
        };
        let Some(word) = self.source.token(&ask, bias, self.listener)? else {
            return Ok(Next::Over(Status::Stopped));
        };
        // If the other word begins another banned phrase, the next request detects it.
        _ = self.passage.push(&word, 1, self.listener);
        Ok(Next::Request)
    }
}

//! Banned phrases: keeps the text before one, makes its first token less likely, and asks for
//! another word in its place.

use super::Run;
use crate::engine::remote::asking::{Wish, prompt_after};
use crate::engine::remote::counts::estimate;
use remote::RemoteError;
use std::collections::HashMap;
use story::Event;

/// How often phrases are avoided, at one place and in a whole passage, before one is let through.
const TRIES: usize = 8;
const IN_ALL: usize = 64;

/// The tokens made less likely at each byte of a passage.
#[derive(Debug, Default)]
pub(super) struct Rewinds {
    blocked: HashMap<usize, Vec<(u32, f32)>>,
    tries: HashMap<usize, usize>,
    in_all: usize,
}

impl Run<'_, '_> {
    /// Removes a banned phrase and asks for another word in its place.
    pub(super) fn go_back(&mut self, at: usize, ban: usize) -> Result<(), RemoteError> {
        let written = self.passage.rewind(at);
        let place = self.passage.text().len();
        let strength = self.request.bans.get(ban).and_then(|ban| ban.strength);
        let tries = self.rewinds.tries.entry(place).or_default();
        *tries += 1;
        self.rewinds.in_all += 1;
        let enough = *tries > TRIES || self.rewinds.in_all > IN_ALL;
        let prompt = prompt_after(&self.fitted.prompt, self.passage).filter(|_| !enough);
        if strength.is_some() || prompt.is_none() {
            // A phrase that still comes after being made less likely may stay.
            self.passage.let_through(at, ban);
        }
        let Some(prompt) = prompt else {
            self.passage
                .push(&written, estimate(&written), self.listener);
            return Ok(());
        };
        self.listener.tell(Event::Rewound {
            node: self.request.node,
            phrase: self.passage.phrase(written.trim_start(), ban).to_string(),
        });
        let wish = Wish {
            bias: self.bias(place, &written, strength)?,
            most: 1,
            stream: false,
            seed: self
                .request
                .seed
                .wrapping_add(1000 * self.rewinds.in_all as u64),
            ..self.wish(prompt)
        };
        let chunk = self.remote.ask_whole(self.request, wish, self.listener)?;
        // If the other word begins another banned phrase, the next request detects it.
        _ = self.passage.push(&chunk.text, 1, self.listener);
        Ok(())
    }

    /// The tokens to be made less likely at a place: those that began a phrase there.
    fn bias(
        &mut self,
        place: usize,
        written: &str,
        strength: Option<f32>,
    ) -> Result<Vec<(u32, f32)>, RemoteError> {
        if !self.remote.flavour().takes_bias() {
            return Ok(Vec::new());
        }
        let ids = self
            .remote
            .tokenize(written)?
            .map_or(Vec::new(), |(_, ids)| ids);
        let blocked = self.rewinds.blocked.entry(place).or_default();
        blocked.extend(ids.first().map(|id| (*id, -strength.unwrap_or(100.0))));
        Ok(blocked.clone())
    }
}

//! Rewinds to the beginning of a banned phrase.

use super::{Looked, Passage};
use crate::engine::backend::{Failure, Listener};
use crate::engine::local::loaded::Loaded;
use llm::Logits;
use story::Event;

/// The maximum number of tokens that are excluded at one position because of banned phrases. After
/// that, the banned phrase may stay.
const TRIES: usize = 32;

impl Passage {
    /// Finds the first banned phrase in the text that has not been sent. Phrases that may stay
    /// (`let_through`) are skipped. Returns the index in `held` of the phrase's first token, and
    /// the index of the ban.
    pub(super) fn banned(&self) -> Option<(usize, usize)> {
        let mut from = 0;
        while let Some((ban, range)) = self.bans.find(self.text.get(from..)?) {
            let at = self.sent + self.token_at(from + range.start);
            if !self.let_through.contains(&(at, ban)) {
                return Some((at - self.sent, ban));
            }
            let next = self.text[from + range.start..].chars().next()?;
            from += range.start + next.len_utf8();
        }
        None
    }

    /// Returns the index in `held` of the token that contains the byte at the offset `byte`.
    fn token_at(&self, byte: usize) -> usize {
        self.held
            .iter()
            .take_while(|token| token.end <= byte)
            .count()
    }

    pub(super) fn go_back(
        &mut self,
        loaded: &mut Loaded,
        index: usize,
        ban: usize,
        listener: &dyn Listener,
    ) -> Result<Looked, Failure> {
        let at = self.sent + index;
        let begins = index.checked_sub(1).map_or(0, |at| self.held[at].end);
        let written = self.text.get(begins..).unwrap_or_default();
        let phrase = match self.bans.find(written) {
            Some((found, range)) if found == ban => written[range].to_string(),
            _ => self.request.bans[ban].phrase.clone(),
        };
        let strength = self.request.bans[ban].strength;
        let mut taken = self.held.drain(index..);
        let Some((id, before)) = taken.next().and_then(|t| Some((t.id, t.before?))) else {
            return Ok(Looked::On);
        };
        drop(taken);
        let (logits, sampler, decoder) = *before;
        (self.sampler, self.decoder) = (sampler, decoder);
        self.text
            .truncate(self.held.last().map_or(0, |token| token.end));
        self.all.truncate(self.base + at);
        self.blocked.retain(|place, _| *place <= at);
        self.let_through.retain(|(place, _)| *place <= at);
        let blocked = self.blocked.entry(at).or_default();
        blocked.push((id, strength.unwrap_or(f32::INFINITY)));
        if strength.is_some() || blocked.len() >= TRIES {
            self.let_through.insert((at, ban));
        }
        loaded.rewind(self.all.len());
        // Some models cannot rewind exactly, so the missing tokens are evaluated again.
        let missing = loaded.model.len()..self.all.len();
        if !missing.is_empty() {
            loaded.forward(&self.all[missing], Logits::Skip, &|| false)?;
        }
        let node = self.request.node;
        listener.tell(Event::Rewound { node, phrase });
        Ok(Looked::Back(logits))
    }
}

//! The draft model: a smaller model with the same vocabulary that proposes draft tokens (Leviathan
//! et al. 2023). The draft model does not change the larger model's output; see
//! [`super::speculate`].

use super::SLICE;
use llm::{Logits, ModelError, TextModel, Tokenizer};
use sampler::log_probability;

/// The minimum probability of a draft token. A rejected draft token wastes one row of a batch of
/// the larger model.
const SURE: f64 = 0.4;

pub struct Draft {
    pub name: String,
    model: Box<dyn TextModel>,
    /// The tokens in the draft model's KV cache.
    held: Vec<u32>,
}

impl Draft {
    pub fn new(name: String, model: Box<dyn TextModel>) -> Draft {
        Draft {
            name,
            model,
            held: Vec::new(),
        }
    }

    /// Proposes up to `count` draft tokens to follow the tokens `read`. Returns fewer tokens, or
    /// none, if the draft model becomes uncertain or is stopped.
    pub fn guess(
        &mut self,
        read: &[u32],
        count: usize,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Vec<u32>, ModelError> {
        let mut guesses = Vec::new();
        let common = self
            .held
            .iter()
            .zip(read)
            .take_while(|(a, b)| a == b)
            .count();
        // Always evaluates the last token, because its logits are needed.
        self.model.rewind(common.min(read.len().saturating_sub(1)));
        self.held.truncate(self.model.len());
        if read.len() + count > self.model.context() {
            return Ok(guesses);
        }
        let new = read[self.held.len()..].to_vec();
        let mut logits = Vec::new();
        for slice in new.chunks(SLICE) {
            match self.model.forward(slice, Logits::Last, stopped)? {
                Some(row) => logits = row,
                None => return Ok(guesses),
            }
            self.held.extend(slice);
        }
        while let Some(id) = likeliest(&logits) {
            guesses.push(id);
            if guesses.len() >= count {
                break;
            }
            match self.model.forward(&[id], Logits::Last, stopped)? {
                Some(row) => logits = row,
                None => break,
            }
            self.held.push(id);
        }
        Ok(guesses)
    }
}

/// Returns the most likely token if its probability is at least [`SURE`].
fn likeliest(logits: &[f32]) -> Option<u32> {
    let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]))?;
    let best = best as u32;
    (log_probability(logits, best).exp() >= SURE).then_some(best)
}

/// Whether two models have the same vocabulary.
pub fn same_words(one: &Tokenizer, other: &Tokenizer) -> bool {
    let same = |id: u32| one.bytes(id) == other.bytes(id);
    one.len() == other.len() && (0..one.len() as u32).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_likely_token_is_guessed() {
        assert_eq!(likeliest(&[0.0, 9.0, 1.0]), Some(1));
        assert_eq!(likeliest(&[1.0, 1.0, 1.0]), None);
        assert_eq!(likeliest(&[]), None);
    }
}

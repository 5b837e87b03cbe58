//! Token healing: where people's text ends inside a word or on a space, its last token is taken
//! back, and the model may only write tokens that spell it again. So "The lam" becomes "The lamp"
//! and a space at the end is not written twice.

use super::load::Loaded;

/// What is still to be spelled; empty when nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Healing {
    tail: Vec<u8>,
    /// Bytes of people's text that the new tokens spell again.
    pub bytes: usize,
}

/// Tokens of one word that are taken back at most.
const MOST: usize = 8;

/// Takes the last word back, if the text ends inside one or on a space.
pub fn heal(loaded: &Loaded, ids: &mut Vec<u32>) -> Healing {
    let goes_on = |c: char| c.is_alphanumeric() || c == ' ' || c == '\'' || c == '’';
    let mut tail = Vec::new();
    let mut kept = ids.len();
    // The first token stays: something must be read.
    while kept > 1 && ids.len() - kept < MOST {
        let bytes = loaded.tokenizer.bytes(ids[kept - 1]);
        let Some(text) = std::str::from_utf8(bytes)
            .ok()
            .filter(|text| !text.is_empty())
        else {
            break;
        };
        // A line end is an end: what comes after it begins anew.
        if text.contains(['\n', '\r']) || !text.ends_with(goes_on) {
            break;
        }
        tail.splice(0..0, bytes.iter().copied());
        kept -= 1;
        if !text.starts_with(char::is_alphanumeric) {
            break;
        }
    }
    ids.truncate(kept);
    let bytes = tail.len();
    Healing { tail, bytes }
}

impl Healing {
    pub fn is_over(&self) -> bool {
        self.tail.is_empty()
    }

    /// Rules out every token that does not spell what is still to be spelled.
    pub fn allow(&self, loaded: &Loaded, logits: &mut [f32]) {
        for (id, logit) in logits.iter_mut().enumerate() {
            let bytes = loaded.tokenizer.bytes(id as u32);
            let fits = bytes.starts_with(&self.tail) || self.tail.starts_with(bytes);
            if bytes.is_empty() || !fits {
                *logit = f32::NEG_INFINITY;
            }
        }
    }

    /// The same, where there is something to be spelled.
    pub fn allow_if_any(&self, loaded: &Loaded, logits: &mut [f32]) {
        if !self.is_over() {
            self.allow(loaded, logits);
        }
    }

    /// Takes note of a token that was written.
    pub fn spell(&mut self, bytes: &[u8]) {
        let spelled = bytes.len().min(self.tail.len());
        self.tail.drain(..spelled);
    }
}

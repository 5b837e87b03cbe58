//! Token healing: where people's text ends inside a word or on a space, its last token is taken
//! back, and the model may only write tokens that spell it again. So "The lam" becomes "The lamp"
//! and a space at the end is not written twice. Whether a word has ended is asked of the model: where
//! it would go on with a space or a mark, "A man" stays and does not become "A many".

use super::loaded::Loaded;

/// What is still to be spelled; empty when nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Healing {
    tail: Vec<u8>,
    /// The tokens at the prompt's end that spell it.
    tokens: usize,
    /// Bytes of people's text that the new tokens spell again.
    pub bytes: usize,
}

/// Tokens of one word that are taken back at most.
const MOST: usize = 8;

/// What to take back where the text ends inside a word or on a space.
pub fn heal(loaded: &Loaded, ids: &[u32]) -> Healing {
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
    Healing {
        bytes: tail.len(),
        tokens: ids.len() - kept,
        tail,
    }
}

/// How likely the word must be to end where the text does for it to stay as it is.
const ENDED: f64 = 0.5;

impl Healing {
    pub fn is_over(&self) -> bool {
        self.tail.is_empty()
    }

    /// Once the whole text has been read: whether it ends between words, so that nothing is to be
    /// healed. `logits` are of the token after it.
    pub fn is_needless(&self, loaded: &Loaded, logits: &[f32]) -> bool {
        if self.tail.last().is_none_or(|last| *last == b' ') {
            return self.is_over();
        }
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (mut all, mut ends) = (0.0, 0.0);
        for (id, logit) in logits.iter().enumerate() {
            let likely = f64::from(logit - highest).exp();
            let bytes = loaded.tokenizer.bytes(id as u32);
            let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
            all += likely;
            ends += if bytes.first().is_some_and(goes_on) {
                0.0
            } else {
                likely
            };
        }
        ends > all * ENDED
    }

    /// Takes back what is to be spelled again.
    pub fn begin(&self, ids: &mut Vec<u32>) {
        ids.truncate(ids.len() - self.tokens);
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

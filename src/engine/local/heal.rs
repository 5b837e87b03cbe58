//! Token healing. If a person's text ends inside a word or on a space, the last tokens of the text
//! are removed, and the model may only sample tokens that spell the removed text again. So "The
//! lam" becomes "The lamp", and a space at the end is not doubled. Before the tokens are removed,
//! the model decides whether the word has already ended. If the model would continue with a space
//! or a punctuation mark, the text is not healed; so "A man" does not become "A many".

use llm::Tokenizer;

/// The state of token healing for one passage. `tail` contains the removed bytes that new tokens
/// have not spelled yet; it is empty if healing is finished or not needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Healing {
    tail: Vec<u8>,
    /// The number of tokens that are removed from the end of the prompt.
    tokens: usize,
    /// The number of bytes of the person's text that new tokens have to spell again.
    pub bytes: usize,
}

/// The maximum number of tokens that are removed.
const MOST: usize = 8;

/// Finds the tokens to remove from a text that ends inside a word or on a space. The result is
/// empty for any other text.
pub fn heal(tokenizer: &Tokenizer, ids: &[u32]) -> Healing {
    let goes_on = |c: char| c.is_alphanumeric() || c == ' ' || c == '\'' || c == '’';
    let mut tail = Vec::new();
    let mut kept = ids.len();
    // The first token stays: the prompt must not be empty.
    while kept > 1 && ids.len() - kept < MOST {
        let bytes = tokenizer.bytes(ids[kept - 1]);
        let Some(text) = std::str::from_utf8(bytes)
            .ok()
            .filter(|text| !text.is_empty())
        else {
            break;
        };
        // Text is not healed across a line end.
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

/// The text is not healed if the probability that its last word has ended exceeds this value.
const ENDED: f64 = 0.5;

impl Healing {
    pub fn is_over(&self) -> bool {
        self.tail.is_empty()
    }

    /// Whether the text needs no healing, because its last word has ended. `logits` are the logits
    /// of the token that follows the text.
    pub fn is_needless(&self, tokenizer: &Tokenizer, logits: &[f32]) -> bool {
        if self.tail.last().is_none_or(|last| *last == b' ') {
            return self.is_over();
        }
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (mut all, mut ends) = (0.0, 0.0);
        for (id, logit) in logits.iter().enumerate() {
            let likely = f64::from(logit - highest).exp();
            let bytes = tokenizer.bytes(id as u32);
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

    /// Removes the tokens that new tokens will spell again.
    pub fn begin(&self, ids: &mut Vec<u32>) {
        ids.truncate(ids.len() - self.tokens);
    }

    /// Excludes every token that does not spell the remaining bytes, by setting its logit to
    /// negative infinity.
    pub fn allow(&self, tokenizer: &Tokenizer, logits: &mut [f32]) {
        for (id, logit) in logits.iter_mut().enumerate() {
            let bytes = tokenizer.bytes(id as u32);
            let fits = bytes.starts_with(&self.tail) || self.tail.starts_with(bytes);
            if bytes.is_empty() || !fits {
                *logit = f32::NEG_INFINITY;
            }
        }
    }

    /// Calls [`Healing::allow`] if bytes remain to be spelled.
    pub fn allow_if_any(&self, tokenizer: &Tokenizer, logits: &mut [f32]) {
        if !self.is_over() {
            self.allow(tokenizer, logits);
        }
    }

    /// Removes from the remaining bytes those that a new token spells.
    pub fn spell(&mut self, bytes: &[u8]) {
        let spelled = bytes.len().min(self.tail.len());
        self.tail.drain(..spelled);
    }
}

//! Finds the stored tokens that still spell a text. The text may have been edited or cut since its
//! tokens were stored.

use base::untrusted::clean;
use llm::Tokenizer;
use llm::tokenizer::Decoder;
use std::ops::Range;
use story::context::ContextPart;

/// The tokens of a context part that spell the beginning of the part's text.
#[derive(Debug, PartialEq)]
pub struct Spelled {
    /// The range of these tokens in the part's `ids`.
    pub tokens: Range<usize>,
    /// The number of bytes of the part's text that the tokens in the range spell.
    pub bytes: usize,
}

/// Finds the longest range of a part's tokens that spells the beginning of the part's text.
/// `before` is the text before the part: if a word was healed, the first tokens may spell the end
/// of `before`. Returns None if no token fits, or if the tokens come from another model.
pub fn spelled(
    tokenizer: &Tokenizer,
    sha256: &str,
    part: &ContextPart,
    before: &str,
) -> Option<Spelled> {
    if part.ids.is_empty() || part.model_sha256 != sha256 || part.text.is_empty() {
        return None;
    }
    let healed = before.len().checked_sub(part.healed)?;
    let expected = [before.get(healed..)?, &part.text].concat();
    let (mut decoder, mut at, mut rest) = (Decoder::default(), 0, expected.as_str());
    let (mut first, mut found) = ((part.skip == 0).then_some(0), None);
    for (index, id) in part.ids.iter().enumerate() {
        let piece = decoder.push(tokenizer.bytes(*id));
        let piece = clean(&piece);
        if first.is_none() {
            at += piece.len();
            if at == part.skip && !decoder.is_mid_character() {
                first = Some(index + 1);
            }
            continue;
        }
        match rest.strip_prefix(piece.as_ref()) {
            Some(after) => rest = after,
            None => break,
        }
        let past_joint = rest.len() <= part.text.len();
        if !decoder.is_mid_character() && past_joint {
            let bytes = part.text.len() - rest.len();
            found = first.map(|first| Spelled {
                tokens: first..index + 1,
                bytes,
            });
        }
        if rest.is_empty() && !decoder.is_mid_character() {
            break;
        }
    }
    found.filter(|found| found.bytes > 0)
}

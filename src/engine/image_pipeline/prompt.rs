//! Computes the embeddings of a prompt: one of the whole prompt, and one of its subject alone.
//!
//! The embedding of "A ship in a storm" is closer to storms than to ships, but the words before
//! "in" name the subject. The illuminator uses the embedding of the subject only if that embedding
//! matches a concept clearly better than the embedding of the whole prompt.

use super::{DrawError, ImagePipeline, MAX_PROMPT_CHARS};

/// The embeddings of a prompt and of its subject, as unit vectors. The embedding of the subject is
/// empty if the subject is the whole prompt. Both embeddings are empty if the prompt is empty.
#[derive(Default)]
pub(super) struct PromptEmbedding {
    pub(super) words: Vec<f32>,
    pub(super) subject: Vec<f32>,
}

/// Words that end the subject, because they begin a description of where the subject is or what it
/// does. "Of" is not in the list: the subject of "a slice of bread on a plate" is "slice of bread".
const AFTER: &[&str] = &[
    "above", "across", "against", "along", "among", "and", "around", "as", "at", "before",
    "behind", "below", "beneath", "beside", "between", "beyond", "by", "carrying", "crossing",
    "during", "eating", "facing", "flying", "for", "from", "guarding", "holding", "in", "inside",
    "into", "is", "like", "looking", "lying", "near", "on", "onto", "outside", "over", "playing",
    "reading", "riding", "running", "sitting", "sleeping", "standing", "that", "through", "to",
    "toward", "towards", "under", "walking", "watching", "wearing", "where", "which", "while",
    "who", "whose", "with", "without",
];
/// Articles and similar words, which are skipped before the subject.
const ARTICLES: &[&str] = &[
    "a", "an", "the", "one", "some", "my", "his", "her", "their", "our",
];

impl ImagePipeline {
    pub(super) fn embed_prompt(&self, words: &str) -> Result<PromptEmbedding, DrawError> {
        let words = words.trim();
        match words.chars().count() {
            0 => return Ok(PromptEmbedding::default()),
            letters if letters > MAX_PROMPT_CHARS => return Err(DrawError::TooLong(letters)),
            _ => {}
        }
        let subject = subject(words).map(|subject| self.encoder.embed(&subject));
        Ok(PromptEmbedding {
            words: self.encoder.embed(words)?,
            subject: subject.transpose()?.unwrap_or_default(),
        })
    }
}

/// Returns the subject of a prompt, without articles, or None if the subject is the whole prompt.
fn subject(words: &str) -> Option<String> {
    let mut named: Vec<&str> = Vec::new();
    for word in words.split_whitespace() {
        let plain = word.trim_matches(|c: char| !c.is_alphanumeric());
        let is_one_of = |some: &[&str]| some.iter().any(|it| plain.eq_ignore_ascii_case(it));
        if named.is_empty() && is_one_of(ARTICLES) {
            continue;
        }
        if !named.is_empty() && is_one_of(AFTER) {
            break;
        }
        named.push(plain);
        if word.ends_with([',', ';', ':', '.', '—']) {
            break;
        }
    }
    let named = named.join(" ");
    // A final full stop does not count as another word.
    (!named.is_empty() && named.len() + 1 < words.len()).then_some(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thing_is_what_comes_before_where_it_is_and_what_it_does() {
        let thing = |words| subject(words).unwrap_or_default();
        assert_eq!(thing("a ship in a storm"), "ship");
        assert_eq!(thing("The old wizard, tired and alone"), "old wizard");
        assert_eq!(thing("a fox sleeping under the moon"), "fox");
        assert_eq!(thing("a red dragon asleep"), "red dragon asleep");
        assert_eq!(thing("a slice of bread"), "slice of bread");
        assert_eq!(
            thing("in the woods a house near a lake"),
            "in the woods a house"
        );
        assert_eq!(thing("castle."), "");
        assert_eq!(thing(""), "");
    }
}

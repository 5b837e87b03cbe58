//! Turns a passage into a short prompt. The prompt is the text model's description of the passage
//! if that description names something that can be drawn. Otherwise, the prompt consists of
//! keywords of the passage.

use super::{DrawError, ImagePipeline};
use story::sentence::{excerpt, sentence_ends};

/// The text model's description is used only if its similarity to a concept is at least this.
const WELL: f32 = 0.45;
/// A single word of the passage is used only if its similarity to a concept is at least this.
const WORD: f32 = 0.6;
/// The maximum number of keywords in a prompt.
const THINGS: usize = 3;
/// The maximum number of words of a passage that are compared with the concepts.
const LOOKED_UP: usize = 32;
/// The minimum length of a keyword in letters.
const SHORTEST: usize = 4;

/// Words that name nothing that can be drawn, and that are therefore never keywords.
const EMPTY: &[&str] = &[
    "about",
    "after",
    "again",
    "against",
    "almost",
    "along",
    "already",
    "also",
    "always",
    "another",
    "anything",
    "around",
    "away",
    "back",
    "because",
    "been",
    "before",
    "behind",
    "being",
    "below",
    "between",
    "came",
    "come",
    "could",
    "does",
    "done",
    "down",
    "each",
    "even",
    "ever",
    "every",
    "everything",
    "first",
    "from",
    "gone",
    "have",
    "having",
    "here",
    "into",
    "itself",
    "just",
    "knew",
    "know",
    "last",
    "like",
    "little",
    "long",
    "made",
    "make",
    "many",
    "might",
    "more",
    "most",
    "much",
    "must",
    "never",
    "next",
    "nothing",
    "once",
    "only",
    "other",
    "over",
    "said",
    "same",
    "seemed",
    "should",
    "since",
    "some",
    "someone",
    "something",
    "soon",
    "still",
    "such",
    "than",
    "that",
    "their",
    "them",
    "themselves",
    "then",
    "there",
    "these",
    "they",
    "thing",
    "this",
    "those",
    "though",
    "thought",
    "through",
    "time",
    "told",
    "took",
    "toward",
    "towards",
    "under",
    "until",
    "upon",
    "very",
    "want",
    "wanted",
    "well",
    "went",
    "were",
    "what",
    "when",
    "where",
    "which",
    "while",
    "whom",
    "will",
    "with",
    "without",
    "would",
    "your",
];

impl ImagePipeline {
    /// Returns the prompt for a picture of the passage `text`. `line` is the text model's
    /// description of the passage.
    pub fn describe(&self, text: &str, line: &str) -> Result<String, DrawError> {
        let line = tidy(line);
        if self.similarity(&line)? >= WELL {
            return Ok(line);
        }
        let named = keywords(text, self.illuminator.concepts.labels());
        if !named.is_empty() {
            return Ok(named.join(", "));
        }
        let meant = self.meant(text)?;
        if !meant.is_empty() {
            return Ok(meant.join(", "));
        }
        Ok(match line.as_str() {
            "" => last_sentence(text),
            _ => line,
        })
    }

    /// Returns the words of a text that are similar to a concept, the most similar word first.
    fn meant(&self, text: &str) -> Result<Vec<String>, DrawError> {
        let mut words: Vec<String> = Vec::new();
        for word in bare(text).into_iter().rev() {
            let says = word.chars().count() >= SHORTEST && !EMPTY.contains(&word.as_str());
            if says && !words.contains(&word) && words.len() < LOOKED_UP {
                words.push(word);
            }
        }
        let mut found: Vec<(f32, String)> = Vec::new();
        for word in words {
            let near = self.similarity(&word)?;
            found.extend((near >= WORD).then_some((near, word)));
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        found.truncate(THINGS);
        Ok(found.into_iter().map(|(_, word)| word).collect())
    }
}

/// Returns the labels of the last few concepts that a text mentions, in the order of the text.
pub fn keywords(text: &str, labels: &[String]) -> Vec<String> {
    let words: Vec<String> = bare(text).iter().map(|word| singular(word)).collect();
    let mut found: Vec<(usize, usize, &str)> = Vec::new();
    for label in labels {
        let wanted: Vec<String> = bare(label).iter().map(|word| singular(word)).collect();
        let long = wanted.iter().map(|word| word.len()).sum::<usize>() >= 3;
        if wanted.is_empty() || !long {
            continue;
        }
        let at = words.windows(wanted.len()).rposition(|some| some == wanted);
        found.extend(at.map(|at| (at, wanted.len(), label.as_str())));
    }
    // "Polar bear" does not also count as "bear".
    let inside = |one: &(usize, usize, &str), other: &(usize, usize, &str)| {
        other.1 > one.1 && (other.0..other.0 + other.1).contains(&one.0)
    };
    let mut own: Vec<(usize, usize, &str)> = found
        .iter()
        .filter(|one| !found.iter().any(|other| inside(one, other)))
        .copied()
        .collect();
    own.sort();
    own.dedup_by_key(|(at, ..)| *at);
    let from = own.len().saturating_sub(THINGS);
    own[from..]
        .iter()
        .map(|(.., label)| label.to_string())
        .collect()
}

/// Splits a text into lower-case words. Punctuation and a final "'s" are removed.
fn bare(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '\'');
    let words = words.map(|word| {
        word.trim_matches('\'')
            .trim_end_matches("'s")
            .to_lowercase()
    });
    words.filter(|word| !word.is_empty()).collect()
}

fn singular(word: &str) -> String {
    let stem = match word {
        word if word.len() > 4 && word.ends_with("ies") => {
            return format!("{}y", &word[..word.len() - 3]);
        }
        word if word.len() > 3 && word.ends_with('s') && !word.ends_with("ss") => {
            &word[..word.len() - 1]
        }
        word => word,
    };
    stem.to_string()
}

/// Returns the first line of the text model's answer, without the quotes and the punctuation around
/// that line.
fn tidy(line: &str) -> String {
    let line = line.trim().lines().next().unwrap_or_default();
    let line = line.trim_matches(|c: char| c.is_whitespace() || "\"'“”*_.:;,".contains(c));
    excerpt(line, 200)
}

fn last_sentence(text: &str) -> String {
    let text = text.trim();
    let ends = sentence_ends(text);
    let from = ends.len().checked_sub(2).map_or(0, |at| ends[at]);
    excerpt(text[from..].trim(), 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_things_that_a_passage_names_are_its_keywords() {
        let labels: Vec<String> = [
            "bear",
            "polar bear",
            "castle",
            "cherry",
            "ship",
            "moon",
            "ax",
        ]
        .map(String::from)
        .to_vec();
        let found = |text| keywords(text, &labels).join(", ");
        assert_eq!(
            found("The polar bear looked at two ships."),
            "polar bear, ship"
        );
        assert_eq!(
            found("Cherries, a castle, a ship; the moon!"),
            "castle, ship, moon"
        );
        assert_eq!(found("Shipping and mooning about, with an ax."), "");
        assert_eq!(found(""), "");
    }

    #[test]
    fn a_models_line_is_tidied() {
        assert_eq!(tidy("  \"A ship at sea.\"\nScene: more"), "A ship at sea");
        assert_eq!(tidy(""), "");
        assert_eq!(
            last_sentence("It rained. The ship came in."),
            "The ship came in."
        );
        assert_eq!(last_sentence("One"), "One");
    }
}

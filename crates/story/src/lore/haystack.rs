//! The text to be searched for the keys of lore entries.

/// A text that is searched for keys, with copies in which accents are stored uniformly.
pub(super) struct Haystack {
    pub text: String,
    /// The text with composed accents; None if it equals `text`.
    pub composed: Option<String>,
    /// The text after folding by [`base::search::folded_letters`].
    pub folded: String,
}

impl Haystack {
    /// The maximum number of bytes that are searched. Only the end of a longer text is searched.
    pub const LONGEST: usize = 256 << 10;

    pub fn new(text: &str) -> Haystack {
        let from = text.len().saturating_sub(Haystack::LONGEST);
        let from = (from..=text.len()).find(|at| text.is_char_boundary(*at));
        let text = &text[from.unwrap_or(0)..];
        let composed = base::search::composed(text);
        Haystack {
            text: text.to_string(),
            composed: (composed != text).then(|| composed.into_owned()),
            folded: base::search::folded_letters(text),
        }
    }
}

//! The text to be searched for the keys of lore entries.

/// A text to search, with copies that store accents uniformly.
pub(super) struct Haystack {
    pub text: String,
    /// The text with composed accents, if that differs from `text`.
    pub composed: Option<String>,
    /// The text as folded by [`base::search::folded_letters`].
    pub folded: String,
}

impl Haystack {
    /// The maximum number of bytes to search; only the end of a longer text is searched.
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

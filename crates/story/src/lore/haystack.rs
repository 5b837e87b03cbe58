//! A text that is searched for the keys of lore entries.

/// A text to search, with copies in which accents are stored in one way.
pub(super) struct Haystack {
    pub text: String,
    /// The text with composed accents, if it differs.
    pub composed: Option<String>,
    /// The text as [`base::search::folded_letters`].
    pub folded: String,
}

impl Haystack {
    /// The maximum number of bytes to search, counted from the end.
    pub const LONGEST: usize = 256 << 10;

    pub fn new(text: &str) -> Haystack {
        let from = text.len().saturating_sub(Haystack::LONGEST);
        let from = (from..=text.len()).find(|at| text.is_char_boundary(*at));
        let text = &text[from.unwrap_or(0)..];
        let [composed, _] = base::search::spellings(text);
        Haystack {
            text: text.to_string(),
            composed: (composed != text).then_some(composed),
            folded: base::search::folded_letters(text),
        }
    }
}

//! Compares texts as a reader would, in every script. Case is ignored, and so is the difference
//! between an accented letter such as `é` stored as one character and the same letter stored as
//! two.
//!
//! This is Unicode's canonical caseless matching, except that case is folded by the standard
//! library's case mappings (to upper case, then to lower case) instead of Unicode's table. Both
//! ways of folding match the same words.

use icu_normalizer::properties::CanonicalCombiningClassMapBorrowed;
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use std::borrow::Cow;
use std::ops::Range;

const NFC: ComposingNormalizerBorrowed = ComposingNormalizerBorrowed::new_nfc();
const NFD: DecomposingNormalizerBorrowed = DecomposingNormalizerBorrowed::new_nfd();
const CLASSES: CanonicalCombiningClassMapBorrowed = CanonicalCombiningClassMapBorrowed::new();

/// Returns the folded form of a text. Two texts that count as the same have the same folded form.
pub fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let folded = NFD.normalize_iter(text.chars()).flat_map(fold);
    NFD.normalize_iter(folded).collect()
}

/// Like [`folded`], but stores an accented letter as one character, so that a search for the plain
/// letter does not find the accented letter.
pub fn folded_letters(text: &str) -> String {
    let folded = folded(text);
    match folded.is_ascii() {
        true => folded,
        false => NFC.normalize(&folded).into_owned(),
    }
}

/// Whether two texts are the same, ignoring case and how accents are stored.
pub fn same(one: &str, other: &str) -> bool {
    one == other || folded(one) == folded(other)
}

/// Whether `text` begins with `start`, ignoring case and how accents are stored.
pub fn begins(text: &str, start: &str) -> bool {
    folded(text).starts_with(&folded(start))
}

/// Stores every accented letter of a text as one character, if Unicode has such a character. The
/// text is borrowed if nothing changes.
pub fn composed(text: &str) -> Cow<'_, str> {
    NFC.normalize(text)
}

/// Returns two forms of a text: the first with all accented letters composed, and the second with
/// all accented letters decomposed.
pub fn spellings(text: &str) -> [String; 2] {
    [
        composed(text).into_owned(),
        NFD.normalize(text).into_owned(),
    ]
}

/// Whether a character combines with the character before it, as accents and viramas do.
pub fn combines(c: char) -> bool {
    !c.is_ascii() && CLASSES.get_u8(c) != 0
}

/// The words to search for, stored as folded characters.
pub struct Needle(Vec<char>);

impl Needle {
    pub fn new(words: &str) -> Needle {
        Needle(folded(words).chars().collect())
    }

    /// Whether there are no words to search for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the byte range of the first occurrence of the words in a text.
    pub fn find(&self, text: &str) -> Option<Range<usize>> {
        self.find_all(text).into_iter().next()
    }

    /// Returns the byte ranges of all occurrences of the words in a text, in order. Occurrences may
    /// overlap.
    pub fn find_all(&self, text: &str) -> Vec<Range<usize>> {
        let length = self.0.len();
        if length == 0 {
            return Vec::new();
        }
        let chars = Folded::new(text);
        let places = chars.folded.windows(length).enumerate();
        let found = places.filter(|(at, here)| {
            *here == self.0.as_slice() && chars.is_whole(*at) && chars.is_whole(at + length)
        });
        let range = |(at, _)| chars.starts[at]..chars.starts[at + length];
        found.map(range).collect()
    }
}

/// A text to be searched, stored as folded characters.
struct Folded {
    folded: Vec<char>,
    /// For each folded character, the original character's byte offset in the text. The last
    /// element is the length of the text.
    starts: Vec<usize>,
}

impl Folded {
    fn new(text: &str) -> Folded {
        let (mut chars, mut starts) = (Vec::new(), Vec::new());
        let mut from = 0;
        while let Some(segment) = first_segment(&text[from..]) {
            let before = chars.len();
            match segment.is_ascii() {
                true => chars.extend(segment.chars().map(|c| c.to_ascii_lowercase())),
                false => chars.extend(folded(segment).chars()),
            }
            starts.extend((before..chars.len()).map(|_| from));
            from += segment.len();
        }
        starts.push(text.len());
        Folded {
            folded: chars,
            starts,
        }
    }

    /// Whether a match may begin or end just before folded character `at`. It may not if that would
    /// split a character of the text.
    fn is_whole(&self, at: usize) -> bool {
        at == 0 || self.starts[at - 1] != self.starts[at]
    }
}

/// Returns the first character of a text, including the marks that combine with it.
fn first_segment(text: &str) -> Option<&str> {
    let mut chars = text.char_indices().skip(1);
    let next = chars.find(|(_, c)| !combines(*c));
    let end = next.map_or(text.len(), |(at, _)| at);
    (!text.is_empty()).then(|| &text[..end])
}

fn fold(c: char) -> impl Iterator<Item = char> {
    c.to_uppercase().flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn case_and_the_way_an_accent_is_stored_are_no_difference() {
        for (one, other) in [
            ("Éclair", "e\u{301}CLAIR"),
            ("STRASSE", "straße"),
            ("ΟΔΟΣ", "οδος"),
            ("ЁЛКА", "е\u{308}лка"),
            ("각", "\u{1100}\u{1161}\u{11a8}"),
            ("Ǆ", "ǆ"),
            ("ệ", "e\u{302}\u{323}"),
        ] {
            assert!(same(one, other), "{one} {other}");
        }
        assert!(!same("e", "é") && !same("か", "が"));
        assert!(begins("Ärger", "a\u{308}r") && begins("ünder", "ÜN"));
        assert!(!begins("Ärger", "äg"));
    }

    #[test]
    fn folded_letters_are_found_by_plain_search() {
        let finds = |words: &str, text: &str| folded_letters(text).contains(&folded_letters(words));
        assert!(finds("Señor", "el sen\u{303}or") && finds("GROSSE", "große"));
        assert!(finds("sen\u{303}or", "El SEÑOR"));
        // Neither a letter without its accent nor part of a syllable is found.
        assert!(!finds("sen", "el sen\u{303}or") && !finds("가", "각"));
    }

    #[test]
    fn words_are_found_where_they_stand() {
        let found = |words: &str, text: &str| Needle::new(words).find(text);
        assert_eq!(found("CAFÉ", "le cafe\u{301} noir"), Some(3..9));
        assert_eq!(found("strasse", "Die Straße."), Some(4..11));
        assert_eq!(found("ΣΟΦΟΣ", "ο σοφός"), None);
        assert_eq!(found("ΣΟΦΌΣ", "ο σοφός"), Some(3..13));
        // Part of a letter is not found: neither one without its accent nor half a ligature.
        assert_eq!(found("cafe", "le cafe\u{301} noir"), None);
        assert_eq!(found("s", "ß"), None);
        assert_eq!(found("", "x"), None);
        assert_eq!(Needle::new("aa").find_all("aaa"), [0..2, 1..3]);
    }

    proptest! {
        #[test]
        fn every_text_is_found_in_itself(before in any::<String>(), words in "\\PC{1,20}") {
            // A mark would combine with the space before it.
            let text = format!("{before} {words} .{before}");
            let wanted = format!(" {words} ");
            let ranges = Needle::new(&wanted).find_all(&text);
            prop_assert!(ranges.into_iter().any(|range| same(&text[range], &wanted)));
        }
    }
}

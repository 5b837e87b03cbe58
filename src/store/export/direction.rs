//! Determines the direction of a text, left to right or right to left, from its characters or its
//! language.

use super::ExportError;
use super::pages::ExportPassage;
use base::untrusted::clean_key;
use icu_locale::{Locale, LocaleCanonicalizer, LocaleDirectionality};
use icu_properties::{CodePointMapData, props::BidiClass};
use oxilangtag::LanguageTag;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    #[default]
    LeftToRight,
    RightToLeft,
}

impl Direction {
    /// The value of the HTML attribute `dir`.
    pub fn name(self) -> &'static str {
        match self {
            Direction::LeftToRight => "ltr",
            Direction::RightToLeft => "rtl",
        }
    }

    /// The direction of a character; None unless Unicode classifies it as strongly directional.
    fn of_char(c: char) -> Option<Direction> {
        match CodePointMapData::<BidiClass>::new().get(c) {
            BidiClass::LeftToRight => Some(Direction::LeftToRight),
            BidiClass::RightToLeft | BidiClass::ArabicLetter => Some(Direction::RightToLeft),
            _ => None,
        }
    }

    /// The direction of a paragraph, which is the direction of its first strong character.
    pub fn of_text(text: &str) -> Option<Direction> {
        text.chars().find_map(Direction::of_char)
    }

    /// The direction of the script in which a language is written; None if unknown.
    pub fn of_language(tag: &str) -> Option<Direction> {
        let tag = LanguageTag::parse(tag).ok()?;
        let script = tag.script().map(|script| format!("-{script}"));
        let region = tag.region().map(|region| format!("-{region}"));
        let plain = [
            tag.primary_language(),
            script.as_deref().unwrap_or_default(),
            region.as_deref().unwrap_or_default(),
        ];
        let mut locale = Locale::try_from_str(&plain.concat()).ok()?;
        // Three-letter codes and older codes name the same languages.
        LocaleCanonicalizer::new_extended().canonicalize(&mut locale);
        let language = locale.id;
        let scripts = LocaleDirectionality::new_extended();
        match (
            scripts.is_right_to_left(&language),
            scripts.is_left_to_right(&language),
        ) {
            (true, _) => Some(Direction::RightToLeft),
            (_, true) => Some(Direction::LeftToRight),
            _ => None,
        }
    }

    /// The direction that most letters of a story have.
    fn of_most(pieces: &[ExportPassage]) -> Direction {
        let texts = pieces.iter().flat_map(|piece| &piece.spans);
        let letters = texts.flat_map(|span| span.text.chars().filter_map(Direction::of_char));
        let (mut left, mut right) = (0usize, 0usize);
        for letter in letters {
            match letter {
                Direction::LeftToRight => left += 1,
                Direction::RightToLeft => right += 1,
            }
        }
        match right > left {
            true => Direction::RightToLeft,
            false => Direction::LeftToRight,
        }
    }

    /// The direction of a book in the given language. If the direction of the language is unknown,
    /// the text decides.
    pub fn of_book(language: &str, pieces: &[ExportPassage]) -> Direction {
        Direction::of_language(language).unwrap_or_else(|| Direction::of_most(pieces))
    }

    /// The `dir` attribute for an element that contains `text`. It is empty if the text has the
    /// same direction as the book (`self`), or no direction.
    pub fn attribute(self, text: &str) -> String {
        match Direction::of_text(text) {
            Some(own) if own != self => format!(" dir=\"{}\"", own.name()),
            _ => String::new(),
        }
    }

    /// The `dir` attribute for the whole book. It is empty for a left-to-right book, since reading
    /// programs assume this direction by default.
    pub fn of_root(self) -> &'static str {
        match self {
            Direction::LeftToRight => "",
            Direction::RightToLeft => " dir=\"rtl\"",
        }
    }
}

/// Converts a BCP 47 language tag to its canonical form. Returns an error if the tag is invalid.
pub fn language_tag(tag: &str) -> Result<String, ExportError> {
    let tag = tag.trim();
    let parsed = LanguageTag::parse_and_normalize(tag).ok();
    // Codes of five or more letters may be registered as languages, but none are.
    let parsed = parsed.filter(|parsed| {
        let begins = parsed.as_str().split('-').next().unwrap_or_default();
        matches!(begins, "x" | "i") || (2..=3).contains(&begins.len())
    });
    let parsed = parsed.map(|parsed| parsed.into_inner());
    parsed.ok_or_else(|| ExportError::Language(clean_key(tag)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{LeftToRight, RightToLeft};

    #[test]
    fn a_language_has_the_direction_of_its_script() {
        for tag in [
            "he",
            "iw",
            "heb",
            "ara",
            "ar",
            "ar-EG",
            "fa",
            "ur",
            "yi",
            "ps",
            "sd",
            "ug",
            "dv",
            "ckb",
            "syr",
            "nqo",
            "az-Arab",
            "ks-Arab",
            "ku-Arab",
            "pa-Arab-PK",
            "ff-Adlm",
            "he-Hebr-IL",
            "fa-IR",
        ] {
            assert_eq!(Direction::of_language(tag), Some(RightToLeft), "{tag}");
        }
        for tag in [
            "en",
            "de-AT",
            "ja",
            "zh-Hant-TW",
            "az",
            "ku",
            "pa",
            "ar-Latn",
            "ru",
            "hi",
            "th",
        ] {
            assert_eq!(Direction::of_language(tag), Some(LeftToRight), "{tag}");
        }
        for tag in ["", "und", "x-elvish"] {
            assert_eq!(Direction::of_language(tag), None, "{tag}");
        }
    }

    #[test]
    fn a_tag_is_checked_and_written_in_its_usual_case() {
        for (tag, canonical) in [
            ("EN-gb", "en-GB"),
            ("zh-hANT-tw", "zh-Hant-TW"),
            (" he ", "he"),
            ("X-Elvish", "x-elvish"),
            ("i-klingon", "i-klingon"),
            ("de-1996", "de-1996"),
        ] {
            assert_eq!(language_tag(tag).unwrap(), canonical);
        }
        for wrong in [
            "",
            " ",
            "english",
            "e",
            "en_GB",
            "en-",
            "deutsch",
            "he\u{202e}",
            "en--US",
            "a<b",
        ] {
            let said = language_tag(wrong).unwrap_err().to_string();
            assert!(said.contains("language tag"), "{wrong}: {said}");
        }
    }

    #[test]
    fn a_paragraph_has_the_direction_of_its_first_letter() {
        assert_eq!(Direction::of_text("3. «שלום» said"), Some(RightToLeft));
        assert_eq!(Direction::of_text("(سلام)"), Some(RightToLeft));
        assert_eq!(Direction::of_text("… 日本"), Some(LeftToRight));
        assert_eq!(Direction::of_text("1, 2 – 3"), None);
        assert_eq!(LeftToRight.attribute("שלום"), " dir=\"rtl\"");
        assert_eq!(RightToLeft.attribute("Hello"), " dir=\"ltr\"");
        assert_eq!(RightToLeft.attribute("שלום"), "");
    }
}

//! Detects the language of a text with the whatlang crate, which uses trigrams and writing systems.

pub use whatlang::Lang as Language;

use base::nearest::nearest;

/// Two-letter language codes (ISO 639-1), each with its three-letter code.
const SHORT: &[(&str, &str)] = &[
    ("ar", "ara"),
    ("bg", "bul"),
    ("bn", "ben"),
    ("ca", "cat"),
    ("cs", "ces"),
    ("da", "dan"),
    ("de", "deu"),
    ("el", "ell"),
    ("en", "eng"),
    ("eo", "epo"),
    ("es", "spa"),
    ("et", "est"),
    ("fa", "pes"),
    ("fi", "fin"),
    ("fr", "fra"),
    ("he", "heb"),
    ("hi", "hin"),
    ("hr", "hrv"),
    ("hu", "hun"),
    ("hy", "hye"),
    ("id", "ind"),
    ("it", "ita"),
    ("ja", "jpn"),
    ("ka", "kat"),
    ("ko", "kor"),
    ("la", "lat"),
    ("lt", "lit"),
    ("lv", "lav"),
    ("mk", "mkd"),
    ("nb", "nob"),
    ("nl", "nld"),
    ("no", "nob"),
    ("pl", "pol"),
    ("pt", "por"),
    ("ro", "ron"),
    ("ru", "rus"),
    ("sk", "slk"),
    ("sl", "slv"),
    ("sr", "srp"),
    ("sv", "swe"),
    ("ta", "tam"),
    ("th", "tha"),
    ("tr", "tur"),
    ("uk", "ukr"),
    ("ur", "urd"),
    ("vi", "vie"),
    ("zh", "cmn"),
];

/// Finds a language by its two-letter code, three-letter code or English name.
pub fn parse(word: &str) -> Result<Language, String> {
    let word = word.to_lowercase();
    let code = SHORT.iter().find(|(short, _)| *short == word);
    let code = code.map_or(word.as_str(), |(_, code)| code);
    let named = |lang: &&Language| lang.eng_name().to_lowercase() == word;
    let found = Language::from_code(code).or_else(|| Language::all().iter().find(named).copied());
    found.ok_or_else(|| {
        let names = Language::all().iter().map(|lang| lang.eng_name());
        match nearest(&word, names) {
            Some(near) => format!("Unknown language \"{word}\"; did you mean {near}?"),
            None => format!(
                "Unknown language \"{word}\"; write its code, for example en, or its English name"
            ),
        }
    })
}

/// Returns the most likely language of a text; None if it cannot be determined.
pub fn detect(text: &str) -> Option<Language> {
    whatlang::detect_lang(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_found_and_detected() {
        for (short, code) in SHORT {
            assert_eq!(parse(short), parse(code), "{short}");
            assert!(parse(short).is_ok(), "{short}");
        }
        assert_eq!(parse("German"), Ok(Language::Deu));
        assert!(parse("Germn").unwrap_err().contains("German"));
        let german = "Der Leuchtturmwärter hatte seit drei Tagen nicht mehr gesprochen.";
        assert_eq!(detect(german), Some(Language::Deu));
        assert_eq!(detect(""), None);
    }
}

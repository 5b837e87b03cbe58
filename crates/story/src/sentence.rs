//! Finds the ends of sentences, and formats excerpts and counts.

use base::search::Needle;

/// Abbreviations whose full stop does not end a sentence.
const ABBREVIATIONS: [&str; 18] = [
    "mr", "mrs", "ms", "dr", "st", "prof", "sr", "jr", "vs", "etc", "e.g", "i.e", "no", "col",
    "gen", "capt", "lt", "mt",
];

/// The characters other than the full stop that end a sentence: the ellipsis, and the characters of
/// modern scripts that have Unicode's Sentence_Terminal property.
const STOPS: &str = "!?…‼⁇⁈⁉‽。！？．｡։؟۔؞܀܁܂।॥။።፧፨។៕᠃᠉།༎߹᱾᱿᙮꓿꘎꘏꛳꛷꡶꡷꣎꣏꧈꧉꩝꩞꩟꫰꫱꯫";
/// The characters that end a sentence and need no space before the next sentence.
const UNSPACED: &str = "。！？．｡";
/// Closing quotation marks and brackets. They include the marks that close a quotation in German,
/// although the same marks open a quotation in other languages.
const CLOSING: &str = "\"'”’“‘»«›‹)]*_」』】》〉）］｣〞〟";

/// Whether a sentence ends between `before` and `after`. `after` is empty if the following text is
/// unknown.
pub fn sentence_ends_between(before: &str, after: &str) -> bool {
    let apart = match after.chars().next() {
        None => true,
        // A second stop or a closing quotation mark belongs to the same sentence.
        Some(c) if STOPS.contains(c) || closes_unspaced(c) => false,
        Some(c) => c.is_whitespace() || needs_no_space(before),
    };
    apart && ends_sentence(before)
}

/// Whether a character always ends a sentence, unlike the full stop.
pub fn is_stop(c: char) -> bool {
    STOPS.contains(c)
}

/// Whether a character ends a sentence and needs no space before the next sentence.
pub fn is_unspaced_stop(c: char) -> bool {
    UNSPACED.contains(c)
}

/// Whether Chinese and Japanese put no space between the characters `before` and `after`, even at
/// the end of a word or sentence.
pub fn are_unspaced(before: char, after: char) -> bool {
    let mark = |c: char| matches!(c, '\u{3000}'..='\u{303f}' | '\u{ff01}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}' | '\u{ff3b}'..='\u{ff40}' | '\u{ff5b}'..='\u{ff65}');
    let letter = |c: char| {
        matches!(c, '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9d}' | '\u{20000}'..='\u{3ffff}')
    };
    mark(before) || mark(after) || (letter(before) && letter(after))
}

/// Whether the text ends like a sentence: with a line break, or with a character that ends a
/// sentence, possibly followed by closing quotation marks or brackets.
pub fn ends_sentence(text: &str) -> bool {
    let text = text.trim_end_matches([' ', '\t']);
    if text.ends_with('\n') {
        return true;
    }
    let inner = text.trim_end_matches(|c| CLOSING.contains(c));
    match inner.chars().next_back() {
        Some('.') => !abbreviated(inner),
        last => last.is_some_and(is_stop),
    }
}

/// Whether another sentence may follow the text `before` without a space.
fn needs_no_space(before: &str) -> bool {
    let inner = before.trim_end_matches(closes_unspaced);
    inner.ends_with(is_unspaced_stop) || inner.len() < before.len()
}

/// Whether a character is a Chinese or Japanese closing quotation mark or bracket.
fn closes_unspaced(c: char) -> bool {
    "」』】》〉）］｣〞〟".contains(c)
}

/// Whether the text ends with an abbreviation, such as "Mr.", or with an initial, such as the "J."
/// of "J. Smith".
fn abbreviated(text: &str) -> bool {
    let before = text.trim_end_matches('.');
    let dots = text.len() - before.len();
    let word = before
        .rsplit(|c: char| c.is_whitespace() || "(\"“‘'".contains(c))
        .next()
        .unwrap_or_default();
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase) && word != "I";
    dots == 1 && (initial || ABBREVIATIONS.contains(&word.to_lowercase().as_str()))
}

/// Returns the byte offset of the end of each sentence. White space after a sentence counts as part
/// of the sentence.
pub fn sentence_ends(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    for (at, c) in text.char_indices().skip(1) {
        let before = &text[..at];
        let ends = match before.ends_with(char::is_whitespace) {
            true => !c.is_whitespace() && sentence_ends_between(before.trim_end(), " "),
            false => needs_no_space(before) && sentence_ends_between(before, &text[at..]),
        };
        // The space after a sentence belongs to it.
        if ends && !c.is_whitespace() {
            found.push(at);
        }
    }
    if !text.is_empty() {
        found.push(text.len());
    }
    found
}

/// Shortens a text for a list: one line of at most `longest` characters.
pub fn excerpt(text: &str, longest: usize) -> String {
    let line: String = base::untrusted::clean_line(text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    match line.char_indices().nth(longest) {
        Some((at, _)) => format!("{}…", line[..at].trim_end()),
        None => line,
    }
}

/// Like [`excerpt`], but starts a few words before the first occurrence of `wanted`. Returns None
/// if `wanted` does not occur.
pub fn excerpt_around(text: &str, wanted: &Needle, longest: usize) -> Option<String> {
    let at = match wanted.is_empty() {
        true => 0,
        false => wanted.find(text)?.start,
    };
    let from = text.floor_char_boundary(at.saturating_sub(30));
    let before = if from > 0 { "…" } else { "" };
    Some(format!("{before}{}", excerpt(&text[from..], longest)))
}

/// Formats a count with its noun: "1 passage", "3 entries".
pub fn count_noun(count: usize, one: &str) -> String {
    match (count, one.strip_suffix('y')) {
        (1, _) => format!("1 {one}"),
        (count, Some(stem)) => format!("{count} {stem}ies"),
        (count, None) => format!("{count} {one}s"),
    }
}

/// Formats a number of bytes with a unit, as in "1.5 MB".
pub fn format_bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..10_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        10_000_000..1_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_ends_a_sentence_where_words_follow_apart() {
        assert!(sentence_ends_between("It was late.", " He"));
        assert!(sentence_ends_between("\"Go!\"", "\n"));
        assert!(sentence_ends_between("晚了。", "他"));
        assert!(!sentence_ends_between("It was 3.", "14"));
        assert!(!sentence_ends_between("It was late.", "\""));
        assert!(!sentence_ends_between("He met Mr.", " Fox"));
        assert!(!sentence_ends_between("He met J.", " Fox"));
        assert!(sentence_ends_between("It was I.", " He"));
        assert!(!sentence_ends_between("and so", " on"));
        assert!(sentence_ends_between("Wait...", " what"));
    }

    #[test]
    fn every_script_ends_its_sentences() {
        for (before, after) in [
            ("बारिश हुई।", " वह"),
            ("هل جاء؟", " نعم"),
            ("بارش ہوئی۔", " وہ"),
            ("«Он ушёл!»", " Она"),
            ("„Er kam.“", " Sie"),
            ("Եկավ։", " Նա"),
            ("သူလာသည်။", " သူ"),
            ("រដូវ។", " ភ្លៀង"),
            ("「行こう。」", "彼は"),
            ("来吗？", "他"),
            ("ｱﾒ｡", "ｿﾗ"),
        ] {
            assert!(sentence_ends_between(before, after), "{before}{after}");
        }
        for (before, after) in [
            ("「行こう。", "」彼は"),
            ("来吗？", "！"),
            ("「海」", "を見た。"),
            ("हुई", " वह"),
        ] {
            assert!(!sentence_ends_between(before, after), "{before}{after}");
        }
    }

    #[test]
    fn chinese_and_japanese_are_joined_without_a_space() {
        for (before, after) in [
            ('。', '彼'),
            ('海', 'を'),
            ('」', 'T'),
            ('雨', '「'),
            ('ｱ', 'ﾒ'),
        ] {
            assert!(are_unspaced(before, after), "{before}{after}");
        }
        for (before, after) in [
            ('.', '彼'),
            ('다', '그'),
            ('.', 'T'),
            ('ก', 'ข'),
            ('a', '海'),
        ] {
            assert!(!are_unspaced(before, after), "{before}{after}");
        }
    }

    #[test]
    fn sentences_without_spaces_between_them_are_several() {
        let parts = |text: &str| {
            let ends = sentence_ends(text);
            let starts = std::iter::once(0).chain(ends.clone());
            let parts = starts.zip(ends).map(|(a, b)| text[a..b].to_string());
            parts.collect::<Vec<String>>()
        };
        assert_eq!(
            parts("雨だ。「行こう！」彼は言った。 空を見た"),
            ["雨だ。", "「行こう！」", "彼は言った。 ", "空を見た"]
        );
        assert_eq!(parts("वह आया। वह गया।"), ["वह आया। ", "वह गया।"]);
    }

    #[test]
    fn sentences_of_a_text() {
        let text = "Late. \"Go!\" he said. Mr. Fox went";
        let ends = sentence_ends(text);
        let parts: Vec<&str> = [0]
            .iter()
            .chain(&ends)
            .zip(&ends)
            .map(|(a, b)| &text[*a..*b])
            .collect();
        assert_eq!(parts, ["Late. ", "\"Go!\" ", "he said. ", "Mr. Fox went"]);
        assert!(sentence_ends("").is_empty());
    }

    #[test]
    fn an_excerpt_is_one_short_line() {
        assert_eq!(excerpt("One\n\n two  three", 20), "One two three");
        assert_eq!(excerpt("One two three", 4), "One…");
    }

    #[test]
    fn one_thing_and_several() {
        assert_eq!(count_noun(1, "entry"), "1 entry");
        assert_eq!(count_noun(0, "entry"), "0 entries");
        assert_eq!(count_noun(2, "passage"), "2 passages");
    }

    #[test]
    fn a_hit_is_shown_with_what_stands_before_it() {
        let text = "It was the winter in which the river froze, and Mara walked home.";
        let mara = Needle::new("MARA");
        assert_eq!(
            excerpt_around(text, &mara, 80).unwrap(),
            "…in which the river froze, and Mara walked home."
        );
        assert_eq!(excerpt_around("Mara went", &mara, 80).unwrap(), "Mara went");
        assert_eq!(excerpt_around(text, &Needle::new("tobias"), 80), None);
        // In lower case, İ takes more bytes.
        let odd = format!("{}x", "İ".repeat(60));
        let found = excerpt_around(&odd, &Needle::new("X"), 99);
        assert_eq!(found.unwrap(), format!("…{}x", "İ".repeat(15)));
    }
}

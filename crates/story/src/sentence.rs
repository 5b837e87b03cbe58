//! Finds the ends of sentences and words.

/// Abbreviations whose full stop does not end a sentence.
const ABBREVIATIONS: [&str; 18] = [
    "mr", "mrs", "ms", "dr", "st", "prof", "sr", "jr", "vs", "etc", "e.g", "i.e", "no", "col",
    "gen", "capt", "lt", "mt",
];

/// Whether a sentence ends between `before` and `after`. `after` is empty if it is not known.
pub fn sentence_ends_between(before: &str, after: &str) -> bool {
    let begins = after.chars().next();
    let apart = begins.is_none_or(|c| c.is_whitespace() || cjk_end(before));
    apart && ends_sentence(before)
}

/// Whether the text ends like a sentence: with a stop, and possibly closing quotes or brackets.
pub fn ends_sentence(text: &str) -> bool {
    let closing = |c: char| "\"'”’»)]*_」』".contains(c);
    let text = text.trim_end_matches([' ', '\t']);
    if text.ends_with('\n') {
        return true;
    }
    let inner = text.trim_end_matches(closing);
    match inner.chars().next_back() {
        Some('!' | '?' | '…' | '。' | '！' | '？') => true,
        Some('.') => !abbreviated(inner),
        _ => false,
    }
}

fn cjk_end(text: &str) -> bool {
    text.ends_with(['。', '！', '？', '」', '』'])
}

/// Whether the text ends with an abbreviation: "Mr.", or the "J." of "J. Smith".
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

/// The end of each sentence in bytes, including the space after it.
pub fn sentence_ends(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut after_space = false;
    for (at, c) in text.char_indices() {
        if !c.is_whitespace() && after_space && sentence_ends_between(text[..at].trim_end(), " ") {
            found.push(at);
        }
        after_space = c.is_whitespace() || (after_space && at == 0) || cjk_end(&text[..at]);
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

/// The first occurrence of `wanted` (in lower case) with a few words before it, shortened like
/// [`excerpt`].
pub fn excerpt_around(text: &str, wanted: &str, longest: usize) -> Option<String> {
    let at = text.to_lowercase().find(wanted)?;
    // Lower case can differ in length, so the position is approximate.
    let near = at.saturating_sub(30).min(text.len());
    let from = text.floor_char_boundary(near);
    let before = if from > 0 { "…" } else { "" };
    Some(format!("{before}{}", excerpt(&text[from..], longest)))
}

/// A number with a noun: "1 passage", "3 entries".
pub fn count_noun(count: usize, one: &str) -> String {
    match (count, one.strip_suffix('y')) {
        (1, _) => format!("1 {one}"),
        (count, Some(stem)) => format!("{count} {stem}ies"),
        (count, None) => format!("{count} {one}s"),
    }
}

/// Formats a number of bytes with two or three digits and a unit.
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
        assert_eq!(
            excerpt_around(text, "mara", 80).unwrap(),
            "…in which the river froze, and Mara walked home."
        );
        assert_eq!(
            excerpt_around("Mara went", "mara", 80).unwrap(),
            "Mara went"
        );
        assert_eq!(excerpt_around(text, "tobias", 80), None);
        // İ gets longer in lower case.
        let odd = format!("{}x", "İ".repeat(60));
        assert!(excerpt_around(&odd, "x", 10).is_some());
    }
}

//! Where sentences and words end, as far as writing on needs to know.

/// Words whose full stop ends no sentence.
const SHORT: [&str; 18] = [
    "mr", "mrs", "ms", "dr", "st", "prof", "sr", "jr", "vs", "etc", "e.g", "i.e", "no", "col",
    "gen", "capt", "lt", "mt",
];

/// Whether a sentence ends where `before` ends and `after` goes on. `after` is empty where nothing
/// is known of it.
pub fn ends_between(before: &str, after: &str) -> bool {
    let begins = after.chars().next();
    let apart = begins.is_none_or(|c| c.is_whitespace() || cjk_end(before));
    apart && ends(before)
}

/// Whether the text ends as a sentence does: a stop, and quotes or brackets that close after it.
pub fn ends(text: &str) -> bool {
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

/// "Mr." and the "J." of "J. Smith" end no sentence.
fn abbreviated(text: &str) -> bool {
    let before = text.trim_end_matches('.');
    let dots = text.len() - before.len();
    let word = before
        .rsplit(|c: char| c.is_whitespace() || "(\"“‘'".contains(c))
        .next()
        .unwrap_or_default();
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase) && word != "I";
    dots == 1 && (initial || SHORT.contains(&word.to_lowercase().as_str()))
}

/// Where each sentence of a text ends, in bytes, the space after it included.
pub fn sentence_ends(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut after_space = false;
    for (at, c) in text.char_indices() {
        if !c.is_whitespace() && after_space && ends_between(text[..at].trim_end(), " ") {
            found.push(at);
        }
        after_space = c.is_whitespace() || (after_space && at == 0) || cjk_end(&text[..at]);
    }
    if !text.is_empty() {
        found.push(text.len());
    }
    found
}

/// A text made short enough for a list: one line, so many characters.
pub fn excerpt(text: &str, longest: usize) -> String {
    let line: String = super::untrusted::clean_line(text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    match line.char_indices().nth(longest) {
        Some((at, _)) => format!("{}…", line[..at].trim_end()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_ends_a_sentence_where_words_follow_apart() {
        assert!(ends_between("It was late.", " He"));
        assert!(ends_between("\"Go!\"", "\n"));
        assert!(ends_between("晚了。", "他"));
        assert!(!ends_between("It was 3.", "14"));
        assert!(!ends_between("It was late.", "\""));
        assert!(!ends_between("He met Mr.", " Fox"));
        assert!(!ends_between("He met J.", " Fox"));
        assert!(ends_between("It was I.", " He"));
        assert!(!ends_between("and so", " on"));
        assert!(ends_between("Wait...", " what"));
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
}

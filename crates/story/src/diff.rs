//! Compares two texts word by word.

use similar::{ChangeTag, TextDiff};

/// A piece of text that occurs only in the left text, only in the right text, or in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiffSpan {
    Both(String),
    Left(String),
    Right(String),
}

/// Compares two texts by words.
pub fn diff_words(left: &str, right: &str) -> Vec<DiffSpan> {
    let diff = TextDiff::configure()
        .timeout(std::time::Duration::from_secs(1))
        .diff_unicode_words(left, right);
    let mut found: Vec<DiffSpan> = Vec::new();
    for change in diff.iter_all_changes() {
        let text = change.value();
        match (change.tag(), found.last_mut()) {
            (ChangeTag::Equal, Some(DiffSpan::Both(last)))
            | (ChangeTag::Delete, Some(DiffSpan::Left(last)))
            | (ChangeTag::Insert, Some(DiffSpan::Right(last))) => last.push_str(text),
            (ChangeTag::Equal, _) => found.push(DiffSpan::Both(text.to_string())),
            (ChangeTag::Delete, _) => found.push(DiffSpan::Left(text.to_string())),
            (ChangeTag::Insert, _) => found.push(DiffSpan::Right(text.to_string())),
        }
    }
    found
}

/// Formats a comparison as one text, in which the words that differ are marked: `[-only
/// left-]{+only right+}`.
pub fn format_marked(stretches: &[DiffSpan]) -> String {
    let mark = |stretch: &DiffSpan| match stretch {
        DiffSpan::Both(text) => text.clone(),
        DiffSpan::Left(text) => format!("[-{text}-]"),
        DiffSpan::Right(text) => format!("{{+{text}+}}"),
    };
    stretches.iter().map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_differ_are_marked() {
        let found = diff_words("The red lamp stood.", "The blue lamp fell.");
        assert_eq!(
            format_marked(&found),
            "The [-red-]{+blue+} lamp [-stood-]{+fell+}."
        );
        let left: String = found
            .iter()
            .filter_map(|s| match s {
                DiffSpan::Both(t) | DiffSpan::Left(t) => Some(t.as_str()),
                DiffSpan::Right(_) => None,
            })
            .collect();
        assert_eq!(left, "The red lamp stood.");
    }
}

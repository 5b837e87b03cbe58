//! Two texts word by word: what only the one has, what only the other, and what both.

use similar::{ChangeTag, TextDiff};

/// A stretch of words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stretch {
    Both(String),
    Left(String),
    Right(String),
}

/// Compares two texts by words.
pub fn words(left: &str, right: &str) -> Vec<Stretch> {
    let diff = TextDiff::configure()
        .timeout(std::time::Duration::from_secs(1))
        .diff_unicode_words(left, right);
    let mut found: Vec<Stretch> = Vec::new();
    for change in diff.iter_all_changes() {
        let text = change.value();
        match (change.tag(), found.last_mut()) {
            (ChangeTag::Equal, Some(Stretch::Both(last)))
            | (ChangeTag::Delete, Some(Stretch::Left(last)))
            | (ChangeTag::Insert, Some(Stretch::Right(last))) => last.push_str(text),
            (ChangeTag::Equal, _) => found.push(Stretch::Both(text.to_string())),
            (ChangeTag::Delete, _) => found.push(Stretch::Left(text.to_string())),
            (ChangeTag::Insert, _) => found.push(Stretch::Right(text.to_string())),
        }
    }
    found
}

/// One text with marks: `[-only left-]{+only right+}`.
pub fn marked(stretches: &[Stretch]) -> String {
    let mark = |stretch: &Stretch| match stretch {
        Stretch::Both(text) => text.clone(),
        Stretch::Left(text) => format!("[-{text}-]"),
        Stretch::Right(text) => format!("{{+{text}+}}"),
    };
    stretches.iter().map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_differ_are_marked() {
        let found = words("The red lamp stood.", "The blue lamp fell.");
        assert_eq!(
            marked(&found),
            "The [-red-]{+blue+} lamp [-stood-]{+fell+}."
        );
        let left: String = found
            .iter()
            .filter_map(|s| match s {
                Stretch::Both(t) | Stretch::Left(t) => Some(t.as_str()),
                Stretch::Right(_) => None,
            })
            .collect();
        assert_eq!(left, "The red lamp stood.");
    }
}

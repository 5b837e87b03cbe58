//! Quotes the words of a command line.

/// Quotes a word for a POSIX shell, if necessary.
pub(super) fn shell_quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(shell_quoted("a.illum"), "a.illum");
        assert_eq!(shell_quoted("it's here"), "'it'\\''s here'");
        assert_eq!(shell_quoted(""), "''");
    }
}

//! Converts JavaScript's regular expressions to patterns for the crate `fancy_regex`.

use fancy_regex::Regex;

/// Returns a pattern that matches the same texts as the JavaScript pattern.
pub(super) fn translate(pattern: &str) -> Result<String, String> {
    let mut translated = String::new();
    let mut chars = pattern.chars().peekable();
    let mut class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => translated += &escape(chars.next(), class),
            '[' if !class => {
                class = true;
                translated.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    translated.push('^');
                }
                // In JavaScript, an empty class matches nothing.
                if chars.peek() == Some(&']') {
                    return Err("an empty class of characters".to_string());
                }
            }
            // These have a meaning in a class here, but not in JavaScript.
            '[' | '&' | '~' if class => {
                translated.push('\\');
                translated.push(c);
            }
            ']' if class => {
                class = false;
                translated.push(']');
            }
            other => translated.push(other),
        }
    }
    match Regex::new(&translated) {
        Ok(_) => Ok(translated),
        Err(error) => Err(error.to_string()),
    }
}

/// Translates an escape sequence. `c` is the character after the backslash, and `class` says
/// whether the sequence is within brackets. In JavaScript, `\d` and `\w` match only ASCII
/// characters; in `fancy_regex`, they also match other characters.
fn escape(c: Option<char>, class: bool) -> String {
    let text = match (c, class) {
        (Some('d'), true) => "0-9",
        (Some('w'), true) => "0-9A-Za-z_",
        (Some('d'), false) => "[0-9]",
        (Some('w'), false) => "[0-9A-Za-z_]",
        (Some('D'), _) => "[^0-9]",
        (Some('W'), _) => "[^0-9A-Za-z_]",
        // Outside the brackets, a slash needs no escape.
        (Some('/'), _) => "/",
        (Some(other), _) => return format!("\\{other}"),
        (None, _) => "\\",
    };
    text.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_translated() {
        for (theirs, ours) in [
            (r"^\d{3}-\w+$", "^[0-9]{3}-[0-9A-Za-z_]+$"),
            (r"[\d[&]", r"[0-9\[\&]"),
            (r"a\/b", "a/b"),
            (r"(?<year>\u0031)", r"(?<year>\u0031)"),
        ] {
            assert_eq!(translate(theirs).unwrap(), ours);
        }
        assert!(translate("(open").is_err() && translate("[]").is_err());
    }
}

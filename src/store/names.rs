//! Checks that session names are valid folder names on every system, and makes session names from
//! the names of imported files.

use super::StoreError;
use base::search::composed;
use unicode_segmentation::UnicodeSegmentation;

/// The maximum number of characters (graphemes) in a session name.
const LONGEST: usize = 100;
/// The maximum number of bytes in a session name. File systems allow 255.
const LONGEST_BYTES: usize = 200;
/// The maximum number of bytes in a session name derived from a file name.
const MADE_BYTES: usize = 100;

/// Checks that a name is a valid folder name and cannot escape the sessions folder.
pub(super) fn check_name(name: &str) -> Result<&str, StoreError> {
    let first = name.chars().next().is_some_and(char::is_alphanumeric);
    let long = name.len() > LONGEST_BYTES || name.graphemes(true).count() > LONGEST;
    if first
        && base::untrusted::is_visible(name)
        && !long
        && name.graphemes(true).all(is_plain)
        && !name.ends_with([' ', '.'])
    {
        Ok(name)
    } else {
        let short: String = name.chars().take(40).collect();
        Err(StoreError::Name(base::untrusted::clean_line(&short)))
    }
}

/// Checks the name of a new session. The name must also be a valid folder name on other systems,
/// since folders may be synchronized between systems.
pub(super) fn check_new_name(name: &str) -> Result<String, StoreError> {
    match is_reserved(check_name(name)?) {
        true => Err(StoreError::Reserved(name.to_string())),
        // Keyboards and programs store accents differently, but a reader sees the same name.
        false => Ok(composed(name).into_owned()),
    }
}

/// Whether a grapheme is allowed in a session name: a letter or digit with any marks, or a space,
/// dot, hyphen or underscore.
fn is_plain(grapheme: &str) -> bool {
    let first = grapheme.chars().next();
    first.is_some_and(|c| c.is_alphanumeric() || " .-_".contains(c))
}

/// Whether Windows reserves this name for a device. For example, both `con` and `con.txt` are
/// reserved.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    let stem = stem.to_ascii_lowercase();
    let numbered = |device: &str| {
        let number = stem.strip_prefix(device);
        number.is_some_and(|it| it.len() == 1 && it.as_bytes()[0].is_ascii_digit())
    };
    ["con", "prn", "aux", "nul"].contains(&stem.as_str()) || numbered("com") || numbered("lpt")
}

/// Makes a valid session name from any text, such as the name of a file. Returns None if no part of
/// the text can be used.
pub fn made_from(text: &str) -> Option<String> {
    let text = composed(text);
    let plain: String = text
        .graphemes(true)
        .map(|it| if is_plain(it) { it } else { "-" })
        .collect();
    let ends = |it: &&str| it.chars().next().is_some_and(char::is_alphanumeric);
    let graphemes: Vec<&str> = plain.graphemes(true).collect();
    let first = graphemes.iter().position(ends)?;
    let kept = cut(&graphemes[first..].concat(), MADE_BYTES);
    Some(match is_reserved(&kept) {
        true => format!("story-{kept}"),
        false => kept,
    })
    .filter(|name| check_name(name).is_ok())
}

/// A session name as one word of a shell command, with quotation marks if the name contains a
/// space.
pub fn shell_word(name: &str) -> String {
    match name.contains(' ') {
        true => format!("\"{name}\""),
        false => name.to_string(),
    }
}

/// Appends a number to a session name, for example `NAME-2`. Shortens the name if necessary.
pub(super) fn numbered(name: &str, number: usize) -> String {
    let ending = format!("-{number}");
    let room = LONGEST_BYTES - ending.len();
    let letters: String = name.graphemes(true).take(LONGEST - ending.len()).collect();
    cut(&letters, room) + &ending
}

/// The beginning of a text, limited to `bytes` bytes. It contains only whole graphemes and ends
/// with a letter or digit.
fn cut(text: &str, bytes: usize) -> String {
    let mut kept = String::new();
    for grapheme in text.graphemes(true) {
        if kept.len() + grapheme.len() > bytes {
            break;
        }
        kept.push_str(grapheme);
    }
    kept.truncate(kept.trim_end_matches([' ', '.', '-', '_']).len());
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lead_out_of_the_folder() {
        for name in [
            "",
            "..",
            "../x",
            "a/b",
            ".hidden",
            "a\u{1b}[2J",
            "a\u{202e}b",
            "\u{301}a",
            "x.",
            "/etc",
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["story-1", "The lamp", "日記", "v1.2_b", "con"] {
            assert_eq!(check_name(name).ok(), Some(name));
        }
    }

    #[test]
    fn names_have_the_marks_of_their_language() {
        for name in ["कहानी", "हिन्दी", "เรื่องสั้น", "Cafe\u{301}", "Tiếng Việt"]
        {
            assert!(check_name(name).is_ok(), "{name:?}");
            assert_eq!(
                made_from(name),
                Some(composed(name).into_owned()),
                "{name:?}"
            );
        }
    }

    #[test]
    fn what_is_imported_gets_a_name_that_opens() {
        for (from, name) in [
            ("Tom & Jerry (v2) [final]", "Tom - Jerry -v2- -final"),
            ("-_- dash", "dash"),
            ("con", "story-con"),
            ("LPT1.old", "story-LPT1.old"),
            ("2026", "2026"),
        ] {
            assert_eq!(made_from(from).as_deref(), Some(name));
            assert!(check_new_name(name).is_ok(), "{name}");
        }
        for nothing in ["", "...", "🐉🐉", "\u{301}", "- -"] {
            assert_eq!(made_from(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn a_long_name_ends_with_a_whole_letter() {
        for text in [
            "a".repeat(400),
            "न्दी".repeat(90),
            "e\u{327}\u{301}".repeat(120),
        ] {
            let name = made_from(&text).unwrap();
            assert!(name.len() <= MADE_BYTES, "{name}");
            assert!(composed(&text).starts_with(&name));
            let numbered = numbered(&name, 12);
            assert!(check_name(&numbered).is_ok() && numbered.ends_with("-12"));
        }
        assert!(check_name(&numbered(&"न".repeat(66), 2)).is_ok());
        assert!(check_name(&"a".repeat(101)).is_err());
    }
}

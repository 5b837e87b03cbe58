//! Makes text from models, files and pasted input safe to show.
//!
//! A terminal obeys escape sequences wherever they come from (CWE-150), so control characters are
//! replaced where text enters the program. Each character is replaced independently, so cleaning a
//! stream piece by piece has the same result as cleaning the whole. Token ids are not cleaned, so
//! they still show what the model read and generated.

use std::borrow::Cow;

/// Replaces every character that a terminal might obey, and leaves every visible character
/// unchanged.
///
/// Newlines and tabs are not changed. Carriage returns are removed (`\r\n` becomes `\n`). The other
/// C0 controls and DEL become their Unicode control pictures (ESC is shown as `␛`). C1 controls and
/// bidirectional overrides, which make text look like different text, become U+FFFD. Line and
/// paragraph separators become newlines.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_safe) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().filter_map(replacement).collect())
}

/// Like [`clean`], but also replaces newlines and tabs with spaces, for a name or a message that
/// must stay on one line.
pub fn clean_line(text: &str) -> String {
    clean(text)
        .chars()
        .map(|c| if c == '\n' || c == '\t' { ' ' } else { c })
        .collect()
}

/// Returns the first 80 characters of a string from a file, cleaned for a one-line error message.
pub fn clean_key(key: &str) -> String {
    let short: String = key.chars().take(80).collect();
    clean_line(&short)
}

/// Whether a text has a visible character. White space and control characters are not visible.
/// Neither are characters that only affect how other characters are shown (Unicode's default
/// ignorables), nor U+FFFD, which [`clean`] writes in place of some characters.
pub fn is_visible(text: &str) -> bool {
    let unseen = |c: char| {
        matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{2800}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fffd}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
    };
    let seen = |c: char| !c.is_whitespace() && !c.is_control() && !unseen(c);
    text.chars().any(seen)
}

fn is_safe(c: char) -> bool {
    replacement(c) == Some(c)
}

fn replacement(c: char) -> Option<char> {
    match c {
        '\n' | '\t' => Some(c),
        '\r' => None,
        '\0'..='\u{1f}' => char::from_u32(0x2400 + c as u32),
        '\u{7f}' => Some('\u{2421}'),
        '\u{80}'..='\u{9f}' => Some('\u{fffd}'),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Some('\u{fffd}'),
        '\u{2028}' | '\u{2029}' => Some('\n'),
        _ => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_escape_sequence_is_shown_and_not_obeyed() {
        assert_eq!(clean("\u{1b}[2Jgone\u{7}"), "␛[2Jgone␇");
        assert_eq!(clean("\u{9b}31m"), "\u{fffd}31m");
    }

    #[test]
    fn what_a_writer_types_is_left_alone() {
        let text = "naïve — “quoted”\n\tταυ 日本語 👩‍🚀";
        assert!(matches!(clean(text), Cow::Borrowed(_)));
    }

    #[test]
    fn what_nobody_sees_is_no_text() {
        for unseen in [
            "",
            " \t",
            "\u{200b}\u{2060}",
            "\u{3164}",
            "\u{e0041}",
            "\u{fe0f}\u{202e}",
        ] {
            assert!(
                !is_visible(unseen) && !is_visible(&clean(unseen)),
                "{unseen:?}"
            );
        }
        assert!(is_visible("\u{200b}a") && is_visible("字") && is_visible("-"));
    }

    #[test]
    fn windows_line_ends_become_plain_ones() {
        assert_eq!(clean("a\r\nb\u{2028}c"), "a\nb\nc");
    }

    #[test]
    fn a_right_to_left_override_cannot_hide_text() {
        assert_eq!(clean("safe\u{202e}exe.txt"), "safe\u{fffd}exe.txt");
    }

    proptest! {
        #[test]
        fn nothing_a_terminal_obeys_survives(text in any::<String>()) {
            let cleaned = clean(&text).into_owned();
            let allowed = |c: char| !c.is_control() || c == '\n' || c == '\t';
            prop_assert!(cleaned.chars().all(allowed));
            prop_assert_eq!(clean(&cleaned).into_owned(), cleaned.clone());
        }

        #[test]
        fn a_stream_cleans_like_the_whole(text in any::<String>(), cut in 0usize..64) {
            let cut = text.char_indices().map(|(at, _)| at).nth(cut).unwrap_or(text.len());
            let (head, tail) = text.split_at(cut);
            prop_assert_eq!(format!("{}{}", clean(head), clean(tail)), clean(&text).into_owned());
        }
    }
}

//! Repairs JSON that contains only one half of a UTF-16 surrogate pair.
//!
//! Programs that cut a text in the middle of an emoji write the first escape, for example `\ud83e`,
//! without the second escape that completes the character. JavaScript and Python do so without an
//! error. UTF-8 cannot represent half a character, so each incomplete character is replaced with
//! U+FFFD.

use std::borrow::Cow;

const REPLACEMENT: &str = "\\ufffd";
/// The length in bytes of an escape such as `\u00e9`.
const LENGTH: usize = 6;

/// Replaces each unpaired surrogate escape with U+FFFD. Returns the JSON and the number of
/// replacements.
pub fn mend_halves(json: &str) -> (Cow<'_, str>, usize) {
    let mut mended = String::new();
    let (mut halves, mut copied, mut at) = (0, 0, 0);
    while let Some(found) = json[at..].find('\\') {
        let here = at + found;
        let first = escape_at(json, here);
        let second = escape_at(json, here + LENGTH);
        at = match (first, second) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => here + 2 * LENGTH,
            (Some(0xd800..=0xdfff), _) => {
                mended.push_str(&json[copied..here]);
                mended.push_str(REPLACEMENT);
                halves += 1;
                copied = here + LENGTH;
                copied
            }
            (Some(_), _) => here + LENGTH,
            // The character after a backslash is escaped, so it cannot start an escape.
            (None, _) => here + 1 + json[here + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    match halves {
        0 => (Cow::Borrowed(json), 0),
        _ => (Cow::Owned(mended + &json[copied..]), halves),
    }
}

/// The UTF-16 code unit of the escape `\uXXXX` at byte `at`; None if no escape starts there.
fn escape_at(json: &str, at: usize) -> Option<u16> {
    let digits = json.get(at..at + LENGTH)?.strip_prefix("\\u")?;
    let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u16::from_str_radix(digits, 16).ok().filter(|_| hex)
}

/// The notice that `halves` incomplete characters were replaced; None if `halves` is 0.
pub fn notice(halves: usize) -> Option<String> {
    let halves = (halves > 0).then(|| story::sentence::count_noun(halves, "character"))?;
    Some(format!("{halves} cut in half in the file became \u{fffd}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_is_replaced_and_all_else_stays() {
        let mended = |json: &str| {
            let (mended, halves) = mend_halves(json);
            let text = serde_json::from_str::<String>(&mended).unwrap();
            (text, halves)
        };
        for (json, text, halves) in [
            (r#""a\ud83d""#, "a\u{fffd}", 1),
            (r#""\udca1b""#, "\u{fffd}b", 1),
            (r#""\ud83d\ud83d\udca1""#, "\u{fffd}💡", 1),
            (r#""\uD83D\uDCA1\uDCA1 \u00e9""#, "💡\u{fffd} é", 1),
            (r#""\\ud83d \"\\\ud83d""#, "\\ud83d \"\\\u{fffd}", 1),
            (r#""\ud83d\n\udca1""#, "\u{fffd}\n\u{fffd}", 2),
            (r#""\n霧""#, "\n霧", 0),
        ] {
            assert_eq!(mended(json), (text.to_string(), halves), "{json}");
        }
        for torn in ["\"\\ud83", "\\", "\\霧", "\\u+123"] {
            assert_eq!(mend_halves(torn), (Cow::Borrowed(torn), 0));
        }
    }
}

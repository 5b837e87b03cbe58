//! Detects HTML in a text by the signs that promptfoo 0.123 looks for.

use fancy_regex::Regex;
use std::sync::LazyLock;

/// The patterns of the signs with the weight 1.
const SIGNS: [&str; 4] = [
    r"<[a-zA-Z][a-zA-Z0-9-]*(?:\s[^>]*)?/>",
    r"&(?:[a-zA-Z]+|#[0-9]+|#x[0-9a-fA-F]+);",
    r"<!--[^-]*(?:-[^-]+)*-->",
    r#"\s[a-zA-Z-]+=\s*["'][^"']*["']"#,
];
/// The patterns of the signs with the weight 2.
const STRONG: [&str; 2] = [
    r"(?i)<!DOCTYPE\s+html",
    r"(?i)<(html|head|body|div|span|p|a|img|h[1-6]|ul|ol|li|table|tr|td|th|form|input|button|script|style|link|meta|br|hr)(?![A-Za-z0-9_])",
];
const OPENING: &str = r"<[a-zA-Z][a-zA-Z0-9-]*(?:\s[^>]*)?>";
const CLOSING: &str = r"</[a-zA-Z][a-zA-Z0-9-]*\s*>";

/// All patterns, each with its weight.
static PATTERNS: LazyLock<Vec<(Regex, usize)>> = LazyLock::new(|| {
    let weak = SIGNS.iter().chain([&OPENING, &CLOSING]).map(|it| (*it, 1));
    let all = weak.chain(STRONG.iter().map(|it| (*it, 2)));
    all.filter_map(|(pattern, count)| Some((Regex::new(pattern).ok()?, count)))
        .collect()
});

/// Whether the weights of the signs that occur in the text add up to at least 2. A pattern that
/// takes too long to match is ignored.
pub fn contains_html(text: &str) -> bool {
    let found = PATTERNS
        .iter()
        .filter(|(pattern, _)| pattern.is_match(text).unwrap_or(false));
    found.map(|(_, count)| count).sum::<usize>() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sign_is_not_enough() {
        assert_eq!(PATTERNS.len(), SIGNS.len() + STRONG.len() + 2);
        for (text, expected) in [
            ("The <lamp> went out", false),
            ("The <lamp>went</lamp> out", true),
            ("salt &amp; sea", false),
            ("<lamp/>", false),
            ("<lamp />", true),
            ("<P>", true),
            ("a < b and c > d", false),
        ] {
            assert_eq!(contains_html(text), expected, "{text}");
        }
    }
}

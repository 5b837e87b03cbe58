//! Breaks lines where Unicode's algorithm (UAX #14) allows a break, and between the words of
//! scripts without spaces, but never inside a grapheme.
//!
//! The functions are pure: they take a text and a width, and return byte ranges. Graphemes have the
//! widths that ratatui uses, so text that fits according to this module also fits on the screen.

use super::words::breaks;
use std::ops::Range;
use unicode_linebreak::linebreaks;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// The width of a text in cells.
pub fn cells(text: &str) -> usize {
    text.graphemes(true).map(UnicodeWidthStr::width).sum()
}

/// The longest prefix of `text` that fits into `width` cells.
pub fn fitting_prefix(text: &str, width: usize) -> &str {
    let mut left = width;
    for (at, grapheme) in text.grapheme_indices(true) {
        match left.checked_sub(grapheme.width()) {
            Some(rest) => left = rest,
            None => return &text[..at],
        }
    }
    text
}

/// Shortens a text to at most `width` cells. The result ends in `…` if something was cut off.
pub fn shorten(text: &str, width: usize) -> String {
    if cells(text) <= width {
        return text.to_string();
    }
    format!(
        "{}{}",
        fitting_prefix(text, width.saturating_sub(1)),
        if width > 0 { "…" } else { "" }
    )
}

/// A position at which the current row may end.
struct RowBreak {
    /// The byte offset at which the row's text would end, before any spaces that hang past the end
    /// of the row.
    end: usize,
    /// The byte offset at which the next row would start.
    next: usize,
    /// The width in cells of the part of the row before `next`.
    column: usize,
}

/// The rows that are complete, and the state of the current row.
struct Rows {
    rows: Vec<Range<usize>>,
    start: usize,
    column: usize,
    /// The last position found so far at which the current row may end.
    chance: Option<RowBreak>,
}

/// Wraps one paragraph and returns the byte range of each row, without the spaces at the breaks.
/// Returns at least one row.
///
/// `text` contains no line breaks and no tabs. `from` is the byte offset at which a row starts;
/// only this row and later rows are computed.
pub fn wrap(text: &str, width: usize, from: usize) -> Vec<Range<usize>> {
    let mut rows = Rows {
        rows: Vec::new(),
        start: from,
        column: 0,
        chance: None,
    };
    let spaced = linebreaks(&text[from..]).map(|(at, _)| from + at);
    let mut opportunities: Vec<usize> = spaced.collect();
    let unspaced = breaks(text, from);
    if !unspaced.is_empty() {
        opportunities.extend(unspaced);
        opportunities.sort_unstable();
    }
    let mut opportunities = opportunities.into_iter().peekable();
    let mut before = "";
    for (at, grapheme) in text[from..].grapheme_indices(true) {
        let at = from + at;
        if is_space(grapheme) {
            rows.space(at, grapheme, is_space(before));
        } else {
            // Spaces are opportunities too: they hang, and the row ends before them.
            while opportunities.next_if(|next| *next < at).is_some() {}
            if at > rows.start && !is_space(before) && opportunities.peek() == Some(&at) {
                rows.chance = Some(rows.here(at));
            }
            rows.word(at, grapheme.width(), width);
        }
        before = grapheme;
    }
    let end = match rows.chance {
        Some(last) if last.next == text.len() && rows.column > width => last.end,
        _ => text.len(),
    };
    rows.rows.push(rows.start..end);
    rows.rows
}

impl Rows {
    /// Adds a space to the row. The row may end before the space, which then hangs past the end of
    /// the row.
    fn space(&mut self, at: usize, grapheme: &str, after_space: bool) {
        let end = match &self.chance {
            Some(open) if after_space && open.next == at => open.end,
            _ => at,
        };
        self.column += grapheme.width();
        self.chance = Some(RowBreak {
            end,
            ..self.here(at + grapheme.len())
        });
    }

    /// Adds a part of a word to the row. If the part does not fit, the row ends at the last
    /// position where it may break, or directly before the part if there is no such position.
    fn word(&mut self, at: usize, cells: usize, width: usize) {
        while self.column + cells > width && at > self.start {
            let chosen = self.chance.take().unwrap_or_else(|| self.here(at));
            self.rows.push(self.start..chosen.end);
            self.start = chosen.next;
            self.column -= chosen.column;
        }
        self.column += cells;
    }

    fn here(&self, at: usize) -> RowBreak {
        RowBreak {
            end: at,
            next: at,
            column: self.column,
        }
    }
}

fn is_space(grapheme: &str) -> bool {
    let hard = |c: char| matches!(c, '\u{a0}' | '\u{2007}' | '\u{202f}');
    !grapheme.is_empty() && grapheme.chars().all(|c| c.is_whitespace() && !hard(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(text: &str, width: usize) -> Vec<&str> {
        wrap(text, width, 0)
            .into_iter()
            .map(|row| &text[row])
            .collect()
    }

    #[test]
    fn words_break_on_spaces_which_hang() {
        assert_eq!(rows("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(rows("the  quick", 3), ["the", "qui", "ck"]);
        assert_eq!(rows("four   ", 4), ["four"]);
        assert_eq!(rows("", 4), [""]);
    }

    #[test]
    fn cjk_breaks_anywhere_but_before_a_closing_mark() {
        assert_eq!(
            rows("日本語の文章です。", 6),
            ["日本語", "の文章", "です。"]
        );
        assert_eq!(rows("日本語。", 6), ["日本", "語。"]);
        assert_eq!(rows("ab日本語", 5), ["ab日", "本語"]);
    }

    #[test]
    fn marks_that_close_never_begin_a_row() {
        for text in [
            "彼は「行こう！」と言った。",
            "你好，世界！（真的？）",
            "それは……ね。",
        ] {
            for width in 6..12 {
                for row in rows(text, width) {
                    let first = row.chars().next().unwrap_or('x');
                    assert!(!"。、！？」）…，".contains(first), "{row} at {width}");
                }
            }
        }
    }

    #[test]
    fn thai_breaks_between_words_and_never_inside_a_cluster() {
        assert_eq!(rows("ภาษาไทยสวยงาม", 8), ["ภาษาไทย", "สวยงาม"]);
        for width in 1..9 {
            for row in rows("น้ำท่วมที่นี่ ກ້ຽວ", width) {
                assert!(
                    !row.starts_with(['\u{e31}', '\u{e34}', '\u{e49}', '\u{ec9}']),
                    "{row}"
                );
            }
        }
    }

    #[test]
    fn an_emoji_made_of_several_is_one() {
        let crew = "👩‍🚀👨‍👩‍👧‍👦🇫🇷";
        assert_eq!(cells(crew), 6);
        assert_eq!(rows(crew, 4), ["👩‍🚀👨‍👩‍👧‍👦", "🇫🇷"]);
    }

    #[test]
    fn a_long_word_is_cut_and_a_hyphen_is_a_chance() {
        assert_eq!(rows("a lighthouse", 5), ["a", "light", "house"]);
        assert_eq!(rows("sea-green sea", 6), ["sea-", "green", "sea"]);
    }

    #[test]
    fn text_is_shortened_by_cells() {
        assert_eq!(shorten("日本語", 5), "日本…");
        assert_eq!(shorten("fits", 4), "fits");
        assert_eq!(shorten("x", 0), "");
    }

    fn stories() -> impl Strategy<Value = String> {
        let bits = prop::sample::select(vec![
            "a",
            "word",
            " ",
            "  ",
            "日本",
            "語",
            "。",
            "👩‍🚀",
            "é",
            "e\u{301}",
            "-",
            "—",
            "🇫🇷",
            "\u{a0}",
            "「",
            "❤️",
            "क्षि",
            "ภาษาไทย",
            "กำ",
            "ພາສາລາວ",
            "שלום",
            "\u{200b}",
        ]);
        prop::collection::vec(bits, 0..60).prop_map(|bits| bits.concat())
    }

    proptest! {
        #[test]
        fn no_row_is_too_wide_and_nothing_is_lost(text in stories(), width in 4usize..30) {
            let ranges = wrap(&text, width, 0);
            let mut from = 0;
            for row in &ranges {
                prop_assert!(cells(&text[row.clone()]) <= width);
                prop_assert!(text[from..row.start].chars().all(char::is_whitespace));
                let boundaries: Vec<usize> =
                    text.grapheme_indices(true).map(|(at, _)| at).chain([text.len()]).collect();
                prop_assert!(boundaries.contains(&row.start) && boundaries.contains(&row.end));
                from = row.end;
            }
            prop_assert!(text[from..].chars().all(char::is_whitespace));
        }

        #[test]
        fn any_text_at_any_width_ends(text in "[^\n\t]*", width in 1usize..6) {
            let ranges = wrap(&text, width, 0);
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
        }

        #[test]
        fn wrapping_goes_on_from_any_row(text in stories(), width in 4usize..30, at in 0usize..8) {
            let whole = wrap(&text, width, 0);
            let at = at.min(whole.len() - 1);
            prop_assert_eq!(&whole[at..], &wrap(&text, width, whole[at].start)[..]);
        }
    }
}
